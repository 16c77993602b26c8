/* The filter of system calls: each child confines itself and then tries one thing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "app/process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define UNCONFINED 251

/* What a child tried: 0, or errno. */
typedef int (*attempt_fn)(void);

/* The attempt's errno, or minus the signal that ended the child. */
static int after(attempt_fn attempt)
{
    pid_t child = fork();
    int status;

    assert_true(child >= 0);
    if (child == 0) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || sp_process_confine() != SP_OK)
            _exit(UNCONFINED);
        _exit(attempt());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status))
        return -WTERMSIG(status);
    assert_int_not_equal(WEXITSTATUS(status), UNCONFINED);
    return WEXITSTATUS(status);
}

static int outcome(long status)
{
    return status < 0 ? errno : 0;
}

/* ---- what ends the process ---- */

static int run_program(void)
{
    char *const words[] = {(char[]){"true"}, NULL};

    return outcome(execv("/bin/true", words));
}
static int run_by_descriptor(void)
{
    char *const words[] = {(char[]){"true"}, NULL};

    return outcome(syscall(SYS_execveat, AT_FDCWD, "/bin/true", words, NULL, 0));
}
static int trace(void)
{
    return outcome(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}
static int look_into_a_process(void)
{
    char byte;
    struct iovec to = {&byte, 1}, from = {&byte, 1};

    return outcome(process_vm_readv(getppid(), &to, 1, &from, 1, 0));
}
static int make_namespace(void)
{
    return outcome(syscall(SYS_unshare, CLONE_NEWUSER));
}
static int mount_something(void)
{
    return outcome(syscall(SYS_mount, "none", "/", "tmpfs", 0UL, NULL));
}
static int load_bpf(void)
{
    return outcome(syscall(SYS_bpf, 0, NULL, 0));
}
static int load_module(void)
{
    return outcome(syscall(SYS_init_module, NULL, 0UL, ""));
}
static int catch_page_faults(void)
{
    return outcome(syscall(SYS_userfaultfd, 0));
}
static int count_events(void)
{
    return outcome(syscall(SYS_perf_event_open, NULL, 0, 0, 0, 0UL));
}

static void test_what_only_an_intruder_tries_ends_the_process(void **state)
{
    static const attempt_fn attempts[] = {
        run_program, run_by_descriptor, look_into_a_process, make_namespace, mount_something,
        load_bpf,    load_module,       catch_page_faults,   count_events,
    };

    (void)state;
    for (size_t i = 0; i < sizeof(attempts) / sizeof(*attempts); i++)
        assert_int_equal(after(attempts[i]), -SIGSYS);
#ifdef SP_SANITIZED
    assert_int_equal(after(trace), 0); /* the leak checker's */
#else
    assert_int_equal(after(trace), -SIGSYS);
#endif
}

/* ---- what is refused ---- */

static int open_packets(void)
{
    return outcome(socket(AF_PACKET, SOCK_RAW, 0));
}
static int open_kernel_ciphers(void)
{
    return outcome(socket(AF_ALG, SOCK_SEQPACKET, 0));
}
static int open_by_a_long_number(void)
{
    return outcome(syscall(SYS_socket, (1L << 32) | AF_PACKET, SOCK_RAW, 0));
}
static int write_code(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
                      -1, 0);

    return page == MAP_FAILED ? errno : 0;
}
static int turn_data_into_code(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED)
        return 0;
    return outcome(mprotect(page, 4096, PROT_READ | PROT_EXEC));
}
static int ask_for_a_ring(void)
{
    return outcome(syscall(SYS_io_uring_setup, 1, NULL));
}
static int ask_for_a_key(void)
{
    return outcome(syscall(SYS_keyctl, 0, 0));
}
static int make_a_task_by_a_structure(void)
{
    return outcome(syscall(SYS_clone3, NULL, 0UL));
}
static int call_what_is_not_there_yet(void)
{
    return outcome(syscall(1000));
}
static int type_on_the_terminal(void)
{
    return outcome(ioctl(0, TIOCSTI, "x"));
}
static int type_by_a_long_number(void)
{
    return outcome(syscall(SYS_ioctl, 0, (1L << 32) | TIOCSTI, "x"));
}

static void test_what_serving_does_not_need_is_refused(void **state)
{
    (void)state;
    assert_int_equal(after(open_packets), EAFNOSUPPORT);
    assert_int_equal(after(open_kernel_ciphers), EAFNOSUPPORT);
    assert_int_equal(after(open_by_a_long_number), EAFNOSUPPORT);
    assert_int_equal(after(write_code), EPERM);
    assert_int_equal(after(turn_data_into_code), EPERM);
    assert_int_equal(after(ask_for_a_ring), ENOSYS);
    assert_int_equal(after(ask_for_a_key), ENOSYS);
    assert_int_equal(after(make_a_task_by_a_structure), ENOSYS);
    assert_int_equal(after(call_what_is_not_there_yet), ENOSYS);
    assert_int_equal(after(type_on_the_terminal), ENOSYS);
    assert_int_equal(after(type_by_a_long_number), ENOSYS);
}

static int make_process(void)
{
    pid_t child = fork();

    if (child == 0)
        _exit(0);
    return outcome(child);
}

static void test_no_further_process_is_made(void **state)
{
    (void)state;
#ifdef SP_SANITIZED
    assert_int_equal(after(make_process), 0); /* the leak checker's */
#else
    assert_int_equal(after(make_process), EPERM);
#endif
}

/* ---- every thread ---- */

