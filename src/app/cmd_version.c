/* `sallyport version`: which sallyport this is, and what it was built and runs with. */
#include "app/command.h"

#include "sallyport/auth_backend.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <uv.h>

static enum sp_exit run(const struct sp_app_args *args)
{
    (void)args;
    printf("sallyport %s\nplugin contract %u, libuv %s, %s\n", SP_VERSION, SP_AUTH_ABI_VERSION,
           uv_version_string(), OpenSSL_version(OPENSSL_VERSION));
    return SP_EXIT_WELL;
}

const struct sp_app_command sp_cmd_version = {
    .name = "version",
    .summary = "Say which sallyport this is",
    .usage = "",
    .no_config = true,
    .run = run,
};
