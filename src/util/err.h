/* The words for enum sp_err. Any thread; static text. */
#ifndef SP_UTIL_ERR_H
#define SP_UTIL_ERR_H

#include "sallyport/base.h"

const char *sp_err_text(enum sp_err err);

#endif
