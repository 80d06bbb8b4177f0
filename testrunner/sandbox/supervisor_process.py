"""Supervisor process of one run: `python -I -S supervisor_process.py`. The executor starts it, outside Django and the
project.

A separate process is used instead of `preexec_fn` because almost nothing is safe between fork and exec of a process
that has threads. It also has to outlive the worker: when the worker is killed with -9, the supervisor ends and takes
the run with it.

    worker ── supervisor ── [init, in namespaces of its own ──] pytest ── everything that the tests start

1. The supervisor reads the plan (JSON, from standard input) and listens on the control socket, one line of JSON per
   order. `signal` is sent to pytest (SIGINT) or to everything (SIGTERM). `lease` is how long the run may continue, in
   seconds. The end of the lease, or end of file (the executor closed the socket, or died), kills everything. A
   supervisor that is stopped itself is killed by the kernel (linux/kill_timer.py), and the run dies with it.
2. With namespaces, its child is process 1 of a process namespace. When process 1 ends, for any reason, the kernel kills
   all other processes of the namespace before the supervisor's `waitpid` returns. Neither `setsid` nor a double fork
   lets a process leave.
3. Without namespaces, the supervisor is the subreaper of all its descendants. It freezes and kills descendants until
   none is left.
4. pytest's exit code goes through the control socket as a line of JSON, together with the flag whether a stop was
   ordered before. Then the run's directory is removed.

Imports few modules, because every run waits for them. Linux system calls go through ctypes. On other systems only the
resource limits and the process group remain.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import socket
import stat
import sys
from typing import Any, NoReturn

sys.path.append(
    os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
)  # last in sys.path, so that it shadows no module of Python
from testrunner.sandbox.boottime import boottime
from testrunner.sandbox.linux.cgroup import ControlGroup, create_group
from testrunner.sandbox.linux.kill_timer import KillTimer
from testrunner.sandbox.linux.landlock import write_only_below
from testrunner.sandbox.linux.leftovers import remove_all_of, remove_directory
from testrunner.sandbox.linux.processes import become, descendants, freeze_and_kill, run_as, send_all
from testrunner.sandbox.linux.resource_usage import system_v
from testrunner.sandbox.linux.seccomp import CLONE_NEWUSER, install_filter
from testrunner.sandbox.linux.system_calls import (
    LINUX,
    PR_SET_CHILD_SUBREAPER,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_PDEATHSIG,
    call,
    libc,
    prctl,
)
from testrunner.sandbox.linux.usage_monitor import UsageMonitor

Plan = dict[str, Any]

CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWPID = 0x00020000, 0x08000000, 0x20000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 0x2, 0x4, 0x8, 0x1000, 0x4000, 0x40000
SYS_MOUNT_SETATTR, AT_RECURSIVE, MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID = 442, 0x8000, 0x1, 0x2

CHECK_INTERVAL = 0.5  # seconds between two measurements of a run; without a cgroup the kernel limits only each process
KILL_DELAY = 3.0  # seconds from the end of the lease until the kernel kills a supervisor that has not acted


class Control:
    """The control socket: messages to the executor, its orders, and the lease that it renews."""

    def __init__(self, descriptor: int, lease: float | None) -> None:
        self.socket = socket.socket(fileno=descriptor)
        self.socket.set_inheritable(False)
        self.kill_timer = KillTimer()
        self.lease_until = float("inf")  # boottime
        self._partial = b""
        if lease is not None:
            self.extend_lease(lease)

    def extend_lease(self, seconds: float) -> None:
        """Let the run continue for this many seconds from now."""
        self.lease_until = boottime() + seconds
        self.kill_timer.set(max(0.0, seconds) + KILL_DELAY)

    def send(self, **words: Any) -> None:
        with contextlib.suppress(OSError):  # the executor has gone, so the message is not needed
            self.socket.sendall(json.dumps(words).encode() + b"\n")

    def send_failure(self, problem: BaseException) -> None:
        self.send(failed=f"{type(problem).__name__}: {problem}", errno=getattr(problem, "errno", None))

    def signals(self) -> list[int] | None:
        """Read the new orders: apply renewals of the lease, and return the ordered signals; None at end of file."""
        try:
            content = self.socket.recv(4096)
        except OSError:
            content = b""
        *lines, self._partial = (self._partial + content).split(b"\n")
        orders = [json.loads(line) for line in lines]
        for seconds in (order["lease"] for order in orders if "lease" in order):
            self.extend_lease(seconds)
        return [order["signal"] for order in orders if "signal" in order] if content else None


def main() -> NoReturn:
    plan: Plan = json.load(sys.stdin.buffer)
    control = Control(plan["control"], plan["lease"])
    wake_up = signal_descriptor(signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # the socket alone is not enough: a forked child of the worker could hold it open
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    plan["limits"]["processes"] += threads_outside_run(plan)
    group = create_group(plan["name"], plan["limits"]["total_memory_bytes"] + plan["limits"]["disk_bytes"])
    alive, mine = os.pipe()
    try:
        if plan["namespaces"]:
            enter_namespaces(plan)
        child = os.fork()
    except OSError as problem:
        control.send_failure(problem)
        clean_up(plan, group)
        os._exit(127)
    if child == 0:
        os.close(mine)
        run_in_child(control, lambda: start_child(plan, control, alive, group))
    control.send(pid=child)
    status = supervise(child, control, wake_up, plan)
    if not plan["namespaces"] and status is not None:
        control.send(exit=os.waitstatus_to_exitcode(status), stopped=plan.get("stopped", False))
    kill_remaining(plan, child)
    control.kill_timer.set(0)  # only files are left
    if group is not None and group.hit_limit():
        control.send(ended="memory")
    clean_up(plan, group)
    os._exit(0)


def start_child(plan: Plan, control: Control, alive: int, group: ControlGroup | None) -> NoReturn:
    if group is not None:
        group.join()
    if plan["namespaces"]:
        run_init(plan, control, alive)
    exec_pytest(plan, alive)


def clean_up(plan: Plan, group: ControlGroup | None) -> None:
    if group is not None:
        group.remove()
    remove_directory(plan["directory"])
    if plan["change_user"] and not plan["namespaces"]:
        remove_all_of(plan["user"])


def signal_descriptor(*signals: int) -> int:
    """Return a descriptor from which the numbers of these signals can be read as they arrive."""
    readable, writable = os.pipe()
    os.set_blocking(readable, False)
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    for number in signals:
        signal.signal(number, lambda *_: None)
    return readable


def run_in_child(control: Control, act: Any) -> NoReturn:
    """Run `act` in a freshly forked child and exit. An exception is sent to the executor as a message, without a
    traceback.

    Never returns, so the child never continues with the parent's code.
    """
    try:
        act()
    except BaseException as problem:
        control.send_failure(problem)
    finally:
        os._exit(127)


def supervise(child: int, control: Control, wake_up: int, plan: Plan) -> int | None:
    """Return the child's wait status, or None if the supervisor killed the child.

    The supervisor kills it when the control socket closes, when the lease ends, when a termination signal arrives or
    when a limit is exceeded.
    """
    poll = select.poll()
    poll.register(control.socket, select.POLLIN)
    poll.register(wake_up, select.POLLIN)
    before = {(entry.kind, entry.id) for entry in system_v()}
    monitor = UsageMonitor(plan, belongs=lambda entry: belongs_to_run(entry, plan, before))
    while (rest := control.lease_until - boottime()) > 0:
        if not plan["namespaces"] and (exceeded := monitor.exceeded_limit(descendants(os.getpid()))):
            control.send(ended=exceeded)
            break
        ready = {descriptor for descriptor, _ in poll.poll(min(CHECK_INTERVAL, rest) * 1_000)}
        if wake_up in ready:
            if {signal.SIGTERM, signal.SIGHUP} & set(os.read(wake_up, 4096)):
                break
            if (status := reap(child)) is not None:
                return status
        if ready - {wake_up}:
            signals = control.signals()
            if signals is None:
                break
            for number in signals:
                plan["stopped"] = True
                os.kill(child, number)
                if number == signal.SIGTERM and not plan["namespaces"]:
                    send_all(descendants(os.getpid()), signal.SIGTERM)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def reap(child: int) -> int | None:
    """Return the child's wait status; None if it is alive. The others that have ended are orphans."""
    ended, status = os.waitpid(-1, os.WNOHANG)
    while ended and ended != child:
        ended, status = os.waitpid(-1, os.WNOHANG)
    return status if ended else None


