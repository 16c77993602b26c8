/* The system calls that a serving process may still make: what it, its plugins and the libraries of
 * both need for files, sockets, threads and clocks. Whoever takes the process over starts no
 * program, looks into no other process and changes nothing of the system.
 *
 * Three answers. What is listed goes through. What a healthy process never tries, and an intruder
 * tries first, ends the process at once: SIGSYS, and a line in the kernel's log. Anything else,
 * also what kernels of the future bring, gets ENOSYS, for which libraries have a fallback, and a
 * line in the kernel's log (type=1326), so that it is not silent; but for clone3, which the C
 * library tries all the time. */
#include "app/process.h"

#include <errno.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

/* Names, because neither every machine nor every libseccomp knows each of them. */
static const char *const allowed[] = {
    /* reading, writing, waiting */
    "_llseek", "close", "close_range", "copy_file_range", "dup", "dup2", "dup3", "epoll_create",
    "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait", "eventfd",
    "eventfd2", "lseek", "pipe", "pipe2", "poll", "ppoll", "ppoll_time64", "pread64", "preadv",
    "preadv2", "pselect6", "pselect6_time64", "pwrite64", "pwritev", "pwritev2", "read", "readv",
    "select", "sendfile", "splice", "tee", "vmsplice", "write", "writev",
    /* files */
    "access", "chdir", "chmod", "creat", "fadvise64", "faccessat", "faccessat2", "fallocate",
    "fchdir", "fchmod", "fchmodat", "fchmodat2", "fcntl", "fdatasync", "fgetxattr", "flock",
    "fstat", "fstatfs", "fsync", "ftruncate", "getcwd", "getdents", "getdents64", "getxattr",
    "inotify_add_watch", "inotify_init", "inotify_init1", "inotify_rm_watch", "lgetxattr", "link",
    "linkat", "lstat", "mkdir", "mkdirat", "newfstatat", "open", "openat", "openat2", "readahead",
    "readlink", "readlinkat", "rename", "renameat", "renameat2", "rmdir", "stat", "statfs", "statx",
    "symlink", "symlinkat", "sync_file_range", "truncate", "umask", "unlink", "unlinkat",
    "utimensat", "utimes",
    /* sockets */
    "accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen",
    "recvfrom", "recvmmsg", "recvmsg", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shutdown",
    "socketpair",
    /* memory */
    "brk", "madvise", "mincore", "mlock", "mlock2", "mremap", "msync", "munlock", "munmap",
    /* threads, signals, the end */
    "arch_prctl", "exit", "exit_group", "futex", "futex_requeue", "futex_waitv", "futex_wait",
    "futex_wake", "get_robust_list", "membarrier", "pause", "prctl", "restart_syscall", "rseq",
    "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigreturn", "rt_sigsuspend",
    "rt_sigtimedwait", "sched_get_priority_max", "sched_get_priority_min", "sched_getaffinity",
    "sched_getparam", "sched_getscheduler", "sched_yield", "set_robust_list", "set_tid_address",
    "sigaltstack", "signalfd", "signalfd4", "tgkill", "wait4", "waitid",
    /* who and where am I, what time is it */
    "capget", "clock_getres", "clock_gettime", "clock_nanosleep", "getcpu", "getegid", "geteuid",
    "getgid", "getgroups", "getitimer", "getpgid", "getpgrp", "getpid", "getppid", "getpriority",
    "getrandom", "getresgid", "getresuid", "getrlimit", "getrusage", "getsid", "gettid",
    "gettimeofday", "getuid", "nanosleep", "prlimit64", "setitimer", "sysinfo", "time",
    "timer_create", "timer_delete", "timer_getoverrun", "timer_gettime", "timer_settime",
    "timerfd_create", "timerfd_gettime", "timerfd_settime", "times", "uname",
#ifdef SP_SANITIZED
    /* the leak checker stops the threads of its own process from a task that is none */
    "clone", "ptrace",
#endif
    NULL};

static const char *const deadly[] = {
    /* programs */
    "execve", "execveat",
    /* other processes */
    "kcmp", "pidfd_getfd", "process_madvise", "process_vm_readv", "process_vm_writev",
    /* file systems, and ways round their permissions */
    "chroot", "fsconfig", "fsmount", "fsopen", "fspick", "mount", "mount_setattr", "move_mount",
    "open_by_handle_at", "open_tree", "pivot_root", "swapoff", "swapon", "umount2",
    /* other name spaces */
    "setns", "unshare",
    /* the kernel, and what has been its weak side */
    "bpf", "delete_module", "finit_module", "init_module", "iopl", "ioperm", "kexec_file_load",
    "kexec_load", "perf_event_open", "reboot", "userfaultfd",
#ifndef SP_SANITIZED
    "ptrace",
#endif
    NULL};

/* What programs ask of descriptors and of the network's interfaces. TIOCSTI, which types on the
 * terminal that the process was started from, is not among them. */
static const uint32_t requests[] = {FIONBIO,     FIOASYNC,     FIONREAD,       FIOCLEX,
                                    FIONCLEX,    TCGETS,       TIOCGWINSZ,     TIOCOUTQ,
                                    SIOCGIFNAME, SIOCGIFINDEX, SIOCGIFCONF,    SIOCGIFADDR,
                                    SIOCGIFMTU,  SIOCGIFFLAGS, SIOCGIFNETMASK, SIOCGIFBRDADDR};

