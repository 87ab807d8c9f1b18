"""The real nginx with the module, in a prefix of its own."""

import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from . import process
from .http import poll, request
from .process import (
    BUILD, SANITIZE, alive, children, cmdline, free_port, listens, wait_for)
from .sse import Sse
from .ws import WebSocket

MODULE = BUILD / "ngx_http_flux_module.so"
# NGINX would be taken for sockets that it inherits
BINARY = os.environ.get("FLUX_NGINX") or shutil.which("nginx") or "/usr/sbin/nginx"

SYS_PIDFD_GETFD = 438   # on all of Linux's architectures

CONFIG = """\
worker_processes {workers};
pid {prefix}/nginx.pid;
error_log {prefix}/error.log {log_level};
{load_module}
{environment}
{main_conf}

events {{
    worker_connections {connections};
    {events_conf}
}}

http {{
    access_log {prefix}/access.log;
    client_body_temp_path {prefix}/tmp/body;
    proxy_temp_path {prefix}/tmp/proxy;
    fastcgi_temp_path {prefix}/tmp/fastcgi;
    uwsgi_temp_path {prefix}/tmp/uwsgi;
    scgi_temp_path {prefix}/tmp/scgi;
    types {{
        text/html html;
        text/css css;
        text/javascript js;
        image/svg+xml svg;
        application/json json;
    }}
    {cluster}
    {every_http}
    {http_conf}

    server {{
        listen 127.0.0.1:{port} {listen};
        root {root};
        {server_conf}
        {status}
    }}
    {more_http}
}}
"""

CLUSTER = """\
flux_zone flux {zone};
    flux_kafka main {{ brokers {brokers}; {properties} }}
"""

STATUS = """\
location = /flux/status { flux_status; }
        location = /flux/metrics { flux_status prometheus; }
"""

DEFAULTS = dict(
    http_conf="", server_conf="", main_conf="", events_conf="", more_http="",
    workers=2, connections=1024, listen="", log_level="info", module=None,
    kafka=None, brokers=None, zone="16m", properties="", root=None,
    status=True, environment=None, launcher=(),
    # e.g. FLUX_HTTP='flux_detach on;': all tests with another default
    every_http=os.environ.get("FLUX_HTTP", ""))

SANITIZER_REPORT = re.compile(
    r"ERROR: (Address|Leak|Thread|Memory)Sanitizer|runtime error:")
EXITED_ON_SIGNAL = re.compile(r"process (\d+) exited on signal \d+")
ASAN_OPTIONS = "detect_odr_violation=0:detect_leaks=0:abort_on_error=1"


def sanitizer_environment():
    """Debian's nginx knows nothing of ASan: its runtime is preloaded."""
    if not SANITIZE:
        return {}
    asan = subprocess.run(["gcc", "-print-file-name=libasan.so"],
                          capture_output=True, text=True, check=True)
    return {"LD_PRELOAD": os.path.realpath(asan.stdout.strip()),
            "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", ASAN_OPTIONS),
            "UBSAN_OPTIONS": os.environ.get("UBSAN_OPTIONS",
                                            "print_stacktrace=1")}


