"""HTTP/2, TLS, and sockets that take little: the bytes that arrive."""

import json
import os
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse
import zlib

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest

from harness.http import request
from harness.process import free_port, wait_for
from harness.sse import Sse
from harness.stream import parse_frame
from harness.ws import WebSocket


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """nginx.conf lines of a certificate for localhost"""
    path = tmp_path_factory.mktemp("certificate")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
         "/CN=localhost", "-keyout", path / "key.pem", "-out",
         path / "cert.pem"], check=True, capture_output=True)
    return (f"ssl_certificate {path}/cert.pem; "
            f"ssl_certificate_key {path}/key.pem;")


def tls(alpn=None):
    context = ssl._create_unverified_context()
    if alpn:
        context.set_alpn_protocols([alpn])
    return context


@pytest.fixture
def live(kafka, nginx, module, certificate):
    def make(listen="", more="", records=2, size=0, topic=None, **settings):
        topic = topic or kafka.create_topic()
        for i in range(records):
            kafka.produce(topic, {"n": i, "pad": os.urandom(size // 2).hex()},
                          key=f"k{i}")
        kafka.flush()
        n = nginx(kafka=kafka, http_conf=f"flux_feed f {{ topic {topic}; }}",
                  server_conf=f"""
                  {certificate if 'ssl' in listen else ''}
                  location = /live {{ flux_stream f; {more} }}""",
                  listen=listen, status=False, ready=False, more_http=f"""
                  server {{ listen 127.0.0.1:{(port := free_port())};
                            location /flux/status {{ flux_status; }} }}""",
                  **settings)
        n.topic = topic
        n.status = lambda: request(
            "GET", f"http://127.0.0.1:{port}/flux/status").json()
        n.wait_ready()
        return n
    return make


class H2:
    """An HTTP/2 connection whose windows a test controls."""

    def __init__(self, n, secure=False, window=None, streams_window=None):
        self.socket = socket.create_connection(("127.0.0.1", n.port), 10)
        if secure:
            self.socket = tls("h2").wrap_socket(self.socket)
            assert self.socket.selected_alpn_protocol() == "h2"
        self.socket.settimeout(10)
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True))
        self.h2.initiate_connection()
        if streams_window is not None:
            self.h2.update_settings({
                h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: streams_window})
        self.flush()
        self.headers = {}
        self.data = {}
        self.ended = {}
        self.auto = True       # give windows back
        self.rest = b""        # of a frame that has not all come

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            self.socket.sendall(data)

    def get(self, path, accept="text/event-stream", method="GET", **more):
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, [
            (":method", method), (":scheme", "http"),
            (":authority", "localhost"), (":path", path), ("accept", accept),
            *more.items()], end_stream=True)
        self.data[stream] = b""
        self.flush()
        return stream

    def step(self, timeout=10):
        self.socket.settimeout(timeout)
        data = self.socket.recv(65536)
        assert data, "closed"
        self.rest += data
        while len(self.rest) >= 9 + (size := int.from_bytes(self.rest[:3],
                                                            "big")):
            self.take(self.rest[:9 + size])
            self.rest = self.rest[9 + size:]
        self.flush()

    def take(self, frame):
        """Frame by frame, as a GOAWAY closes h2 to what comes with it."""
        for event in self.h2.receive_data(frame):
            if isinstance(event, h2.events.ResponseReceived):
                self.headers[event.stream_id] = {
                    (k.decode() if isinstance(k, bytes) else k):
                    (v.decode() if isinstance(v, bytes) else v)
                    for k, v in event.headers}
            elif isinstance(event, h2.events.DataReceived):
                self.data[event.stream_id] += event.data
                if self.auto and event.flow_controlled_length:
                    self.h2.acknowledge_received_data(
                        event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self.ended[event.stream_id] = True
            elif isinstance(event, h2.events.StreamReset):
                self.ended[event.stream_id] = event.error_code
            elif isinstance(event, h2.events.ConnectionTerminated):
                self.ended[0] = event.error_code
                # h2 takes no data after a GOAWAY; RFC 9113, 6.8 allows it
                self.h2.state_machine.state = \
                    h2.connection.ConnectionState.CLIENT_OPEN

    def until(self, condition, timeout=10):
        deadline = time.monotonic() + timeout
        while not condition():
            left = deadline - time.monotonic()
            assert left > 0, (self.headers, self.ended,
                              {k: v[-300:] for k, v in self.data.items()})
            try:
                self.step(left)
            except TimeoutError:
                pass

    def frames(self, stream):
        """The frames of the whole blocks that have come."""
        *blocks, _ = self.data[stream].split(b"\n\n")
        frames = []
        for block in blocks:
            for line in block.split(b"\n"):
                name, _, value = line.partition(b": ")
                if name == b"data":
                    frames.append(parse_frame(value))
                else:
                    assert name in (b"id", b"retry", b":"), block
        return frames

    def updates(self, stream):
        return [m for f in self.frames(stream) for m in f.messages
                if m["type"] == "update"]

    def close(self):
        self.socket.close()


def test_http2_streams(live, kafka):
    """Many streams on one connection get the same, over and over."""
    n = live(listen="http2")
    c = H2(n)
    streams = [c.get("/live") for _ in range(50)]
    c.until(lambda: all(len(c.frames(s)) == 1 for s in streams))
    assert c.headers[streams[0]][":status"] == "200"
    assert c.headers[streams[0]]["content-type"] == "text/event-stream"
    assert c.headers[streams[0]]["cache-control"] == "no-store"
    assert "transfer-encoding" not in c.headers[streams[0]]
    assert "connection" not in c.headers[streams[0]]
    for i in range(20):
        kafka.produce(n.topic, {"i": i}, key="a")
        kafka.flush()
    c.until(lambda: all(len(c.updates(s)) == 20 for s in streams))
    for s in streams:
        assert [m["data"]["i"] for m in c.updates(s)] == list(range(20))
    c.close()


def test_http2_poll_and_codes(live):
    n = live(listen="http2")
    c = H2(n)
    c.until(lambda: True)
    poll = c.get("/live", accept="*/*")
    head = c.get("/live", method="HEAD")
    c.until(lambda: poll in c.ended and head in c.ended)
    assert c.headers[poll][":status"] == "200"
    assert parse_frame(c.data[poll]).messages[0]["type"] == "snapshot"
    assert c.headers[head][":status"] == "405"
    assert c.headers[head]["cache-control"] == "no-store"
    c.close()


def test_http2_flow_control(live, kafka):
    """One stream's window is closed: it catches up later, the other goes on."""
    n = live(listen="http2", records=40, size=2000)
    c = H2(n, streams_window=1000)
    c.auto = False
    slow, fast = c.get("/live"), c.get("/live")
    c.until(lambda: len(c.data[slow]) == 1000 and len(c.data[fast]) == 1000)
    # the fast one's window only
    c.h2.increment_flow_control_window(10_000_000)
    c.h2.increment_flow_control_window(10_000_000, fast)
    c.flush()
    c.until(lambda: len(c.frames(fast)) == 1)
    kafka.send(n.topic, {"i": 1}, key="a")
    kafka.send(n.topic, {"i": 2}, key="a")
    c.until(lambda: any(m["data"].get("i") == 2 for m in c.updates(fast)))
    assert len(c.data[slow]) == 1000
    c.h2.increment_flow_control_window(10_000_000, slow)
    c.flush()
    c.until(lambda: any(m["data"].get("i") == 2 for m in c.updates(slow)))
    snapshot = c.frames(slow)[0].messages[0]
    assert len(snapshot["items"]) == 40
    c.close()


def test_http2_small_windows_lose_no_byte(live, kafka):
    n = live(listen="http2", records=20, size=1000)
    c = H2(n, streams_window=300)
    s = c.get("/live")
    c.until(lambda: len(c.frames(s)) == 1)
    sent = 0
    for i in range(200):
        kafka.produce(n.topic, {"i": i, "pad": "x" * 200}, key="a")
    kafka.flush()
    c.until(lambda: c.updates(s) and c.updates(s)[-1]["data"]["i"] == 199)
    got = [m["data"]["i"] for m in c.updates(s)]
    assert got == sorted(set(got))
    c.close()


def test_http2_reset_by_the_client(live, kafka):
    n = live(listen="http2", workers=1)
    c = H2(n)
    gone = [c.get("/live") for _ in range(20)]
    stays = c.get("/live")
    c.until(lambda: all(len(c.frames(s)) == 1 for s in [*gone, stays]))
    for s in gone:
        c.h2.reset_stream(s, 8)
    c.flush()
    kafka.send(n.topic, {"i": 1}, key="a")
    c.until(lambda: c.updates(stays))
    # connections that vanish with open streams
    for _ in range(5):
        other = H2(n)
        other.get("/live")
        other.until(lambda: other.headers)
        other.close()
    kafka.send(n.topic, {"i": 2}, key="a")
    c.until(lambda: len(c.updates(stays)) == 2)
    c.close()


def test_http2_reset_while_blocked(live, kafka):
    n = live(listen="http2", workers=1, records=40, size=2000)
    c = H2(n, streams_window=1000)
    c.auto = False
    slow = [c.get("/live") for _ in range(5)]
    c.until(lambda: all(len(c.data[s]) == 1000 for s in slow))
    for s in slow:
        c.h2.reset_stream(s, 8)
    c.flush()
    kafka.send(n.topic, {"i": 1}, key="a")
    fresh = c.get("/live")
    c.h2.increment_flow_control_window(10_000_000)
    c.h2.increment_flow_control_window(10_000_000, fresh)
    c.flush()
    c.until(lambda: len(c.frames(fresh)) >= 1)
    c.close()


def test_http2_end_at_reload(live):
    n = live(listen="http2", more="", workers=1)
    c = H2(n)
    s = c.get("/live")
    c.until(lambda: len(c.frames(s)) == 1)
    n.reload(wait=False)
    c.until(lambda: s in c.ended, 15)
    assert c.ended[s] is True
    last = c.frames(s)[-1].messages
    assert last[0]["type"] == "end" and last[0]["reason"] == "reload"
    c.close()


def test_http2_over_tls_with_curl(live, kafka):
    n = live(listen="ssl http2")
    curl = subprocess.Popen(
        ["curl", "-sNk", "--http2", "-D", "-", "--max-time", "10", "-H",
         "Accept: text/event-stream", n.url("/live", "https")],
        stdout=subprocess.PIPE)
    try:
        text = b""
        while b"\n\n" not in text.partition(b"\r\n\r\n")[2]:
            text += curl.stdout.read1(65536)
        assert text.startswith(b"HTTP/2 200")
        kafka.send(n.topic, {"i": 1}, key="a")
        while b'"i":1' not in text:
            piece = curl.stdout.read1(65536)
            assert piece, text
            text += piece
    finally:
        curl.kill()
        curl.wait()


def test_tls(live, kafka):
    n = live(listen="ssl")
    s = n._keep(Sse(n.url("/live", "https"), context=tls()))
    w = n._keep(WebSocket(n.url("/live", "https"), ssl=tls()))
    for r in (s, w):
        r.wait_snapshot("f")
    for i in range(20):
        kafka.send(n.topic, {"i": i}, key="a")
    for r in (s, w):
        r.wait_value("f", "a", {"i": 19})
        assert [d["i"] for d in r.data("f", "a")] == list(range(20))
    w.send({"op": "ping"})
    w.wait_type("pong")


@pytest.mark.parametrize("secure, nodelay", [
    (False, "on"), (False, "off"), (True, "on")])
def test_no_record_waits_for_an_acknowledgement(live, secure, nodelay):
    """A stream is sent by small writes: Nagle's algorithm would hold each
    back until the client's kernel has acknowledged the one before."""
    n = live(listen="ssl" if secure else "", more=f"tcp_nodelay {nodelay};")
    options = ({"context": tls()}, {"ssl": tls()}) if secure else ({}, {})
    scheme = "https" if secure else "http"
    readers = [Sse(n.url("/live", scheme), **options[0]),
               WebSocket(n.url("/live", scheme), **options[1])]
    for reader in readers:
        n._keep(reader).wait_snapshot("f")
        assert n.socket_option(reader, socket.IPPROTO_TCP,
                               socket.TCP_NODELAY) == (nodelay == "on")


def narrow(n, request, secure, window=2048):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    s.settimeout(10)
    s.connect(("127.0.0.1", n.port))
    if secure:
        s = tls().wrap_socket(s)
    s.sendall(request.encode())
    return n._keep(s)


HELLO = {
    "sse": "GET {} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n",
    "websocket": "GET {} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
                 "Connection: upgrade\r\nSec-WebSocket-Version: 13\r\n"
                 "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"}


@pytest.mark.parametrize("transport", HELLO)
def test_the_first_frame_comes_with_the_header(live, transport):
    """One write, and one wake-up of the client, for both."""
    n = live(records=3)
    n._keep(Sse(n.url("/live"))).wait_snapshot("f")
    for _ in range(20):
        s = narrow(n, HELLO[transport].format("/live"), False, 65536)
        head, _, first = s.recv(65536).partition(b"\r\n\r\n")
        assert head.split()[1] in (b"200", b"101")
        assert b'"snapshot"' in first and first.endswith((b"]", b"\r\n"))


@pytest.mark.parametrize("transport", HELLO)
def test_a_header_waits_for_no_frame(live, transport):
    """Who has missed nothing is not sent anything yet, but is let in."""
    n = live(records=3)
    reader = n._keep(Sse(n.url("/live")))
    reader.wait_snapshot("f")
    s = narrow(n, HELLO[transport].format(
        "/live?cursor=" + urllib.parse.quote(reader.cursor)), False)
    got = s.recv(65536)
    assert got.endswith(b"\r\n\r\n"), got
    assert got.split()[1] in (b"200", b"101")


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("postpone", [0, 1460, "1m"])
def test_a_header_that_does_not_fit_the_socket(live, secure, postpone):
    fields = "".join(f"add_header X-{i} {'x' * 1000};" for i in range(100))
    n = live(listen=("ssl " if secure else "") + "sndbuf=8k",
             more=f"postpone_output {postpone}; {fields}")
    s = narrow(n, HELLO["sse"].format("/live"), secure)
    data = receive_until(s, lambda d: b'"type":"snapshot"' in d, 3000)
    assert len(data.partition(b"\r\n\r\n")[0]) > 100000


def receive_until(s, done, sip=700):
    data = b""
    while not done(data):
        piece = s.recv(sip)
        assert piece, data[-300:]
        data += piece
    return data


def chunks(data):
    """The body of a chunked answer, as far as it came; every byte counts."""
    body = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        size = int(size, 16)
        if len(data) < size + 2:
            break
        body, rest = body + data[:size], data[size:]
        assert rest[:2] == b"\r\n", rest[:20]
        data = rest[2:]
    return body


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_sse_byte_by_byte(live, kafka, secure):
    """A socket that takes little: each frame arrives whole, in order."""
    n = live(listen="ssl" if secure else "", records=30,
             size=20000)
    s = narrow(n, HELLO["sse"].format("/live"), secure)
    for i in range(50):
        kafka.produce(n.topic, {"i": i, "pad": "y" * 3000}, key="a")
    kafka.produce(n.topic, {"last": 1}, key="z")
    kafka.flush()
    data = receive_until(s, lambda d: b'"last":1' in d[-2000:]
                         and d.endswith(b"\r\n"), 3000)
    body = chunks(data.partition(b"\r\n\r\n")[2])
    blocks = body.split(b"\n\n")
    assert blocks.pop() == b""
    frames = []
    for block in blocks:
        id_line, data_line = block.split(b"\n") if block.startswith(b"id") \
            else (b"", block)
        frames.append(parse_frame(data_line.removeprefix(b"data: ")))
    seen = [m["data"]["i"] for f in frames for m in f.messages
            if m["type"] == "update" and "i" in m["data"]]
    assert seen == sorted(set(seen))


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_websocket_byte_by_byte(live, kafka, secure):
    n = live(listen="ssl" if secure else "", records=30,
             size=20000)
    s = narrow(n, HELLO["websocket"].format("/live"), secure)
    for i in range(50):
        kafka.produce(n.topic, {"i": i, "pad": "y" * 3000}, key="a")
    kafka.produce(n.topic, {"last": 1}, key="z")
    kafka.flush()
    data = receive_until(s, lambda d: b'"last":1' in d[-2000:]
                         and d.endswith(b"]"), 3000)
    rest = data.partition(b"\r\n\r\n")[2]
    seen = []
    while rest:
        assert rest[0] == 0x81, rest[:20]
        size, at = rest[1], 2
        if size == 126:
            size, at = int.from_bytes(rest[2:4], "big"), 4
        elif size == 127:
            size, at = int.from_bytes(rest[2:10], "big"), 10
        for m in parse_frame(rest[at:at + size]).messages:
            if m["type"] == "update" and "i" in m["data"]:
                seen.append(m["data"]["i"])
        rest = rest[at + size:]
    assert seen == sorted(set(seen))


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_poll_byte_by_byte(live, secure):
    n = live(listen="ssl" if secure else "", records=30,
             size=20000)

    def polled():
        s = narrow(n, "GET /live HTTP/1.1\r\nHost: x\r\n"
                   "Connection: close\r\n\r\n", secure)
        data = b""
        while piece := s.recv(1000):
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2]
                     .split(b"\r\n")[0])
        assert len(body) == length
        return parse_frame(body).messages[0]

    wait_for(lambda: len(polled()["items"]) == 30, 10, "the whole snapshot")


