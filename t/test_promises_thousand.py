"""A thousand readers at once: over reloads, and beside some that never read."""

import os
import re
import socket

import pytest

from harness.herd import Herd, check_exactly_once
from harness.load import Load
from harness.process import SANITIZE, free_port, wait_for

LIVE = "location = /live { flux_stream f; flux_buffer 16m; }"
SSE = b"GET /deaf HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n"
UPGRADE = (b"GET /deaf HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
           b"Connection: upgrade\r\nSec-WebSocket-Version: 13\r\n"
           b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n")


def connections(pid):
    found = 0
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found += os.readlink(f"/proc/{pid}/fd/{fd}").startswith("socket:")
        except OSError:
            pass
    return found


@pytest.mark.slow
def test_1000_readers_through_20_reloads_miss_nothing_and_see_nothing_twice(
        kafka, nginx, module):
    topic = kafka.create_topic(partitions=3)
    n = nginx(kafka=kafka, listen="reuseport backlog=4096", server_conf=LIVE,
              connections=4096, zone="32m", log_level="notice",
              http_conf=f"""flux_drain 500ms;
                            flux_feed f {{ topic {topic}; }}""")
    with Herd(n.port, "/live", 1000) as herd:
        # SSE and WebSocket by half, and every reader on the other after each
        assert all(connections(pid) > 300 for pid in n.workers())
        with Load(kafka, topic, 100) as load:
            for _ in range(20):
                load.wait(20)
                n.reload()
                n.wait_old_workers_gone()
            load.wait(20)
        seen = herd.until(load.n)
    print(f"{load.n} records, {seen}")
    check_exactly_once(seen, load.n)
    # who is still on its way back when the next one begins is spared it
    assert seen["ends"] > 15 * 1000
    # nobody was cut off without a word, or found nobody to serve it
    assert seen["cuts"] == seen["ends"] and seen["refused"] == 0
    assert n.status()["ended"]["reload"] == seen["ends"]
    assert not re.findall(r"\[(?:error|crit|alert|emerg)\].*", n.error_log)


def deaf(n, port, count):
    """Half by SSE, half by WebSocket: they ask, and read nothing."""
    sockets = []
    for i in range(count):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect(("127.0.0.1", port))
        s.sendall(UPGRADE if i % 2 else SSE)
        sockets.append(n._keep(s))
    return sockets


def memory(pids):
    """Of the heap; the log's pages come in by and by."""
    kb = sum(int(line.split()[1]) for pid in pids
             for line in open(f"/proc/{pid}/status")
             if line.startswith("RssAnon:"))
    return kb * 1024


@pytest.mark.slow
def test_500_who_never_read_cost_500_who_do_nothing_and_are_ended(
        kafka, nginx, module):
    topic = kafka.create_topic(partitions=3)
    port = free_port()
    n = nginx(kafka=kafka, listen="reuseport backlog=4096", connections=4096,
              zone="32m", log_level="notice", server_conf=LIVE,
              http_conf=f"flux_feed f {{ topic {topic}; }}",
              more_http=f"""server {{
                  listen 127.0.0.1:{port} reuseport sndbuf=16k;
                  location = /deaf {{ flux_stream f;
                                      flux_send_timeout 5s; }} }}""")
    with Herd(n.port, "/live", 500) as herd:
        sockets = deaf(n, port, 500)
        wait_for(lambda: sum(n.status()["readers"].values()) == 1000, 10)
        with Load(kafka, topic, 1000, padding=200) as load:
            load.wait(1500)     # their sockets are full by now
            full = memory(n.workers())
            load.wait(2500)
            grown = memory(n.workers()) - full
            wait_for(lambda: n.status()["ended"]["slow"] == 500, 20,
                     "who reads nothing is ended")
            load.wait(500)
        seen = herd.until(load.n)
    print(f"{load.n} records, {seen}, heap {full >> 10} KB + {grown >> 10}")
    check_exactly_once(seen, load.n)
    assert seen["cuts"] == seen["refused"] == 0
    # 700 KB for each of them were produced meanwhile
    assert SANITIZE or grown < 20_000_000
    status = n.status()
    assert status["conflated"] == 0 and status["ended"]["slow"] == 500
    for s in sockets:
        assert ended(s)
    assert not re.findall(r"\[(?:error|crit|alert|emerg)\].*", n.error_log)


def ended(s):
    """What the socket still held, then the end: nothing is said to who does
    not listen."""
    s.settimeout(5)
    try:
        while s.recv(1 << 20):
            pass
    except ConnectionResetError:
        pass
    return True