class Nginx:
    """One nginx.  Made by the `nginx` fixture; see t/README.md."""

    def __init__(self, **settings):
        unknown = set(settings) - set(DEFAULTS)
        assert not unknown, f"unknown settings {unknown}"
        self.settings = {**DEFAULTS, **settings}
        self.prefix = Path(tempfile.mkdtemp(prefix="flux-nginx-"))
        self.prefix.chmod(0o755)    # a root's workers are nobody's
        (self.prefix / "tmp").mkdir()
        (self.prefix / "html").mkdir()
        self.port = free_port()
        self.master = None
        self._clients = []
        self._expected_kills = set()
        self._expected_log = []
        self._log_seen = 0
        self._write_config("nginx.conf")

    # configuration

    def _write_config(self, name):
        s = self.settings
        with_module = s["module"] if s["module"] is not None \
            else MODULE.exists()
        cluster = ""
        brokers = s["brokers"] or (s["kafka"] and s["kafka"].brokers)
        if brokers:
            cluster = CLUSTER.format(zone=s["zone"], brokers=brokers,
                                     properties=s["properties"])
        names = "\n".join(f"env {name};"
                          for name in sanitizer_environment())
        text = CONFIG.format(
            **{**s, "prefix": self.prefix, "port": self.port,
               "root": s["root"] or self.prefix / "html",
               "environment": names, "cluster": cluster,
               "load_module": f"load_module {MODULE};" if with_module else "",
               "status": STATUS if with_module and s["status"] else ""})
        path = self.prefix / name
        path.write_text(text)
        return path

    def _argv(self, config, *more):
        return [BINARY, "-p", self.prefix, "-e", self.prefix / "error.log",
                "-c", config, *more]

    def _environment(self):
        return {**os.environ, **sanitizer_environment(),
                **(self.settings["environment"] or {})}

    def test(self, **changes):
        """What `nginx -t` says of the configuration with these changes:
        (accepted, output)."""
        kept, self.settings = self.settings, {**self.settings, **changes}
        try:
            config = self._write_config("test.conf")
        finally:
            self.settings = kept
        done = subprocess.run(
            ["setpriv", "--pdeathsig", "KILL", "--",
             *map(str, self._argv(config, "-t"))],
            capture_output=True, text=True, env=self._environment(),
            timeout=60)
        output = done.stdout + done.stderr
        assert not SANITIZER_REPORT.search(output), output
        assert done.returncode >= 0, f"signal {-done.returncode}: {output}"
        return done.returncode == 0, output

    # life

    def start(self, ready=True):
        # it becomes a daemon: nginx changes its binary only as one
        with open(self.prefix / "output", "ab") as output:
            done = subprocess.run([*self.settings["launcher"],
                                   *self._argv(self.prefix / "nginx.conf")],
                                  stdin=subprocess.DEVNULL, stdout=output,
                                  stderr=output, timeout=60,
                                  env=self._environment())
        assert done.returncode == 0, \
            f"nginx did not start: {self.output}{self.error_log}"

        self.master = wait_for(lambda: self.pidfile, 10, "nginx's pid file")
        process.guard(self.master)
        wait_for(lambda: listens(self.port)
                 and len(self.workers()) == self._worker_count(), 30,
                 "nginx listens")
        if ready and "flux_feed" in self.settings["http_conf"]:
            self.wait_ready()
        return self

    def _worker_count(self):
        workers = self.settings["workers"]
        return os.cpu_count() if workers == "auto" else int(workers)

    def wait_ready(self, timeout=30):
        """Waits until every feed has been read up to its end."""
        def ready():
            feeds = self.status().get("feeds", {})
            return feeds and all(f["ready"] for f in feeds.values())

        wait_for(ready, timeout, "every feed is ready", every=0.05)

    def reload(self, wait=True, **changes):
        """Writes the configuration anew with changes, sends SIGHUP, waits
        for the new workers; the old ones may still be shutting down."""
        self.settings.update(changes)
        self._write_config("nginx.conf")
        old = set(self.workers())
        marker = len(self.error_log)
        os.kill(self.master, signal.SIGHUP)
        if not wait:
            return

        def reloaded():
            new = self.error_log[marker:]
            assert "[emerg]" not in new, f"reload failed: {new}"
            workers = set(self.workers())
            return len(workers) == self._worker_count() and not workers & old

        wait_for(reloaded, 20, "new workers after a reload")

    def wait_old_workers_gone(self, timeout=20):
        wait_for(lambda: len(self.workers(all=True)) == self._worker_count(),
                 timeout, "the old workers are gone")

    def upgrade(self):
        """Changes the binary under way (USR2, then QUIT to the old one)."""
        old = self.master
        os.kill(old, signal.SIGUSR2)
        wait_for(lambda: self.pidfile not in (None, old), 20,
                 "a new master's pid file")
        self.master = self.pidfile
        process.guard(self.master)
        wait_for(lambda: len(self.workers()) == self._worker_count(), 20,
                 "the new master's workers")
        os.kill(old, signal.SIGQUIT)

    def quit(self, wait=True, timeout=30):
        """SIGQUIT: shuts down gracefully."""
        self._end(signal.SIGQUIT, wait, timeout)

    def terminate(self, wait=True, timeout=10):
        """SIGTERM: shuts down fast."""
        self._end(signal.SIGTERM, wait, timeout)

    def _end(self, sig, wait, timeout):
        if self.running:
            os.kill(self.master, sig)
        if wait:
            self.wait_ended(timeout)

    def wait_ended(self, timeout=30):
        wait_for(lambda: not self.running, timeout, "nginx has ended")

    @property
    def running(self):
        if self.master is None:
            return False
        process.reap_one(self.master)
        return alive(self.master)

    # processes

    @property
    def pidfile(self):
        try:
            return int((self.prefix / "nginx.pid").read_text())
        except (OSError, ValueError):
            return None

    def workers(self, all=False):
        """Pids of the workers, those that are shutting down only with all."""
        found = []
        for pid in children(self.master):
            line = cmdline(pid)
            if not line.startswith("nginx: worker process"):
                continue
            if all or "shutting down" not in line:
                found.append(pid)
        return found

    @property
    def writer(self):
        """The pid of the worker that consumes, as the status tells it."""
        return self.status()["writer"]["pid"]

    def worker_of(self, client):
        """The pid of the worker that serves this reader."""
        return worker_of(client.local_port, self.port, self.workers(all=True))

    def socket_option(self, client, level, option):
        """An option of the server's end of this reader's connection."""
        pid, fd = _server_end(client.local_port, self.port,
                              self.workers(all=True))
        process = os.pidfd_open(pid)
        try:
            copy = ctypes.CDLL(None, use_errno=True).syscall(
                SYS_PIDFD_GETFD, process, fd, 0)
            if copy < 0:
                raise OSError(ctypes.get_errno(), "pidfd_getfd")
        finally:
            os.close(process)
        with socket.socket(fileno=copy) as end:
            return end.getsockopt(level, option)

    def kill(self, pid, sig=signal.SIGKILL):
        """Kills a worker and expects the alert that nginx logs of it."""
        self.expect_kill(pid)
        os.kill(pid, sig)

    def expect_kill(self, pid):
        """This test kills the worker pid: its alert is no failure."""
        self._expected_kills.add(pid)

    def expect_log(self, pattern):
        """Lines of the error log that match are no failure of this test."""
        self._expected_log.append(re.compile(pattern))

    # what it says

    @property
    def error_log(self):
        return self._read("error.log")

    @property
    def access_log(self):
        return self._read("access.log")

    @property
    def output(self):
        return self._read("output")

    def _read(self, name):
        try:
            return (self.prefix / name).read_text(errors="replace")
        except OSError:
            return ""

    def wait_log(self, pattern, timeout=10):
        return wait_for(lambda: re.search(pattern, self.error_log), timeout,
                        f"{pattern!r} in the error log")

    def status(self):
        answer = self.get("/flux/status")
        assert answer.status == 200, answer.body
        return answer.json()

    def metrics(self):
        """{'name{label="value"}': number}"""
        answer = self.get("/flux/metrics")
        assert answer.status == 200, answer.body
        values = {}
        for line in answer.body.decode().splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                values[name] = float(value)
        return values

    # clients; those that stay open are closed when the test ends

    def url(self, path="/", scheme="http"):
        return f"{scheme}://127.0.0.1:{self.port}{path}"

    def sse(self, path, **options):
        return self._keep(Sse(self.url(path), **options))

    def ws(self, path, **options):
        return self._keep(WebSocket(self.url(path, "ws"), **options))

    def again(self, client, **changes):
        """Reconnects a reader with its cursor, on this nginx."""
        parts = client.arguments["url"].split("/", 3)
        url = self.url("/" + parts[3], parts[0].rstrip(":"))
        return self._keep(client.again(**{"url": url, **changes}))

    def poll(self, path, **options):
        return poll(self.url(path), **options)

    def request(self, method, path, headers=None, body=None, timeout=70):
        return request(method, self.url(path), headers, body, timeout)

    def get(self, path, headers=None, timeout=70):
        return self.request("GET", path, headers, timeout=timeout)

    def post(self, path, body, headers=None, timeout=70):
        return self.request("POST", path, headers, body, timeout)

    def socket(self):
        """A bare connection, for bytes that no client would send."""
        connection = socket.create_connection(("127.0.0.1", self.port), 10)
        return self._keep(connection)

    def _keep(self, client):
        self._clients.append(client)
        return client

    # the end

    def close(self):
        """Stops it; returns what the test has to answer for."""
        for client in self._clients:
            try:
                client.close()
            except Exception:
                pass

        problems = []
        tree = self._tree()
        if self.running:
            started = time.monotonic()
            os.kill(self.master, signal.SIGQUIT)
            try:
                self.wait_ended(30)
            except AssertionError:
                problems.append("nginx did not end within 30 s of SIGQUIT")
            if time.monotonic() - started > 15:
                problems.append("nginx took more than 15 s to quit without "
                                "readers")
        for pid in tree:
            if alive(pid) and cmdline(pid).startswith("nginx:"):
                problems.append(f"left behind: {cmdline(pid)}")
                os.kill(pid, signal.SIGKILL)
        if self.master is not None:
            process.unguard(self.master)

        problems += self.complaints()
        shutil.rmtree(self.prefix, ignore_errors=True)
        return problems

    def _tree(self):
        if self.master is None:
            return []
        return [self.master, *self.workers(all=True)]

    def complaints(self):
        """Lines of the log that no test may cause without declaring it."""
        log = self.error_log + self.output
        found = []

        for line in log.splitlines():
            exited = EXITED_ON_SIGNAL.search(line)
            if exited and int(exited.group(1)) in self._expected_kills:
                continue
            if any(p.search(line) for p in self._expected_log):
                continue
            if (exited or "[alert]" in line or "[emerg]" in line
                    or "open socket #" in line):
                found.append(line)

        report = SANITIZER_REPORT.search(log)
        if report:
            found.append(log[max(0, report.start() - 200):
                             report.start() + 6000])
        return found


def worker_of(client_port, server_port, pids):
    """Which of these processes holds the server's end of a connection."""
    return _server_end(client_port, server_port, pids)[0]


def _server_end(client_port, server_port, pids):
    """Which process that is, and its descriptor."""
    local = f"0100007F:{server_port:04X}"
    remote = f"0100007F:{client_port:04X}"
    inode = None
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1] == local and fields[2] == remote:
            inode = f"socket:[{fields[9]}]"
    for pid in pids:
        directory = f"/proc/{pid}/fd"
        for fd in os.listdir(directory):
            try:
                if os.readlink(f"{directory}/{fd}") == inode:
                    return pid, int(fd)
            except OSError:
                continue
    return None, None
