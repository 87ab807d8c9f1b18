"""What is measured: Flux and its peers, each started with a Kafka's topic.

A server has a port, the pids that are its own, and for each transport what
the load client needs to read it.
"""

import os
import random
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = Path(os.environ.get("BUILD", ROOT / "build"))
TOOLS = BUILD / "bench"
CACHE = Path(os.environ.get("FLUX_CACHE") or
             Path(os.environ.get("XDG_CACHE_HOME",
                                 Path.home() / ".cache")) / "flux")
PEERS = CACHE / "bench-peers"
NGINX = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
NCHAN = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
PATIENCE = 30


class Missing(Exception):
    """This peer cannot run here."""


def free_port():
    """Below those that the kernel gives to clients."""
    while True:
        port = random.randrange(10000, 30000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def wait(condition, what):
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"waited in vain for {what}")
        time.sleep(.02)


def listens(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def children(pid):
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(n) for n in path.read_text().split()]


class Server:
    name = "?"
    transports = ("ws",)
    path = "/"

    def __init__(self):
        self.port = free_port()
        self.directory = Path(tempfile.mkdtemp(prefix="flux-bench-"))
        self.directory.chmod(0o755)
        self.processes = []

    def spawn(self, argv, **options):
        log = open(self.directory / "log", "ab")
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "--", *map(str, argv)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options)
        self.processes.append(process)
        return process

    def log(self):
        return (self.directory / "log").read_text(errors="replace")

    def pids(self):
        return [p.pid for p in self.processes]

    def reading(self, transport):
        """Options of the load client."""
        return ["--path", self.path]

    def stop(self):
        for process in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in reversed(self.processes):
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()


class Raw(Server):
    """One loop that only sends: what no server can be cheaper than."""
    name = "raw"
    transports = ("ws", "sse")
    produces = True
    processes_wanted = 1

    def __init__(self, rate, size=256, first=0, **_):
        super().__init__()
        self.rate, self.size, self.first = rate, size, first

    def start(self):
        self.spawn([TOOLS / "raw", self.port, self.rate, self.size,
                    self.processes_wanted, self.first])
        wait(lambda: listens(self.port), self.name)


class RawPair(Raw):
    """Two of them: what two workers cannot be cheaper than."""
    name = "raw, two processes,"
    processes_wanted = 2

    def start(self):
        super().start()
        wait(lambda: children(self.processes[0].pid), self.name)

    def pids(self):
        return super().pids() + children(self.processes[0].pid)


NGINX_CONF = """\
daemon off;
worker_processes {workers};
worker_rlimit_nofile {files};
pid {directory}/nginx.pid;
error_log {directory}/error.log notice;
load_module {module};

events {{ worker_connections {connections}; }}

http {{
    access_log off;
    client_body_temp_path {directory}/tmp;
    proxy_temp_path {directory}/tmp;
    fastcgi_temp_path {directory}/tmp;
    uwsgi_temp_path {directory}/tmp;
    scgi_temp_path {directory}/tmp;
    {http}

    server {{
        listen 127.0.0.1:{port} backlog=4096 {listen};
        {server}
    }}
}}
"""


class Nginx(Server):
    transports = ("ws", "sse")
    listen = "reuseport"

    def __init__(self, workers=2, connections=None):
        super().__init__()
        self.workers = workers
        self.connections = connections or 20000 // workers - 200

    def start_nginx(self, module, http, server):
        if NGINX is None:
            raise Missing("no nginx")
        (self.directory / "tmp").mkdir()
        (self.directory / "nginx.conf").write_text(NGINX_CONF.format(
            workers=self.workers, connections=self.connections,
            files=self.connections + 100, directory=self.directory,
            module=module, http=http, server=server, port=self.port,
            listen=self.listen))
        self.master = self.spawn(
            [NGINX, "-p", self.directory, "-e", self.directory / "error.log",
             "-c", self.directory / "nginx.conf"])
        wait(lambda: self.master.poll() is not None or listens(self.port),
             "nginx")
        if self.master.poll() is not None:
            raise RuntimeError(self.log() + self.errors())

    def errors(self):
        return (self.directory / "error.log").read_text()

    def pids(self):
        return children(self.master.pid)


class Flux(Nginx):
    name = "Flux"
    scheme = "http"

    def __init__(self, brokers, topic, zone="64m", feed="", server="",
                 stream="room", module=None, compress="off", http="",
                 **options):
        for name in ("rate", "kept"):
            options.pop(name, None)
        super().__init__(**options)
        self.brokers, self.topic = brokers, topic
        self.zone, self.feed, self.more = zone, feed, server
        self.stream = stream
        self.module = module or BUILD / "ngx_http_flux_module.so"
        self.compress, self.http = compress, http
        self.path = "/live"

    def start(self, ready=True):
        self.start_nginx(
            self.module,
            f"""connection_pool_size 384; request_pool_size 864;
    {self.http}
    flux_zone flux {self.zone};
    flux_kafka main {{ brokers {self.brokers}; }}
    flux_feed room {{ topic {self.topic}; {self.feed} }}""",
            f"""location /live {{ flux_stream {self.stream};
                    flux_compress {self.compress}; {self.more} }}
        location = /status {{ flux_status; }}""")
        if ready:
            wait(self.ready, "Flux to be ready")

    def complete(self):
        """The same, from the log: asking a busy worker costs its time."""
        return 'feed "room" is complete' in self.errors()

    def status(self):
        import json
        import urllib.request
        context = None if self.scheme == "http" \
            else ssl._create_unverified_context()
        with urllib.request.urlopen(
                f"{self.scheme}://127.0.0.1:{self.port}/status",
                context=context) as answer:
            return json.load(answer)

    def ready(self):
        return self.status()["feeds"]["room"]["ready"]