def belongs_to_run(entry: Any, plan: Plan, before: set[tuple[str, int]]) -> bool:
    """Whether a System V entry belongs to the run.

    It does if it is owned by the run's own user. For a run of the worker's user, it must also be newer than the run.
    """
    return plan["user"] in entry.owners and (plan["change_user"] or (entry.kind, entry.id) not in before)


# --- isolation --------------------------------------------------------------------------------------


def enter_namespaces(plan: Plan) -> None:
    """Put the supervisor's future children into a process namespace. Without root, also into a new user namespace."""
    if plan["user_namespace"]:
        user, group = os.geteuid(), os.getegid()
        call(libc.unshare(CLONE_NEWUSER | CLONE_NEWPID), "unshare")
        write("/proc/self/setgroups", "deny")
        write("/proc/self/uid_map", f"{plan['user']} {user} 1")
        write("/proc/self/gid_map", f"{plan['user']} {group} 1")
    else:
        call(libc.unshare(CLONE_NEWPID), "unshare")


def run_init(plan: Plan, control: Control, alive: int) -> NoReturn:
    """Act as process 1 of the namespace: build its file system, start pytest, reap orphans, exit when pytest exits."""
    die_with_supervisor(alive)
    signal.set_wakeup_fd(-1)
    call(libc.unshare(CLONE_NEWNS | CLONE_NEWIPC), "unshare")
    build_file_system(plan)
    # From pytest's start on, any process in here may be terminated except this one: the kernel protects process 1.
    main_process, stopped = 0, False

    def stop(processes: list[int], number: int) -> None:
        nonlocal stopped
        stopped = True
        send_all(processes, number)

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: stop([-1], signal.SIGTERM))
    signal.signal(signal.SIGINT, lambda *_: stop([main_process] if main_process else [], signal.SIGINT))
    main_process = os.fork()
    if main_process == 0:
        run_in_child(control, lambda: exec_pytest(plan, alive))
    measure_periodically(plan, control)
    while True:
        ended, status = os.wait()
        if ended == main_process:
            control.send(exit=os.waitstatus_to_exitcode(status), stopped=stopped)
            os._exit(0)