static int ready, go;

static void *wait_and_try(void *result)
{
    char byte = 1;

    (void)!write(ready, &byte, 1);
    (void)!read(go, &byte, 1);
    *(int *)result = open_packets();
    return NULL;
}

/* The thread is there before the filter is. */
static void test_threads_that_are_there_already_are_confined(void **state)
{
    int to_thread[2], from_thread[2];
    pid_t child;
    int status;

    (void)state;
    assert_int_equal(pipe(to_thread), 0);
    assert_int_equal(pipe(from_thread), 0);
    ready = from_thread[1];
    go = to_thread[0];
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        pthread_t thread;
        int result = 0;
        char byte = 1;

        if (pthread_create(&thread, NULL, wait_and_try, &result) != 0 ||
            read(from_thread[0], &byte, 1) != 1 || sp_process_confine() != SP_OK ||
            write(to_thread[1], &byte, 1) != 1 || pthread_join(thread, NULL) != 0)
            _exit(UNCONFINED);
        _exit(result);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), EAFNOSUPPORT);
    for (int i = 0; i < 2; i++) {
        close(to_thread[i]);
        close(from_thread[i]);
    }
}

/* ---- what goes on ---- */

static void *do_nothing(void *arg)
{
    return arg;
}

static int serve_ordinarily(void)
{
    char folder[] = "/tmp/sallyport-seccomp-XXXXXX";
    char name[64];
    pthread_t thread;
    void *code;
    int inet, fd;

    if (pthread_create(&thread, NULL, do_nothing, NULL) != 0 || pthread_join(thread, NULL) != 0)
        return 1;
    inet = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (inet < 0 || socket(AF_UNIX, SOCK_DGRAM, 0) < 0 || socket(AF_NETLINK, SOCK_RAW, 0) < 0)
        return 2;
    if (ioctl(inet, FIONBIO, &(int){1}) != 0 || poll(&(struct pollfd){.fd = inet}, 1, 0) < 0)
        return 3;
    if (mkdtemp(folder) == NULL)
        return 4;
    (void)strcat(strcpy(name, folder), "/file");
    fd = open(name, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, "x", 1) != 1 || fsync(fd) != 0 || lockf(fd, F_LOCK, 0) != 0)
        return 5;
    code = mmap(NULL, 1, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0); /* as dlopen does */
    if (code == MAP_FAILED && errno != EPERM)                        /* EPERM: /tmp is noexec */
        return 6;
    if (unlink(name) != 0 || rmdir(folder) != 0 || eventfd(0, EFD_CLOEXEC) < 0)
        return 7;
    return 0;
}

static void test_files_sockets_and_threads_go_on(void **state)
{
    (void)state;
    assert_int_equal(after(serve_ordinarily), 0);
}

/* ---- what the kernel's log hears of ---- */

static int make_a_thread_and_ask_for_a_key(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, do_nothing, NULL) != 0 || pthread_join(thread, NULL) != 0)
        return 0;
    return ask_for_a_key();
}

/* Does a new line of the log tell of that call, made by this program? */
static bool tells_of(const char *line, long number)
{
    char call[32];

    (void)snprintf(call, sizeof(call), "syscall=%ld ", number);
    return strstr(line, "type=1326") != NULL && strstr(line, "test_seccomp") != NULL &&
           strstr(line, call) != NULL;
}

/* What the log says within a second. */
static void listen_to(int log, bool *thread, bool *key)
{
    char line[8192];

    for (unsigned i = 0; i < 100 && !*key; i++) {
        ssize_t len = read(log, line, sizeof(line) - 1);

        if (len < 0) {
            (void)poll(NULL, 0, 10);
            continue;
        }
        line[len] = '\0';
        *thread = *thread || tells_of(line, SYS_clone3);
        *key = tells_of(line, SYS_keyctl);
    }
}

/* Of all that is refused, what a library tries each time (clone3 before clone) is not worth a
 * line. The kernel takes ten lines in five seconds (printk_ratelimit) and drops the others, whoever
 * they are of: so it is asked again for a while. */
static void test_a_new_thread_is_no_news_for_the_kernels_log(void **state)
{
    int log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    bool thread = false, key = false;

    (void)state;
    if (log < 0 || lseek(log, 0, SEEK_END) < 0)
        skip(); /* for root's eyes alone */
    for (unsigned i = 0; i < 15 && !key; i++) {
        assert_int_equal(after(make_a_thread_and_ask_for_a_key), ENOSYS);
        listen_to(log, &thread, &key);
    }
    close(log);
    if (!key)
        skip(); /* this kernel tells nothing */
    assert_false(thread);
}

/* An abort ends it by SIGABRT, and not in the filter. */
static int abort_at_once(void)
{
    signal(SIGABRT, SIG_DFL);
    abort();
}

static void test_a_failed_assertion_ends_it_as_ever(void **state)
{
    (void)state;
    assert_int_equal(after(abort_at_once), -SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* first: a kernel that has told much leaves lines out */
        cmocka_unit_test(test_a_new_thread_is_no_news_for_the_kernels_log),
        cmocka_unit_test(test_what_only_an_intruder_tries_ends_the_process),
        cmocka_unit_test(test_what_serving_does_not_need_is_refused),
        cmocka_unit_test(test_no_further_process_is_made),
        cmocka_unit_test(test_threads_that_are_there_already_are_confined),
        cmocka_unit_test(test_files_sockets_and_threads_go_on),
        cmocka_unit_test(test_a_failed_assertion_ends_it_as_ever),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