class FluxTls(Flux):
    listen = "ssl reuseport"
    scheme = "https"

    def start_nginx(self, module, http, server):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
             "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
             "/CN=localhost", "-keyout", self.directory / "key.pem", "-out",
             self.directory / "cert.pem"], check=True, capture_output=True)
        super().start_nginx(module, http, f"""
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_certificate {self.directory}/cert.pem;
        ssl_certificate_key {self.directory}/key.pem;
        {server}""")


class Nchan(Nginx):
    """Another nginx, and a bridge that posts Kafka's records to it.  `kept`:
    so many records are what a reader gets first, the newest one otherwise."""
    name = "nchan"
    path = "/live"

    def __init__(self, brokers, topic, rate=0, compress="off", kept=0,
                 **options):
        super().__init__(**options)
        self.kept = kept
        self.brokers, self.topic = brokers, topic
        self.compress = compress

    def start(self):
        if not NCHAN.exists():
            raise Missing("no libnginx-mod-nchan")
        self.start_nginx(
            NCHAN, "nchan_shared_memory_size 64m;",
            f"""location = /live {{ nchan_subscriber websocket eventsource;
                    nchan_channel_id room;
                    nchan_subscriber_first_message {
                        "oldest" if self.kept else "newest"}; }}
        location = /post {{ nchan_publisher; nchan_channel_id room;
                    nchan_deflate_message_for_websocket {self.compress};
                    nchan_message_buffer_length {self.kept or 10}; }}""")
        self.bridge = self.spawn([TOOLS / "kafka", "bridge", self.brokers,
                                  self.topic, self.port, "/post"])
        time.sleep(.5)

    def pids(self):
        return super().pids() + [self.bridge.pid]


class Script(Server):
    """A program for Node or Bun, with kafkajs."""

    def __init__(self, brokers, topic, rate=0, compress="off", **_):
        super().__init__()
        self.brokers, self.topic = brokers, topic
        self.compress = compress

    def start(self):
        runtime = self.runtime()
        if runtime is None or not (PEERS / "node_modules/kafkajs").exists():
            raise Missing("run tools/bench-peers")
        shutil.copy(ROOT / "bench/peers" / self.script, self.directory)
        os.symlink(PEERS / "node_modules", self.directory / "node_modules")
        self.spawn([runtime, self.directory / self.script, self.brokers,
                    self.topic, self.port], cwd=self.directory,
                   env={**os.environ,
                        "COMPRESS": "1" if self.compress == "on" else ""})
        wait(lambda: self.processes[0].poll() is not None
             or "ready" in self.log(), self.name)
        if self.processes[0].poll() is not None:
            raise Missing(self.log()[:300])


class WebSockets(Script):
    name = "uWebSockets"
    script = "websockets.js"

    def runtime(self):
        # the program itself: `bun` of node_modules/.bin is a launcher
        found = PEERS / "node_modules/.bin/bun"
        return found.resolve() if found.exists() else None


class SocketIO(Script):
    name = "Socket.IO"
    script = "socketio.js"
    path = "/socket.io/?EIO=4&transport=websocket"

    def runtime(self):
        return shutil.which("node")

    def reading(self, transport):
        return [*super().reading(transport), "--hello", "40",
                "--echo", "2", "3"]


class Centrifugo(Server):
    """Consumes Kafka by itself, as a member of a group."""
    name = "Centrifugo"
    transports = ("ws", "sse")

    def __init__(self, brokers, topic, rate=0, **_):
        super().__init__()
        self.brokers, self.topic = brokers, topic

    def start(self):
        import json
        program = PEERS / "centrifugo"
        if not program.exists():
            raise Missing("run tools/bench-peers --with-centrifugo")
        (self.directory / "config.json").write_text(json.dumps({
            "http_server": {"address": "127.0.0.1", "port": str(self.port)},
            "log": {"level": "warn"},
            "client": {"insecure": True, "allowed_origins": ["*"]},
            "uni_sse": {"enabled": True},
            "uni_websocket": {"enabled": True},
            "channel": {"without_namespace":
                        {"allow_subscribe_for_client": True}},
            "consumers": [{
                "name": "kafka", "enabled": True, "type": "kafka",
                "kafka": {"brokers": [self.brokers], "topics": [self.topic],
                          "consumer_group": f"centrifugo-{self.port}",
                          "publication_data_mode": {
                              "enabled": True,
                              "channels_header": "channel"}}}]}))
        self.spawn([program, "--config", self.directory / "config.json"])
        wait(lambda: self.processes[0].poll() is not None
             or listens(self.port), self.name)
        time.sleep(5)

    def reading(self, transport):
        if transport == "sse":
            return ["--path", "/connection/uni_sse?cf_connect="
                    "%%7B%%22subs%%22%%3A%%7B%%22room%%22%%3A%%7B%%7D%%7D%%7D"]
        return ["--path", "/connection/uni_websocket",
                "--hello", '{"subs":{"room":{}}}']
