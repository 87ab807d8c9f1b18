"""flux_detach: streams whose request is over, with all that is promised."""

import re
import socket
import time

import pytest

from harness.nginx import DEFAULTS
from harness.process import wait_for
from harness.sse import Sse
from harness.ws import WebSocket

# the same promises as with a request
from test_drain import (                                    # noqa: F401
    test_a_quit_ends_readers_with_quit,
    test_a_reload_ends_readers_with_a_reason_and_a_cursor_that_goes_on,
    test_readers_follow_a_binary_upgrade_without_gap_or_repeat,
    test_worker_shutdown_timeout_cuts_what_a_long_drain_leaves)
from test_stream import (                                   # noqa: F401
    test_a_newcomer_gets_the_snapshot_then_updates_and_deletes,
    transport)
from test_transports import live                            # noqa: F401
from test_transports_access import (                        # noqa: F401
    test_a_client_that_only_pings_stays,
    test_a_reader_that_takes_nothing_is_ended,
    test_auth_request,
    test_close_codes,
    test_expires,
    test_heartbeats,
    test_pings_that_are_answered_keep_a_websocket,
    test_two_missed_pongs_end_a_websocket)
from test_transports_wire import certificate, tls           # noqa: F401


@pytest.fixture(autouse=True)
def detached(monkeypatch):
    monkeypatch.setitem(DEFAULTS, "every_http", "flux_detach on;")


def goes_on(kafka, n, reader, value):
    kafka.send(n.topic, {"n": value}, key="a")
    reader.wait_value("f", "a", {"n": value})


def test_the_log_has_its_line_at_the_start(live, kafka, transport):
    n = live(http='log_format own "$uri $status $bytes_sent $flux_transport '
                  '$flux_room $flux_messages $flux_cursor $request_time";\n',
             more="access_log access.log own;")
    r = getattr(n, transport)("/live")
    r.wait_snapshot("f")
    line = wait_for(lambda: re.search("^/live .*$", n.access_log, re.M), 5,
                    "a line in the log").group()
    _, status, size, name, room, messages, cursor, took = line.split()
    assert (status, name) == (("101", "websocket") if transport == "ws"
                              else ("200", "sse"))
    assert int(size) > 200 and room == "f" and messages == "1"
    assert cursor == r.cursor and float(took) < 5
    for value in range(3, 8):
        goes_on(kafka, n, r, value)
    r.close()
    wait_for(lambda: sum(n.status()["readers"].values()) == 0, 5, "it is gone")
    assert n.access_log.count("/live ") == 1


def test_limits_do_not_count_it(live, kafka, transport):
    n = live(http="limit_conn_zone $server_name zone=one:1m;",
             more="limit_conn one 1;")
    readers = []
    for _ in range(3):
        r = getattr(n, transport)("/live")
        r.wait_snapshot("f")
        wait_for(lambda: n.access_log.count("/live ") == len(readers) + 1, 5,
                 "the request has ended")
        readers.append(r)
    for r in readers:
        goes_on(kafka, n, r, 3)


def test_only_some_locations(live, kafka):
    n = live(server="""
        location = /whole { flux_stream f; flux_detach off; }
        location = /posts { flux_stream f; flux_publish main other; }
        """)
    readers = [n.sse(path) for path in ("/whole", "/posts", "/live")]
    for r in readers:
        r.wait_snapshot("f")
    wait_for(lambda: "/live" in n.access_log, 5, "the line of one")
    assert "/whole" not in n.access_log and "/posts" not in n.access_log
    for i, r in enumerate(readers):
        goes_on(kafka, n, r, 3 + i)
        r.close()
    wait_for(lambda: "/whole" in n.access_log and "/posts" in n.access_log, 5,
             "the lines of all")


def test_a_poll_is_a_request(live):
    n = live()
    cursor = n.poll("/live").cursor
    answer = n.poll("/live", cursor=cursor, wait="1s")
    assert answer.messages == [] and answer.cursor == cursor