static int add_names(scmp_filter_ctx filter, uint32_t action, const char *const *names)
{
    int status = 0;

    for (size_t i = 0; names[i] != NULL && status == 0; i++) {
        int number = seccomp_syscall_resolve_name(names[i]);

        if (number >= 0)
            status = seccomp_rule_add(filter, action, number, 0);
    }
    return status;
}

/* Where the bits of the argument that stand in `mask` are `bits`. */
static int add_bits(scmp_filter_ctx filter, uint32_t action, int number, unsigned argument,
                    uint64_t mask, uint64_t bits)
{
    return seccomp_rule_add(filter, action, number, 1,
                            SCMP_CMP(argument, SCMP_CMP_MASKED_EQ, mask, bits));
}

static int add_sockets(scmp_filter_ctx filter)
{
    const uint32_t refuse = SCMP_ACT_ERRNO(EAFNOSUPPORT);
    int status = seccomp_rule_add(filter, refuse, SCMP_SYS(socket), 1,
                                  SCMP_A0(SCMP_CMP_GT, AF_NETLINK, 0));

    for (unsigned family = 0; family <= AF_NETLINK && status == 0; family++) {
        bool fits = family == AF_UNIX || family == AF_INET || family == AF_INET6 ||
                    family == AF_NETLINK;

        status = seccomp_rule_add(filter, fits ? SCMP_ACT_ALLOW : refuse, SCMP_SYS(socket), 1,
                                  SCMP_A0(SCMP_CMP_EQ, family, 0));
    }
    return status;
}

/* Memory is written to or run, never both; what has been written never becomes code. */
static int add_memory(scmp_filter_ctx filter)
{
    const uint64_t both = PROT_WRITE | PROT_EXEC;
    const uint32_t refuse = SCMP_ACT_ERRNO(EPERM);
    int status = add_bits(filter, refuse, SCMP_SYS(mmap), 2, both, both);

    if (status == 0)
        status = add_bits(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2, both, 0);
    if (status == 0)
        status = add_bits(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2, both, PROT_WRITE);
    if (status == 0)
        status = add_bits(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2, both, PROT_EXEC);
    if (status == 0)
        status = add_bits(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 2, PROT_EXEC, 0);
    if (status == 0)
        status = add_bits(filter, refuse, SCMP_SYS(mprotect), 2, PROT_EXEC, PROT_EXEC);
    return status;
}

/* Threads, no processes. clone3 hides its flags behind a pointer, see refuse_clone3. */
static int add_threads(scmp_filter_ctx filter)
{
#ifdef SP_SANITIZED
    (void)filter;
    return 0;
#else
    const uint64_t spaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
                            CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
    int status = add_bits(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 0, CLONE_THREAD | spaces,
                          CLONE_THREAD);

    if (status == 0)
        status = add_bits(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 0, CLONE_THREAD, 0);
    return status;
#endif
}

static int add_requests(scmp_filter_ctx filter)
{
    int status = 0;

    for (size_t i = 0; i < sizeof(requests) / sizeof(*requests) && status == 0; i++)
        status = add_bits(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, UINT32_MAX, requests[i]);
    return status;
}

static int add_rules(scmp_filter_ctx filter)
{
    int status = add_names(filter, SCMP_ACT_ALLOW, allowed);

    if (status == 0)
        status = add_names(filter, SCMP_ACT_KILL_PROCESS, deadly);
    if (status == 0)
        status = add_sockets(filter);
    if (status == 0)
        status = add_memory(filter);
    if (status == 0)
        status = add_threads(filter);
    if (status == 0)
        status = add_requests(filter);
    return status;
}

/* All threads, those that are there and those to come. Old kernels keep no log of what they refuse,
 * and old libraries make a slower filter: it refuses the same. */
static int set_up(scmp_filter_ctx filter, bool told)
{
    int status = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);

    if (status == 0)
        status = seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 1);
    if (status == 0)
        status = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (status == 0)
        status = seccomp_attr_set(filter, SCMP_FLTATR_API_SYSRAWRC, 1); /* errors as they are */
    (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_LOG, told ? 1 : 0);
    (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    return status;
}

/* The C library tries clone3 for each thread, gets ENOSYS and goes back to clone. We make a thread
 * for each look-up, so that would be a line in the kernel's log each time: a filter of its own
 * refuses it, one that tells nothing. */
static int refuse_clone3(int number)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    int status;

    if (filter == NULL)
        return -ENOMEM;
    status = set_up(filter, false);
    if (status == 0)
        status = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), number, 0);
    if (status == 0)
        status = seccomp_load(filter);
    seccomp_release(filter);
    return status;
}

/* `refused`: a call that another filter refuses already, the sterner of both has its way. */
static int refuse_all_else(int refused)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    int status;

    if (filter == NULL)
        return -ENOMEM;
    status = set_up(filter, true);
    if (status == 0)
        status = add_rules(filter);
    if (status == 0 && refused >= 0)
        status = seccomp_rule_add(filter, SCMP_ACT_ALLOW, refused, 0);
    if (status == 0)
        status = seccomp_load(filter);
    seccomp_release(filter);
    return status;
}

enum sp_err sp_process_confine(void)
{
    int clone3 = seccomp_syscall_resolve_name("clone3"); /* negative: an old library, or machine */
    int status = clone3 >= 0 ? refuse_clone3(clone3) : 0;

    if (status == 0)
        status = refuse_all_else(clone3);
    errno = -status;
    if (status == -ENOMEM)
        return SP_ERR_NOMEM;
    return status == 0 ? SP_OK : SP_ERR_IO;
}
