"""A provider on this machine: answers, and misbehaves, as a test says.

A route is a path (without its query) and a list of answers; each request
takes the next one, the last one stays. An answer is a function that gets the
handler, or bytes, text or JSON for a plain 200.
"""

import base64
import gzip
import hashlib
import json
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


def reply(body=b"", status=200, headers=None, type="application/json"):
    """An answer with all its parts in order."""
    if not isinstance(body, (bytes, str)):
        body = json.dumps(body)
    body = body.encode() if isinstance(body, str) else body

    def answer(h):
        h.send_response(status)
        for name, value in {"Content-Type": type, **(headers or {})}.items():
            h.send_header(name, value)
        h.send_header("Content-Length", str(len(body)))
        h.end_headers()
        h.wfile.write(body)

    return answer


def cut(body, promised=100000):
    """Promises more than it sends."""
    def answer(h):
        h.send_response(200)
        h.send_header("Content-Length", str(promised))
        h.end_headers()
        h.wfile.write(body.encode())
        h.close_connection = True

    return answer


def chunked(chunk=b"x" * 65536, count=200):
    """A body of unknown length."""
    def answer(h):
        h.send_response(200)
        h.send_header("Transfer-Encoding", "chunked")
        h.end_headers()
        for _ in range(count):
            h.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        h.wfile.write(b"0\r\n\r\n")

    return answer


def bomb(size=200 * 1024 * 1024):
    """A small gzip body that is a large one."""
    return reply(gzip.compress(bytes(size), 9),
                 headers={"Content-Encoding": "gzip"})


def gzipped(body):
    return reply(gzip.compress(json.dumps(body).encode()),
                 headers={"Content-Encoding": "gzip"})


def redirect(url):
    return reply(status=302, headers={"Location": url})


def silence(seconds=60):
    """Takes the request and says nothing."""
    def answer(h):
        h.server.stub.closed.wait(seconds)
        h.close_connection = True

    return answer


def websocket(session):
    """Upgrades, then session(ws) has the connection."""
    def answer(h):
        key = h.headers["Sec-WebSocket-Key"]
        guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(
            hashlib.sha1((key + guid).encode()).digest()).decode()
        h.send_response(101)
        h.send_header("Upgrade", "websocket")
        h.send_header("Connection", "Upgrade")
        h.send_header("Sec-WebSocket-Accept", accept)
        h.end_headers()
        h.close_connection = True
        session(WebSocket(h))

    return answer


class WebSocket:
    """The server's end, as little of RFC 6455 as tests need."""

    def __init__(self, handler):
        self.handler = handler
        self.closed = handler.server.stub.closed

    def send(self, payload, opcode=1, fin=True):
        if not isinstance(payload, (bytes, str)):
            payload = json.dumps(payload)
        payload = payload.encode() if isinstance(payload, str) else payload
        size = len(payload)
        head = bytes([opcode | (0x80 if fin else 0)])
        if size < 126:
            head += bytes([size])
        elif size < 65536:
            head += b"\x7e" + size.to_bytes(2, "big")
        else:
            head += b"\x7f" + size.to_bytes(8, "big")
        self.raw(head + payload)

    def raw(self, data):
        self.handler.wfile.write(data)
        self.handler.wfile.flush()

    def receive(self):
        """(opcode, payload) of a client's frame, which has to be masked."""
        read = self.handler.rfile.read
        head = read(2)
        if len(head) < 2:
            return None, b""
        assert head[1] & 0x80, "a client's frame is masked"
        size = head[1] & 0x7f
        if size == 126:
            size = int.from_bytes(read(2), "big")
        elif size == 127:
            size = int.from_bytes(read(8), "big")
        mask = read(4)
        payload = bytes(b ^ mask[i % 4] for i, b in enumerate(read(size)))
        return head[0] & 0x0f, payload


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self):
        stub = self.server.stub
        parts = urlsplit(self.path)
        with stub.lock:
            stub.requests.append((parts.path, parse_qs(parts.query),
                                  dict(self.headers), time.monotonic()))
            answers = stub.routes.get(parts.path, stub.default)
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
        try:
            if not callable(answer):
                answer = reply(answer)
            answer(self)
        except OSError:
            self.close_connection = True    # the client has left

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass


class Stub:
    def __init__(self, tls=None):
        self.lock = threading.Lock()
        self.closed = threading.Event()
        self.routes = {}
        self.default = [reply({"message": "NotFound"}, 404)]
        self.requests = []
        self.tls = tls
        self.certificate = None

    def start(self):
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.stub = self
        scheme = "http"
        if self.tls is not None:
            self._secure()
            scheme = "https"
        self.port = self.server.server_address[1]
        self.url = f"{scheme}://localhost:{self.port}"
        threading.Thread(target=self.server.serve_forever,
                         kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def _secure(self):
        key, self.certificate = self.tls / "key.pem", self.tls / "cert.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
             "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
             "-subj", "/CN=localhost", "-addext",
             "subjectAltName=DNS:localhost", "-keyout", key, "-out",
             self.certificate], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)
        self.server.socket = context.wrap_socket(self.server.socket,
                                                 server_side=True)

    def route(self, path, *answers):
        with self.lock:
            self.routes[path] = list(answers)

    def asked(self, path):
        """The requests for a path: (path, query, headers, time)."""
        with self.lock:
            return [r for r in self.requests if r[0] == path]

    def close(self):
        self.closed.set()
        self.server.shutdown()
        self.server.server_close()
