"""Child processes that never outlive the tests, ports, and waiting."""

import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SANITIZE = os.environ.get("SANITIZE") == "1"
BUILD = Path(os.environ.get("BUILD")
             or ROOT / "build" / ("asan" if SANITIZE else "")).resolve()

PR_SET_CHILD_SUBREAPER = 36

# Below the range from which the kernel takes ports for outgoing
# connections: a server that is stopped and started again finds its port free.
# Half of the tests run beside the other half: each has ports of its own.
PORTS = range(20000, 32000)
HALF = os.environ.get("PYTEST_XDIST_WORKER")
if HALF:
    PORTS = PORTS[int(HALF.removeprefix("gw")) % 2::2]
_handed_out = set()


def wait_for(condition, timeout=10, what=None, every=0.02):
    """Calls condition until it returns something true, and returns that.

    An AssertionError says what did not come about within timeout seconds.
    """
    deadline = time.monotonic() + timeout

    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            name = what or getattr(condition, "__name__", "the condition")
            raise AssertionError(f"not within {timeout} s: {name}")
        time.sleep(every)


def let_workers_in(directory):
    """A root's nginx workers are nobody's: they may read in this folder, and
    come to it."""
    for path in (directory, *directory.parents):
        if path == Path(tempfile.gettempdir()):
            return
        path.chmod(0o755)


def free_port():
    """A loopback port that nobody listens on and that was not handed out."""
    while True:
        port = random.choice(PORTS)
        if port in _handed_out:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _handed_out.add(port)
        return port


def listens(port):
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def spawn(argv, **options):
    """A child in a session of its own (a Ctrl-C is for the tests, which then
    stop it in order) that gets SIGTERM when the tests die."""
    options.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.Popen(
        ["setpriv", "--pdeathsig", "TERM", "--", *map(str, argv)],
        start_new_session=True, **options)


class _Guard:
    """A process that ends what it was told of when the tests die: for
    daemons, whose fork forgets the signal that spawn() asks for."""

    SCRIPT = """
import os, signal, sys
pids = set()
for line in sys.stdin:
    pid = int(line)
    pids.add(pid) if pid > 0 else pids.discard(-pid)
for pid in pids:
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        pass
"""

    def __init__(self):
        self.process = None

    def is_process(self, pid):
        return self.process is not None and self.process.pid == pid

    def tell(self, number):
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, "-c", self.SCRIPT], stdin=subprocess.PIPE,
                start_new_session=True, text=True)
        print(number, file=self.process.stdin, flush=True)


_guard = _Guard()


def guard(pid):
    """Has this daemon ended when the tests die."""
    _guard.tell(pid)


def unguard(pid):
    _guard.tell(-pid)


def stop(process, sig=signal.SIGTERM, timeout=20):
    """Sends sig and waits; returns False when it had to be killed."""
    if process.poll() is not None:
        return True

    process.send_signal(sig)
    try:
        process.wait(timeout)
        return True
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False


def hang_up(process, timeout=5):
    """Ends one that goes when its input does."""
    process.stdin.close()
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def children(pid):
    """Pids of the children of all its threads."""
    found = []
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in listed.read_text().split()]
        except OSError:     # the thread is gone
            pass
    return found


def descendants(pid):
    """The process and all below it."""
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += children(found[-1])
    return found


def cmdline(pid):
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ""
    return raw.replace(b"\0", b" ").decode(errors="replace").strip()


def alive(pid):
    """True unless the process is gone, or dead and not yet waited for."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def adopt_orphans():
    """Makes grandchildren whose parent died ours, so that they are found."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_children():
    """Kills, by pid, every child that is left; returns their command lines."""
    left = {}

    for _ in range(100):
        pids = [pid for pid in children(os.getpid())
                if alive(pid) and not _guard.is_process(pid)]
        for pid in pids:
            left.setdefault(pid, cmdline(pid))
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        reap()
        if not pids:
            break
        time.sleep(0.02)

    return list(left.values())


def reap_one(pid):
    """Waits for a dead child that no Popen knows; others are left alone."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass


def reap():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
