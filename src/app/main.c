/* sallyport: an authenticating HTTP forward proxy. Everything is in the rooms; see command.h. */
#include "app/command.h"

int main(int argc, char **argv)
{
    return (int)sp_app_main(argc, argv);
}