def measure_periodically(plan: Plan, control: Control) -> None:
    """Measure all other processes of the namespace and its System V tables at every tick.

    If a limit is exceeded, this process exits, and the kernel ends the namespace.
    """
    monitor = UsageMonitor(plan, belongs=lambda _: True)

    def check(*_: Any) -> None:
        others = (int(name) for name in os.listdir("/proc") if name.isdigit() and name != "1")
        if exceeded := monitor.exceeded_limit(others):
            control.send(ended=exceeded)
            os._exit(0)

    signal.signal(signal.SIGALRM, check)
    signal.setitimer(signal.ITIMER_REAL, CHECK_INTERVAL, CHECK_INTERVAL)


def die_with_supervisor(alive: int) -> None:
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if select.select([alive], [], [], 0)[0]:
        os._exit(127)  # the supervisor died before PDEATHSIG was set


def build_file_system(plan: Plan) -> None:
    """Make everything read-only except one size-limited tmpfs, which holds the run's directory and serves as /tmp.

    `hidden` directories are empty for the run, except for the `kept` paths below them (mostly the interpreter).
    """
    directory = plan["directory"]
    call(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "mount private")
    attributes = (ctypes.c_uint64 * 4)(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID, 0, 0, 0)
    call(libc.syscall(SYS_MOUNT_SETATTR, -100, b"/", AT_RECURSIVE, attributes, 32), "mount_setattr")
    mount_memory(directory, f"size={plan['limits']['disk_bytes']},nr_inodes={plan['limits']['files']},mode=711")
    temporary = directory + "/tmp"  # noqa: S108
    os.mkdir(temporary)
    os.chmod(temporary, 0o1777)  # noqa: S103 - as /tmp is
    for name in ("files", "home"):
        os.mkdir(f"{directory}/{name}", 0o700)
        os.chown(f"{directory}/{name}", plan["user"], plan["user"])
    add_passwd_entry(plan)
    kept = {path: os.open(path, os.O_PATH) for path in [*plan["kept"], directory]}
    shared = os.open(temporary, os.O_PATH)
    for path in sorted([*plan["hidden"], *filter(is_own_directory, ("/tmp", "/var/tmp", "/dev/shm"))]):  # noqa: S108
        if path in ("/tmp", "/var/tmp", "/dev/shm"):  # noqa: S108
            bind(shared, path)
        elif not os.path.lexists(path):
            continue  # below a directory that is hidden already
        elif not os.path.isdir(path):
            bind(os.open("/dev/null", os.O_PATH), path)
        else:
            mount_memory(path, "size=1m,nr_inodes=1000,mode=755")
        for inside in sorted(kept):
            if inside.startswith(path.rstrip("/") + "/"):
                bind_below(kept[inside], inside)
    call(libc.mount(b"proc", b"/proc", b"proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, None), "mount /proc")


def add_passwd_entry(plan: Plan) -> None:
    """Give the run's user an entry in /etc/passwd: initdb and other programs refuse to run without a user name."""
    users = f"{plan['directory']}/passwd"
    write(
        users,
        "root:x:0:0:root:/root:/usr/sbin/nologin\n"
        f"tester:x:{plan['user']}:{plan['user']}:the run's own user:{plan['directory']}/home:/bin/sh\n",
    )
    os.chmod(users, 0o444)
    bind(os.open(users, os.O_PATH), "/etc/passwd")


def is_own_directory(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)


def bind_below(descriptor: int, path: str) -> None:
    if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if not os.path.exists(path):
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))
    else:
        os.makedirs(path, exist_ok=True)
    bind(descriptor, path)


def bind(descriptor: int, path: str) -> None:
    call(libc.mount(f"/proc/self/fd/{descriptor}".encode(), os.fsencode(path), None, MS_BIND | MS_REC, None), path)


