/* Words to the service manager: they arrive, and a manager that does not read stops nobody. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "app/process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A manager's socket by an abstract name, which needs no file; NOTIFY_SOCKET names it. */
static int open_manager(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char name[64];
    int len = snprintf(name, sizeof(name), "@sallyport-test-notify-%ld", (long)getpid());
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0 && len > 0);
    memcpy(address.sun_path + 1, name + 1, (size_t)len - 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)len)),
                     0);
    assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
    return fd;
}

static void test_words_arrive_as_they_are(void **state)
{
    int manager = open_manager();
    char text[64] = "";

    (void)state;
    sp_process_tell("READY=1\nSTATUS=Serving");
    assert_int_equal(recv(manager, text, sizeof(text) - 1, 0), 22);
    assert_string_equal(text, "READY=1\nSTATUS=Serving");
    close(manager);
}

static void test_a_manager_that_does_not_read_stops_nobody(void **state)
{
    int manager = open_manager();

    (void)state;
    alarm(10); /* a send that waits would wait for ever */
    for (int i = 0; i < 5000; i++)
        sp_process_tell("STATUS=Reloading");
    alarm(0);
    close(manager);
}

static void test_descriptors_arrive_with_the_words(void **state)
{
    union {
        struct cmsghdr head;
        char bytes[256];
    } control;
    int manager = open_manager();
    char text[64] = "";
    struct iovec part = {text, sizeof(text) - 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    int pipes[2], got[2];

    (void)state;
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(sp_process_hand_over("FDSTORE=1\nFDNAME=x", pipes, 2), SP_OK);
    assert_int_equal(recvmsg(manager, &message, 0), 18);
    assert_string_equal(text, "FDSTORE=1\nFDNAME=x");
    assert_non_null(CMSG_FIRSTHDR(&message));
    assert_int_equal(CMSG_FIRSTHDR(&message)->cmsg_len, CMSG_LEN(sizeof(got)));
    memcpy(got, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(got));
    assert_int_equal(write(got[1], "y", 1), 1);
    assert_int_equal(read(pipes[0], text, sizeof(text)), 1);
    for (int i = 0; i < 2; i++) {
        close(pipes[i]);
        close(got[i]);
    }
    close(manager);
    assert_int_equal(sp_process_hand_over("FDSTORE=1", got, 1), SP_ERR_IO); /* nobody is there */
    assert_int_equal(sp_process_hand_over("FDSTORE=1", got, 0), SP_ERR_IO);
    assert_int_equal(sp_process_hand_over("FDSTORE=1", got, SP_PROCESS_FDS_MAX + 1), SP_ERR_IO);
}

static void test_without_a_manager_nothing_is_said(void **state)
{
    (void)state;
    assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
    sp_process_tell("READY=1");
    for (const char *const *name =
             (const char *const[]){"", "@", "/", "relative", "/nobody/there", NULL};
         *name != NULL; name++) {
        assert_int_equal(setenv("NOTIFY_SOCKET", *name, 1), 0);
        sp_process_tell("READY=1");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_arrive_as_they_are),
        cmocka_unit_test(test_a_manager_that_does_not_read_stops_nobody),
        cmocka_unit_test(test_descriptors_arrive_with_the_words),
        cmocka_unit_test(test_without_a_manager_nothing_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