def test_slow_reader_on_http2_is_ended_and_the_connection_lives(live, kafka):
    n = live(listen="http2", records=40, size=2000,
             more="flux_send_timeout 500ms;")
    c = H2(n, streams_window=1000)
    c.auto = False
    slow = c.get("/live")
    c.until(lambda: len(c.data[slow]) == 1000)
    c.until(lambda: slow in c.ended, 8)
    assert c.ended[slow] is not True, "it was cut, not ended"
    other = c.get("/live", accept="*/*")
    c.h2.increment_flow_control_window(10_000_000, other)
    c.h2.increment_flow_control_window(10_000_000)
    c.flush()
    c.until(lambda: other in c.ended)
    assert parse_frame(c.data[other]).messages[0]["type"] == "snapshot"
    c.close()


@pytest.mark.parametrize("listen", ["http2", "ssl http2"])
def test_http2_compressed(live, kafka, listen):
    """Frames, heartbeats and the end go through nginx's filters."""
    n = live(listen=listen, workers=1, more="flux_heartbeat 200ms;")
    c = H2(n, secure="ssl" in listen)
    streams = [c.get("/live", **{"accept-encoding": "gzip"})
               for _ in range(5)]
    plain = c.get("/live")
    c.until(lambda: all(s in c.headers for s in (*streams, plain)))
    assert c.headers[streams[0]]["content-encoding"] == "gzip"
    assert "content-encoding" not in c.headers[plain]
    for i in range(20):
        kafka.send(n.topic, {"i": i, "pad": "x" * 100}, key="a")
    c.until(lambda: len(c.updates(plain)) == 20
            and c.data[plain].count(b":\n\n") >= 2)
    n.reload(wait=False)
    c.until(lambda: all(s in c.ended for s in (*streams, plain)), 15)
    for s in streams:
        c.data[s] = zlib.decompressobj(31).decompress(c.data[s])
        assert [m["data"]["i"] for m in c.updates(s)] == list(range(20))
        assert c.data[s].count(b":\n\n") >= 2
        assert c.frames(s)[-1].messages[0]["type"] == "end"
    c.close()


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_compressed_byte_by_byte(live, kafka, secure):
    n = live(listen="ssl" if secure else "", records=30, size=20000)
    sockets = [narrow(n, "GET /live HTTP/1.1\r\nHost: x\r\n"
                      "Accept-Encoding: gzip\r\n"
                      "Accept: text/event-stream\r\n\r\n", secure)
               for _ in range(4)]
    for i in range(50):
        kafka.produce(n.topic, {"i": i, "pad": os.urandom(1500).hex()},
                      key="a")
    kafka.flush()
    for s in sockets:
        data, text = b"", b""
        while b'"i":49' not in text[-8000:]:
            piece = s.recv(3000)
            assert piece
            data += piece
            if len(data) % 7 == 0 or len(piece) < 3000:
                text = zlib.decompressobj(31).decompress(
                    chunks(data.partition(b"\r\n\r\n")[2]))
        seen = []
        for block in text.split(b"\n\n")[:-1]:
            line = block.split(b"\n")[-1].removeprefix(b"data: ")
            seen += [m["data"]["i"] for m in parse_frame(line).messages
                     if m["type"] == "update"]
        assert seen == sorted(set(seen))