def mount_memory(path: str, options: str) -> None:
    call(libc.mount(b"tmpfs", os.fsencode(path), b"tmpfs", MS_NOSUID | MS_NODEV, options.encode()), f"tmpfs {path}")


# --- pytest ---------------------------------------------------------------------------------------


def exec_pytest(plan: Plan, alive: int) -> NoReturn:
    """Apply the limits, write the test files as the user who will run them, and replace this process with pytest."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    os.umask(0o077)
    set_limits(plan)
    if plan["change_user"]:
        become(plan["user"])
    die_with_supervisor(alive)  # after the change of user, which clears PDEATHSIG
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    if LINUX:
        install_filter(forbid_queues=not plan["namespaces"] and not plan["change_user"])
        if not plan["namespaces"]:
            write_only_below(plan["directory"])
    write_files(plan)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    close_other_descriptors(plan["descriptors"], plan["control"])
    os.execve(plan["command"][0], plan["command"], plan["environment"])  # noqa: S606


def set_limits(plan: Plan) -> None:
    limits = plan["limits"]
    values = {
        "RLIMIT_CORE": 0,
        "RLIMIT_AS": limits["memory_bytes"],
        "RLIMIT_FSIZE": limits["file_bytes"],
        "RLIMIT_NOFILE": limits["open_files"],
        "RLIMIT_NPROC": limits["processes"],
        "RLIMIT_MEMLOCK": 0,
    }
    if LINUX and not plan["namespaces"]:
        values["RLIMIT_MSGQUEUE"] = 0  # POSIX queues persist until they are removed, and may be visible nowhere
    for name, value in values.items():
        limit(name, value, value)
    # The soft limit sends SIGXCPU, which explains the end in the log. The hard limit kills processes that ignore it.
    limit("RLIMIT_CPU", limits["cpu_seconds"], limits["cpu_seconds"] + 2)


def threads_outside_run(plan: Plan) -> int:
    """Return how many threads outside the run count toward its process limit, because the kernel counts threads per
    user.

    Zero if the run has a user of its own. Zero also in a user namespace since Linux 5.14, which has its own count.
    """
    if not LINUX or plan["change_user"]:
        return 0
    major, minor = (int(part) for part in os.uname().release.split(".")[:2])
    if plan["user_namespace"] and (major, minor) >= (5, 14):
        return 0
    threads = 0
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid == os.geteuid():
                with open(f"/proc/{name}/stat", "rb") as file:
                    threads += int(file.read().rpartition(b")")[2].split()[17])
    return threads


def limit(name: str, soft: int, hard: int) -> None:
    kind = getattr(resource, name)
    most = resource.getrlimit(kind)[1]
    if most != resource.RLIM_INFINITY:
        soft, hard = min(soft, most), min(hard, most)
    try:
        resource.setrlimit(kind, (soft, hard))
    except (ValueError, OSError):
        if LINUX:  # some limits do not exist on other systems; on Linux, a run without one must not start
            raise


def write_files(plan: Plan) -> None:
    """Write the test files, as the run's own user and into directories that were empty, so that no path is taken."""
    for name in ("files", "home", "tmp"):
        os.makedirs(f"{plan['directory']}/{name}", exist_ok=True)
    os.chdir(f"{plan['directory']}/files")
    for path, content in plan["files"]:
        if os.path.dirname(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(path, flags, 0o600), "wb") as file:
            file.write(base64.b64decode(content))
    os.chdir(plan["working_directory"])


def close_other_descriptors(kept: list[int], control: int) -> None:
    """Close all descriptors except `kept` and the standard ones. The control socket stays open until pytest has
    started.
    """
    for descriptor in kept:
        os.set_inheritable(descriptor, True)
    previous = 2
    for descriptor in sorted({*kept, control, 65536}):
        if previous + 1 < descriptor:  # closerange with an empty range from 0 would close everything
            os.closerange(previous + 1, descriptor)
        previous = descriptor


# --- the end --------------------------------------------------------------------------------------


def kill_remaining(plan: Plan, child: int) -> None:
    """Kill all remaining descendants. With namespaces all are dead already, and a single call confirms it."""
    if plan["change_user"] and not plan["namespaces"]:
        # a single call made as the run's user, so no fork can outrun it
        run_as(plan["user"], lambda: os.kill(-1, signal.SIGKILL))
    if not LINUX:
        with contextlib.suppress(OSError):
            os.killpg(child, signal.SIGKILL)
    while has_children():
        freeze_and_kill(lambda: descendants(os.getpid()), 0.002)


def has_children() -> bool:
    """Reap dead children; return whether living ones remain."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return True
    except ChildProcessError:
        return False


def write(path: str, words: str) -> None:
    with open(path, "w") as file:
        file.write(words)


if __name__ == "__main__":
    main()
