/* Between the files of util/text. */
#ifndef SP_UTIL_TEXT_PRIV_H
#define SP_UTIL_TEXT_PRIV_H

#include "util/text.h"

/* The small letter of a code point past ASCII, or itself. */
uint32_t sp_text_lower_one(uint32_t letter);

#endif