def test_what_comes_with_the_handshake_is_read(live, kafka):
    """Bytes behind the header stay the request's until they were read."""
    n = live(server="location = /rooms { flux_stream f; }")
    ping = b"\x89\x82\0\0\0\0hi"
    s = n.socket()
    s.sendall(b"GET /live HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
              b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
              b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n" + ping)
    got = b""
    s.settimeout(5)
    while b"\x8a\x02hi" not in got or b'"type":"cursor"' not in got:
        got += s.recv(65536)
    wait_for(lambda: "/live" in n.access_log, 5, "the request has ended")
    s.sendall(ping)
    while got.count(b"\x8a\x02hi") < 2:
        got += s.recv(65536)


def test_a_long_header(live, kafka, transport):
    """It was read into nginx's large buffers, which are given back."""
    n = live()
    r = getattr(n, transport)("/live", headers={"X-Long": "x" * 3000})
    r.wait_snapshot("f")
    goes_on(kafka, n, r, 3)


def test_subscriptions_change(live, kafka):
    topic = kafka.create_topic()
    kafka.send(topic, {"n": 1}, key="x")
    n = live(more="flux_subscribe g;",
             http=f"flux_feed g {{ topic {topic}; }}")
    w = n.ws("/live")
    w.wait_snapshot("f")
    wait_for(lambda: "/live" in n.access_log, 5, "the request has ended")
    w.subscribe("g")
    w.wait_snapshot("g")
    w.unsubscribe("f")
    w.send({"op": "ping"})
    w.wait_type("pong")
    kafka.send(topic, {"n": 2}, key="x")
    w.wait_value("g", "x", {"n": 2})
    w.send({"op": "publish", "id": 1, "data": 1})
    assert w.wait_type("error")
    w.close()
    assert w.close_code == 1000


def test_a_killed_worker_loses_nothing(live, kafka, transport):
    n = live()
    r = getattr(n, transport)("/live")
    r.wait_snapshot("f")
    n.kill(n.worker_of(r))
    r.wait_closed()
    kafka.send(n.topic, {"n": 3}, key="a")
    again = n.again(r)
    again.wait_value("f", "a", {"n": 3})
    assert again.data("f", "a") == [{"n": 3}]
    assert not again.of_type("snapshot")


def test_the_end_of_an_event_stream_is_whole(live):
    """Chunks end as HTTP/1.1 says, and the connection with them."""
    n = live(http="flux_drain 200ms;")
    r = n.sse("/live")
    r.wait_snapshot("f")
    n.reload()
    r.wait_closed()
    assert r.complete and r.of_type("end")[0]["reason"] == "reload"


def test_the_client_sends_while_it_ends(live, kafka):
    """Nothing of the good-bye is lost to a reset."""
    n = live(http="flux_drain 100ms;")
    w = n.ws("/live")
    w.wait_snapshot("f")
    wait_for(lambda: "/live" in n.access_log, 5, "the request has ended")
    stop = time.monotonic() + 5
    n.reload(wait=False)
    try:
        while time.monotonic() < stop and not w.closed:
            w.send({"op": "ping"})
    except Exception:
        pass                        # it was closed under way
    w.wait_closed()
    assert w.of_type("end")[0]["reason"] == "reload"
    assert w.close_code == 1012


def test_a_client_that_does_not_close_is_left_behind(live):
    n = live(http="flux_drain 100ms; lingering_timeout 1s;")
    s = n.socket()
    s.sendall(b"GET /live HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
              b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
              b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
    wait_for(lambda: "/live" in n.access_log, 5, "the request has ended")
    n.reload()
    s.settimeout(10)
    while s.recv(65536):
        pass                        # up to its half of the close
    n.wait_old_workers_gone()
    s.close()


def test_tls(live, kafka, certificate, transport):  # noqa: F811
    n = live(listen="ssl", http=certificate + "flux_drain 200ms;"
             "flux_heartbeat 200ms;", ready=False, status=False)
    r = n._keep(Sse(n.url("/live", "https"), context=tls())
                if transport == "sse" else
                WebSocket(n.url("/live", "https"), ssl=tls()))
    r.wait_snapshot("f")
    wait_for(lambda: "/live" in n.access_log, 5, "the request has ended")
    for value in (3, "x" * 100000, 5):
        goes_on(kafka, n, r, value)
    n.quit(wait=False)
    r.wait_closed()
    assert r.of_type("end")[0]["reason"] == "quit"
    n.wait_ended()


def test_tls_clients_that_just_go(live, certificate):   # noqa: F811
    n = live(listen="ssl", http=certificate, ready=False, status=False)
    for _ in range(5):
        s = socket.create_connection(("127.0.0.1", n.port), 10)
        s = tls().wrap_socket(s)
        s.sendall(b"GET /live HTTP/1.1\r\nHost: x\r\n"
                  b"Accept: text/event-stream\r\n\r\n")
        assert s.recv(1000)
        s.close()
    wait_for(lambda: n.access_log.count("/live") == 5, 5, "all were served")


def test_http_1_0(live, kafka):
    n = live()
    s = n.socket()
    s.sendall(b"GET /live HTTP/1.0\r\nHost: x\r\n"
              b"Accept: text/event-stream\r\n\r\n")
    got = b""
    s.settimeout(5)
    while b'"type":"cursor"' not in got:
        got += s.recv(65536)
    kafka.send(n.topic, {"n": 3}, key="a")
    while b'{"n":3}' not in got:
        got += s.recv(65536)
    assert b"chunked" not in got


def test_http2_streams_keep_their_request(live):
    import subprocess
    n = live(listen="http2", ready=False, status=False, http="flux_expires $expires;"
             "map $uri $expires { default $arg_until; }")
    done = subprocess.run(
        ["curl", "-sN", "--http2-prior-knowledge", "-H",
         "Accept: text/event-stream",
         n.url(f"/live?until={int(time.time()) + 2}")],
        capture_output=True, text=True, timeout=30)
    assert '"reason":"expired"' in done.stdout
    wait_for(lambda: '"GET /live' in n.access_log, 5, "a line in the log")
    assert int(n.access_log.split('HTTP/2.0" 200 ')[1].split()[0]) \
        == len(done.stdout)
