"""The default seccomp profile: the calls that Docker's default profile allows, as one table.

Allow-list; everything else answers EPERM. Source of the effect: "Seccomp security profiles for Docker"
(docs.docker.com) and the profile of Docker Engine 29. What differs from a plain list is in :func:`default_profile`.
"""

from __future__ import annotations

from functools import lru_cache

#: Allowed to everyone. A word after # is no call.
_TABLE = """
    # System V and POSIX IPC
    ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64
    mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt
    shmget
    # extended attributes
    fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr listxattrat llistxattr
    lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat
    # folders and names
    chdir creat fchdir getcwd getdents getdents64 link linkat listmount mkdir mkdirat mknod mknodat readlink
    readlinkat rename renameat renameat2 rmdir statmount symlink symlinkat unlink unlinkat
    # ids and limits
    capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getpgid getpgrp
    getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid getuid getuid32 landlock_add_rule
    landlock_create_ruleset landlock_restrict_self prctl prlimit64 seccomp setfsgid setfsgid32 setfsuid
    setfsuid32 setgid setgid32 setgroups setgroups32 setpgid setregid setregid32 setresgid setresgid32 setresuid
    setresuid32 setreuid setreuid32 setrlimit setsid setuid setuid32 ugetrlimit umask
    # memory
    brk madvise map_shadow_stack memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2 mprotect
    mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_mrelease
    process_vm_readv process_vm_writev remap_file_pages
    # processes
    execve execveat exit exit_group fork getpid getppid pidfd_open ptrace riscv_hwprobe uretprobe vfork wait4
    waitpid
    # reading, writing and the rest
    _llseek close close_range copy_file_range dup dup2 dup3 fadvise64 fadvise64_64 fallocate fcntl fcntl64
    fdatasync flock fsync getrandom ioctl lseek open openat openat2 pipe pipe2 pread64 preadv preadv2 pwrite64
    pwritev pwritev2 read readahead readv sendfile sendfile64 splice sync sync_file_range syncfs sysinfo tee
    uname vmsplice write writev
    # scheduling
    futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake get_robust_list get_thread_area getcpu
    getpriority gettid ioprio_get ioprio_set membarrier rseq sched_get_priority_max sched_get_priority_min
    sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval
    sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield
    set_robust_list set_thread_area set_tid_address setpriority waitid
    # signals
    kill pause pidfd_send_signal restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo
    rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack signalfd
    signalfd4 sigprocmask sigreturn tgkill tkill
    # sockets
    accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64
    recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair
    # time
    adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
    clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time timer_create
    timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create
    timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times utime utimes
    # waiting for events
    _newselect epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait
    epoll_wait_old eventfd eventfd2 fanotify_mark inotify_add_watch inotify_init inotify_init1 inotify_rm_watch
    io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit poll ppoll
    ppoll_time64 pselect6 pselect6_time64 select
    # what files say of themselves
    access cachestat chmod chown chown32 faccessat faccessat2 fchmod fchmodat fchmodat2 fchown fchown32 fchownat
    fstat fstat64 fstatat64 fstatfs fstatfs64 ftruncate ftruncate64 futimesat lchown lchown32 lstat lstat64
    name_to_handle_at newfstatat stat stat64 statfs statfs64 statx truncate truncate64 utimensat
    utimensat_time64
"""

#: Allowed also to who holds a capability.
_BY_CAPABILITY: dict[str, str] = {
    "CAP_BPF": "bpf",
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_PERFMON": "perf_event_open",
    "CAP_SYS_ADMIN": (
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr "
        "lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl "
        "quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare"
    ),
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_MODULE": "delete_module finit_module init_module",
    "CAP_SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    "CAP_SYS_RAWIO": "ioperm iopl",
    "CAP_SYS_TIME": "clock_settime clock_settime64 settimeofday stime",
    "CAP_SYS_TTY_CONFIG": "vhangup",
    "CAP_SYSLOG": "syslog",
}

_ARCHITECTURES: dict[str, tuple[tuple[str, ...], str]] = {
    "x86_64": (("SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"), "arch_prctl modify_ldt"),
    "aarch64": (
        ("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"),
        "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2",
    ),
}

#: personality(2): Linux, the 32-bit variants of uname, and asking (0xffffffff).
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)

#: socket(2) families below AF_ALG (38), AF_NFC (39), and above AF_VSOCK (40): the two are refused.
_SOCKET_FAMILIES = ((38, "SCMP_CMP_LT"), (39, "SCMP_CMP_EQ"), (40, "SCMP_CMP_GT"))

#: CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}: clone(2) may set none of them.
_NAMESPACE_FLAGS = 0x7E020000

_ENOSYS = 38
_EPERM = 1


@lru_cache(maxsize=32)
def _allowed(capabilities: frozenset[str], machine: str) -> tuple[str, ...]:
    names = set()
    for line in _TABLE.splitlines():
        names.update(line.split("#", 1)[0].split())
    for capability in capabilities:
        names.update(_BY_CAPABILITY.get(capability, "").split())
    names.update(_ARCHITECTURES[machine][1].split())
    return tuple(sorted(names))


def default_profile(capabilities: frozenset[str], machine: str) -> dict[str, object] | None:
    """The profile for a container with *capabilities* in its bounding set, on *machine* (uname's word).

    None where there is no table for the machine. clone3(2) answers ENOSYS, since its flags are behind a
    pointer that a filter can't follow: libc then falls back to clone(2), whose flags are looked at.
    """
    if machine not in _ARCHITECTURES:
        return None
    architectures = _ARCHITECTURES[machine][0]
    rules: list[dict[str, object]] = [
        {"names": list(_allowed(capabilities, machine)), "action": "SCMP_ACT_ALLOW"},
    ]
    rules += [_when("personality", 0, value, "SCMP_CMP_EQ") for value in _PERSONALITIES]
    rules += [_when("socket", 0, family, comparison) for family, comparison in _SOCKET_FAMILIES]
    if "CAP_SYS_ADMIN" not in capabilities:
        rules.append(_when("clone", 0, _NAMESPACE_FLAGS, "SCMP_CMP_MASKED_EQ"))
        rules.append({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOSYS})
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": _EPERM,
        "architectures": list(architectures),
        "syscalls": rules,
    }


def _when(name: str, index: int, value: int, comparison: str) -> dict[str, object]:
    argument: dict[str, object] = {"index": index, "value": value, "op": comparison}
    if comparison == "SCMP_CMP_MASKED_EQ":
        # (argument & value) == valueTwo
        argument["valueTwo"] = 0
    return {"names": [name], "action": "SCMP_ACT_ALLOW", "args": [argument]}
