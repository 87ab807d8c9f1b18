"""Clients that mean no good: they cost little, and nobody else anything."""

import os
import random
import resource
import socket
import struct
import time

import pytest

from harness.process import SANITIZE, wait_for
from harness.ws import frame

UPGRADE = (b"GET /live HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
           b"Connection: upgrade\r\nSec-WebSocket-Version: 13\r\n"
           b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n")
SSE = (b"GET /live HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")


@pytest.fixture
def live(kafka, nginx, module):
    def make(more="", server="", **settings):
        topic = kafka.create_topic()
        kafka.send(topic, {"n": 0}, key="a")
        n = nginx(kafka=kafka, http_conf=f"""
                  flux_feed f {{ topic {topic}; }}
                  flux_feed s {{ topic {topic}; room key; }}
                  {settings.pop('http', '')}""",
                  server_conf=f"location = /live {{ flux_stream f; "
                  f"flux_subscribe s/*; {more} }}\n{server}",
                  **{"workers": 1, "connections": 4096, **settings})
        n.topic = topic
        n.good = n.ws("/live")
        n.good.wait_snapshot("f")
        n.pid = n.workers()[0]
        return n
    return make


def alive(n, kafka, value):
    """The reader who did nothing wrong gets its record soon."""
    started = time.monotonic()
    kafka.send(n.topic, {"n": value}, key="a")
    n.good.wait_value("f", "a", {"n": value})
    assert time.monotonic() - started < 3
    assert n.workers() == [n.pid], "no worker died"


def memory(pid):
    if SANITIZE:
        return 0        # it keeps what was freed
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024


def test_garbage_on_every_input(live, kafka):
    n = live()
    rng = random.Random(7)
    for i in range(150):
        s = n.socket()
        try:
            kind = i % 3
            if kind == 0:
                s.sendall(rng.randbytes(rng.randrange(1, 3000)))
            elif kind == 1:
                s.sendall(UPGRADE + rng.randbytes(rng.randrange(1, 3000)))
            else:
                s.sendall(UPGRADE)
                for _ in range(20):
                    s.sendall(frame(rng.choice([0, 1, 1, 1, 8, 9, 10]),
                                    rng.randbytes(rng.randrange(0, 120)),
                                    rng.random() < 0.8))
        except OSError:
            pass
        if i % 2:
            s.close()
    alive(n, kafka, 1)


def test_json_that_is_nearly_right(live, kafka):
    n = live()
    rng = random.Random(8)
    good = [b'{"op":"subscribe","rooms":["s/x","s/y"],"cursor":"CBBDerb7vBASNFZ4BAA"}',
            b'{"op":"unsubscribe","rooms":["s/x"]}', b'{"op":"ping"}',
            b'{"op":"publish","id":7,"key":"k","data":{"a":[1,2,3]}}']
    for _ in range(20):
        s = n.socket()
        s.sendall(UPGRADE)
        data = b""
        for _ in range(100):
            text = bytearray(rng.choice(good))
            for _ in range(rng.randrange(0, 4)):
                at = rng.randrange(len(text))
                text[at:at + rng.randrange(2)] = \
                    rng.choice([b"\\u0000", b"}", b'"', b"[", b"\x7f", b",",
                                b"9" * 40, b"null", b"\\ud800", b"\xc3\xa4"])
            data += frame(1, bytes(text))
        try:
            s.sendall(data)
        except OSError:
            pass
        s.close()
    alive(n, kafka, 1)


def test_requests_that_never_end(live, kafka):
    n = live(http="client_header_timeout 1s;")
    sockets = []
    for i in range(300):
        s = n.socket()
        s.sendall(UPGRADE[:20 + i % 150])
        sockets.append(s)
    alive(n, kafka, 1)
    wait_for(lambda: not any(still_open(s) for s in sockets[:20]), 8,
             "nginx gives them up")
    alive(n, kafka, 2)


def still_open(s):
    s.settimeout(0)
    try:
        return bool(s.recv(65536))
    except BlockingIOError:
        return True
    except OSError:
        return False


def test_thousands_of_half_open_handshakes(live, kafka):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(10_000, hard // 2 - 500)
    n = live(connections=count + 500,
             main_conf=f"worker_rlimit_nofile {hard};")
    sockets = []
    try:
        for i in range(count):
            s = socket.socket()
            s.settimeout(10)
            s.connect(("127.0.0.1", n.port))
            s.sendall(UPGRADE[:-2])
            sockets.append(s)
        alive(n, kafka, 1)
    finally:
        for s in sockets:
            s.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    alive(n, kafka, 2)


def flood(n, data, seconds=2):
    """Sends and never reads, until the server had enough."""
    s = n.socket()
    s.sendall(UPGRADE)
    s.settimeout(0.3)
    sent, deadline = 0, time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            sent += s.send(data)
        except TimeoutError:
            pass
        except OSError:
            return sent, True
    return sent, False


@pytest.mark.parametrize("data", [
    frame(9, b"x" * 125) * 200, frame(1, b'{"op":"ping"}') * 500,
    frame(1, b'{"op":"dance"}') * 500, frame(10, b"x" * 125) * 200,
    frame(1, b'{"op":"subscribe","rooms":["s/x"],"cursor":"x"}') * 200
    + frame(1, b'{"op":"unsubscribe","rooms":["s/x"]}') * 200],
    ids=["ping", "op", "error", "pong", "subscribe"])
def test_floods_of_a_client_that_reads_nothing(live, kafka, data):
    n = live()
    before = memory(n.pid)
    flood(n, data)
    alive(n, kafka, 1)
    assert memory(n.pid) - before < 30_000_000


def test_fragments_without_end(live, kafka):
    n = live(more="flux_max_message 64k;")
    before = memory(n.pid)
    sockets = []
    for i in range(100):
        s = n.socket()
        s.sendall(UPGRADE + frame(1, b" ", fin=False)
                  + frame(0, b"", fin=False) * 2000
                  + frame(0, b" " * 60000, fin=False))
        sockets.append(s)
    alive(n, kafka, 1)
    assert memory(n.pid) - before < 40_000_000
    for s in sockets:
        s.sendall(frame(0, b" " * 60000, fin=False))
    wait_for(lambda: n.status()["readers"]["websocket"] == 1, 5, "too large")
    alive(n, kafka, 2)


def test_frames_that_announce_more_than_there_is(live, kafka):
    n = live()
    for size in (2 ** 63, 2 ** 63 - 1, 2 ** 32, 2 ** 31, 65536):
        s = n.socket()
        s.sendall(UPGRADE + b"\x81\xff" + struct.pack(">Q", size) + b"\0" * 64)
        s.settimeout(5)
        try:
            while s.recv(65536):
                pass
        except ConnectionResetError:
            pass
    alive(n, kafka, 1)


def test_a_client_that_asks_for_a_million_rooms(live, kafka):
    """Rooms that nobody reads are given back, and cost no other room."""
    n = live(server="location ~ ^/room/(?<room>.+)$ { flux_stream s/$room; }")
    before = memory(n.pid)
    s = n.socket()
    s.sendall(UPGRADE)
    s.settimeout(10)
    for start in range(0, 1_000_000, 200):
        if start % 200_000 == 0:
            alive(n, kafka, start + 1)
        rooms = ",".join(f'"s/r{i}"' for i in range(start, start + 200))
        s.sendall(frame(1, f'{{"op":"subscribe","rooms":[{rooms}]}}'.encode())
                  + frame(1, f'{{"op":"unsubscribe","rooms":[{rooms}]}}'
                          .encode()))
        s.settimeout(0)
        try:
            while s.recv(1 << 20):
                pass
        except BlockingIOError:
            pass
        s.settimeout(10)
    for i in range(300):
        assert n.get(f"/room/x{i}").status == 200
    alive(n, kafka, -1)
    s.close()
    wait_for(lambda: n.status()["readers"]["websocket"] == 1, 5, "it is gone")
    assert memory(n.pid) - before < 40_000_000
    assert n.status()["feeds"]["s"]["rooms"] <= 300 + 4096
    # and rooms that have records are there
    assert n.get("/room/a").frame.messages[0]["items"]


def test_readers_that_come_and_go_leave_nothing(live, kafka):
    n = live()

    def rush(count):
        for i in range(count):
            s = n.socket()
            s.sendall(UPGRADE if i % 2 else SSE)
            if i % 3:
                s.recv(10)
            s.close()
        wait_for(lambda: sum(n.status()["readers"].values()) == 1, 10,
                 "they are gone")

    rush(500)
    before = memory(n.pid)
    rush(1500)
    assert memory(n.pid) - before < 8_000_000
    alive(n, kafka, 1)


def test_many_who_take_nothing(live, kafka):
    """Each holds one partly sent frame, and not more as time passes."""
    n = live(more="flux_send_timeout 60s;")
    sockets = []
    for i in range(100):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        s.connect(("127.0.0.1", n.port))
        s.sendall(UPGRADE if i % 2 else SSE)
        sockets.append(n._keep(s))
    wait_for(lambda: sum(n.status()["readers"].values()) == 101, 5, "all read")

    def pour(count):
        for i in range(count):
            kafka.produce(n.topic, {"i": i, "pad": os.urandom(5000).hex()},
                          key=f"k{i % 20}")
        kafka.flush()

    pour(300)
    alive(n, kafka, 1)
    before = memory(n.pid)
    pour(600)
    alive(n, kafka, 2)
    # of the log's 16 MB pages come in, beside
    assert memory(n.pid) - before < 30_000_000


def test_half_closed_sockets(live, kafka):
    n = live()
    for hello in (UPGRADE, SSE, b"GET /live?wait=60s&cursor=x HTTP/1.1\r\n"
                  b"Host: x\r\n\r\n"):
        s = n.socket()
        s.sendall(hello)
        s.recv(1)
        s.shutdown(socket.SHUT_WR)
        s.settimeout(5)
    wait_for(lambda: n.status()["readers"]["websocket"] == 1, 5,
             "a WebSocket needs both ways")
    alive(n, kafka, 1)


def test_pipelined_behind_a_stream(live, kafka):
    n = live()
    s = n.socket()
    s.sendall(SSE + b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n" * 50
              + b"x" * 100000)
    data = b""
    while b"snapshot" not in data:
        data += s.recv(65536)
    kafka.send(n.topic, {"n": 5}, key="a")
    while b'"n":5' not in data:
        piece = s.recv(65536)
        assert piece
        data += piece
    assert data.count(b"HTTP/1.1") == 1
    alive(n, kafka, 6)
