"""Long poll, SSE and WebSocket: requests, answers, headers, status codes."""

import base64
import json
import os
import socket
import struct
import time
import urllib.parse

import pytest
from websockets.exceptions import InvalidStatus

from harness.process import wait_for

SSE = {"Accept": "text/event-stream"}


def feed(topic, name="f", more=""):
    return f"flux_feed {name} {{ topic {topic}; {more} }}\n"


LIVE = "location = /live { flux_stream f; }"


@pytest.fixture
def live(kafka, nginx, module):
    """An nginx with a feed f that has the keys a and b, and its topic."""
    def make(more="", server="", http="", **settings):
        topic = kafka.create_topic()
        kafka.send(topic, {"n": 1}, key="a")
        kafka.send(topic, {"n": 2}, key="b")
        n = nginx(kafka=kafka, http_conf=feed(topic) + http,
                  server_conf=f"location = /live {{ flux_stream f; {more} }}\n"
                  + server, **settings)
        n.topic = topic
        return n
    return make


# --- long poll


def test_poll_answers_the_snapshot_at_once(live):
    n = live()
    answer = n.poll("/live")
    assert answer.status == 200 and answer.took < 2
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert int(answer.headers["content-length"]) == len(answer.body)
    snapshot, = answer.messages
    assert snapshot["type"] == "snapshot" and snapshot["complete"] is True
    assert {i["key"]: i["data"] for i in snapshot["items"]} == \
        {"a": {"n": 1}, "b": {"n": 2}}
    assert answer.cursor and b"\n" not in answer.body


def test_poll_with_a_cursor_waits_and_says_only_the_cursor(live):
    n = live()
    cursor = n.poll("/live").cursor
    answer = n.poll("/live", cursor=cursor, wait="1s")
    assert answer.status == 200 and 0.9 < answer.took < 4
    assert answer.messages == [] and answer.cursor == cursor


def test_poll_is_answered_by_an_update(live, kafka):
    import threading
    n = live()
    cursor = n.poll("/live").cursor
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(
        n.poll("/live", cursor=cursor, wait="20s")))
    waiting.start()
    wait_for(lambda: n.status()["readers"]["poll"] == 1, 5, "it waits")
    kafka.send(n.topic, {"n": 3}, key="a")
    waiting.join(10)
    answer, = answers
    assert [(m["type"], m["key"], m["data"]) for m in answer.messages] == \
        [("update", "a", {"n": 3})]
    assert answer.took < 10 and answer.cursor != cursor
    # what came in between is there at once
    kafka.send(n.topic, {"n": 4}, key="a")
    again = n.poll("/live", cursor=answer.cursor, wait="20s")
    assert [m["data"] for m in again.messages] == [{"n": 4}]
    wait_for(lambda: n.status()["readers"]["poll"] == 0, 5, "none waits")


@pytest.mark.parametrize("wait", ["0", "0s", "1ms"])
def test_poll_that_does_not_wait(live, wait):
    n = live()
    cursor = n.poll("/live").cursor
    answer = n.poll("/live", cursor=cursor, wait=wait)
    assert answer.took < 1 and answer.messages == []


def test_poll_that_goes_away_leaves_nothing(live):
    n = live()
    cursor = n.poll("/live").cursor
    s = n.socket()
    s.sendall(f"GET /live?cursor={cursor} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    wait_for(lambda: n.status()["readers"]["poll"] == 1, 5, "it waits")
    s.close()
    wait_for(lambda: n.status()["readers"]["poll"] == 0, 5, "it is gone")


def test_polls_on_one_connection(live, kafka):
    """Keep-alive and pipelining: one answer each, in order."""
    n = live()
    s = n.socket()
    s.sendall(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n" * 3
              + b"GET /live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    data = read_all(s)
    assert data.count(b"HTTP/1.1 200 OK") == 4
    assert data.count(b'"type":"snapshot"') == 4


def read_all(s, timeout=10):
    s.settimeout(timeout)
    data = b""
    while piece := s.recv(65536):
        data += piece
    return data


def test_cursors_by_header_and_argument(live, kafka):
    n = live()
    old = n.poll("/live").cursor
    kafka.send(n.topic, {"n": 3}, key="a")
    new = n.poll("/live", cursor=old, wait="10s").cursor
    assert new != old

    def poll(args, headers=None):
        return n.get(f"/live?wait=100ms{args}", headers)

    for answer in (
            poll(f"&cursor={old}"),
            poll(f"&lastEventId={old}"),
            poll("", {"Last-Event-ID": old}),
            poll(f"&cursor={new}", {"Last-Event-ID": old}),
            # an empty one is as none
            poll(f"&cursor={old}", {"Last-Event-ID": ""}),
            poll(f"&lastEventId={old}", {"Last-Event-ID": ""}),
            poll(f"&lastEventId={old}&cursor="),
            poll(f"&lastEventId={new}&cursor={old}"),
            poll(f"&cursor={old}&lastEventId={new}")):
        assert [m["data"] for m in answer.messages] == [{"n": 3}]
        assert answer.cursor == new


@pytest.mark.parametrize("cursor", ["garbage", "%00", "a" * 4000, "%ff%fe",
                                    "-", "AAAA", "%22"])
def test_an_unreadable_cursor_is_a_reset(live, cursor):
    n = live()
    answer = n.get(f"/live?cursor={cursor}")
    assert answer.status == 200
    assert [(m["type"], m.get("reason")) for m in answer.messages] == \
        [("reset", "invalid"), ("snapshot", None)]
    assert answer.cursor


def test_an_empty_cursor_is_none(live):
    n = live()
    for answer in (n.get("/live?cursor="),
                   n.get("/live", {"Last-Event-ID": ""})):
        assert [m["type"] for m in answer.messages] == ["snapshot"]


def test_unreadable_arguments_are_the_default(live):
    n = live()
    for args in ("wait=x", "wait=", "wait=-1", "pace=x", "pace=-5ms",
                 "wait=99999999999999999999h", "pace=999999999d", "x", "&&=",
                 "%", "room", "key", "wait=%zz"):
        answer = n.get(f"/live?{args}")
        assert answer.status == 200, (args, answer.status)


def test_times_beyond_all_numbers_are_clamped(live, kafka):
    """A poll waits for 60 s then, not for 25 as without; a pace is one."""
    n = live()
    for huge in ("9" * 30, "9" * 30 + "s", "99999999999999999d 9h"):
        query = urllib.parse.urlencode({"pace": huge})
        r = n.sse(f"/live?{query}")
        r.wait_snapshot("f")
        kafka.send(n.topic, {"huge": huge}, key="a")
        with pytest.raises(AssertionError):
            r.wait(lambda s: s.updates("f"), 1)
        r.close()
    with pytest.raises(TimeoutError):
        n.poll("/live", cursor=n.poll("/live").cursor, wait="9" * 30,
               timeout=27)


# --- status codes


def test_methods(live):
    n = live()
    for method in ("HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        answer = n.request(method, "/live", body="x" if method == "POST"
                           else None)
        assert answer.status == 405, method
        allow = answer.headers["allow"].replace(" ", "").split(",")
        assert set(allow) == {"GET", "OPTIONS"}
        assert answer.headers["cache-control"] == "no-store"


def test_a_large_body_where_none_is_taken(live):
    n = live()
    answer = n.post("/live", b"x" * 500000)
    assert answer.status == 405
    assert n.get("/live").status == 200


def test_addresses_that_are_none(live):
    n = live(server="""
        location ~ ^/feed/(?<name>.*)$ { flux_stream $name; }
        location ~ (?s)^/room/(?<name>.*)$ { flux_stream s/$name; }
        """, http="flux_feed s { topic none; room key; }\n", ready=False)
    for path in ("/feed/nothing", "/feed/", "/feed/f/x", "/feed/s",
                 "/feed/s/", "/room/", "/room/%01", "/room/%7f", "/room/%ff",
                 "/room/" + "r" * 256, "/room/a%0ab"):
        for headers in ({}, SSE):
            answer = n.get(path, headers)
            assert answer.status == 404, path
            assert answer.headers["cache-control"] == "no-store"
    for path in ("/feed/f", "/feed/s/x", "/room/" + "r" * 255, "/room/a/b/c",
                 "/room/%c3%a4", "/room/%22", "/room/a%20b"):
        assert n.get(path).status == 200, path
    with pytest.raises(InvalidStatus) as refused:
        n.ws("/feed/nothing")
    assert refused.value.response.status_code == 404


def test_transports_that_are_not_listed(live):
    n = live(server="""
        location /sse { flux_stream f; flux_transports sse; }
        location /ws { flux_stream f; flux_transports websocket; }
        location /poll { flux_stream f; flux_transports poll; }
        location /two { flux_stream f; flux_transports sse poll; }
        """)

    def tried(path):
        polled = n.get(path).status
        s = n.sse(path)
        try:
            n.ws(path)
            ws = 101
        except InvalidStatus as refused:
            ws = refused.response.status_code
            assert refused.response.headers["cache-control"] == "no-store"
        if s.status != 200:
            assert s.headers["cache-control"] == "no-store"
        return s.status, ws, polled

    assert tried("/live") == (200, 101, 200)
    assert tried("/sse") == (200, 406, 406)
    assert tried("/ws") == (406, 101, 406)
    assert tried("/poll") == (406, 406, 200)
    assert tried("/two") == (200, 406, 200)


KEY = base64.b64encode(b"0123456789abcdef").decode()
HANDSHAKE = {"Host": "x", "Connection": "Upgrade", "Upgrade": "websocket",
             "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": KEY}


def handshake(n, path="/live", version="1.1", method="GET", more="",
              **changes):
    headers = {**HANDSHAKE,
               **{k.replace("_", "-"): v for k, v in changes.items()}}
    s = n.socket()
    s.sendall((f"{method} {path} HTTP/{version}\r\n"
               + "".join(f"{k}: {v}\r\n" for k, v in headers.items()
                         if v is not None) + more + "\r\n").encode())
    return s, head(s)


def head(s, timeout=10):
    """(status, headers) of the answer; one byte at a time."""
    s.settimeout(timeout)
    data = b""
    while b"\r\n\r\n" not in data:
        piece = s.recv(1)
        assert piece, f"no answer, only {data!r}"
        data += piece
    first, *lines = data.decode("latin-1").strip().split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return int(first.split()[1]), headers


def test_handshake(live):
    n = live()
    _, (status, headers) = handshake(n)
    assert status == 101
    assert headers["upgrade"].lower() == "websocket"
    assert headers["connection"].lower() == "upgrade"
    assert headers["sec-websocket-accept"] == "BACScCJPNqyz+UBoqMH89VmURoA="
    assert headers["cache-control"] == "no-store"
    assert "content-length" not in headers
    assert "transfer-encoding" not in headers
    assert "sec-websocket-protocol" not in headers

    for good in (dict(Upgrade="WebSocket"), dict(Connection="keep-alive, Upgrade"),
                 dict(Upgrade="h2c, websocket"),
                 dict(Accept="text/event-stream")):
        assert handshake(n, **good)[1][0] == 101, good


def test_subprotocol(live):
    n = live()
    assert n.ws("/live", subprotocols=["x", "flux.v1"]).subprotocol == \
        "flux.v1"
    assert n.ws("/live", subprotocols=["x", "flux.v12"]).subprotocol is None
    _, (status, headers) = handshake(n, Sec_WebSocket_Protocol="a,flux.v1")
    assert (status, headers["sec-websocket-protocol"]) == (101, "flux.v1")
    # RFC 6455, 4.2.2: none that was not offered, letter for letter
    for other in ("FLUX.V1", "Flux.v1, x", "flux.v1;a=1"):
        _, (status, headers) = handshake(n, Sec_WebSocket_Protocol=other)
        assert status == 101, other
        assert "sec-websocket-protocol" not in headers, other


@pytest.mark.parametrize("version", ["12", "8", "0", "014", "x", "13, 8"])
def test_websocket_of_another_version(live, version):
    _, (status, headers) = handshake(live(), Sec_WebSocket_Version=version)
    assert status == 426
    assert headers["sec-websocket-version"] == "13"
    assert headers["upgrade"].lower() == "websocket"
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize("change", [
    dict(Sec_WebSocket_Key=None), dict(Sec_WebSocket_Key=""),
    dict(Sec_WebSocket_Key="x"), dict(Sec_WebSocket_Key="!" * 24),
    dict(Sec_WebSocket_Key=base64.b64encode(b"x" * 18).decode()),
    dict(Sec_WebSocket_Version=None), dict(Connection="close"),
    dict(Connection=None), dict(version="1.0"),
    dict(Connection="upgraded")])
def test_bad_handshake(live, change):
    _, (status, headers) = handshake(live(), **change)
    assert status == 400, (change, status)
    assert headers["cache-control"] == "no-store"


def test_post_that_would_upgrade(live):
    assert handshake(live(), method="POST")[1][0] == 405


# --- SSE


def test_sse_headers_and_events(live, kafka):
    n = live()
    r = n.sse("/live")
    assert r.status == 200
    assert r.headers["content-type"] == "text/event-stream"
    assert r.headers["cache-control"] == "no-store"
    assert r.headers["x-accel-buffering"] == "no"
    assert r.headers["transfer-encoding"] == "chunked"
    assert "content-length" not in r.headers
    r.wait_snapshot("f")
    kafka.send(n.topic, {"n": 3}, key="a")
    r.wait_value("f", "a", {"n": 3})
    assert all(e.id for e in r.events) and not any(e.event for e in r.events)


@pytest.mark.parametrize("accept", [
    "text/event-stream", "text/event-stream, */*;q=0.1",
    "application/json;q=0.1,text/event-stream", "Text/Event-Stream"])
def test_sse_is_asked_for(live, accept):
    assert n_type(live(), accept) == "text/event-stream"


@pytest.mark.parametrize("accept", ["*/*", "text/html", "application/json",
                                    "text/event-streams", ""])
def test_sse_is_not_asked_for(live, accept):
    assert n_type(live(), accept) == "application/json"


def n_type(n, accept):
    s = n.socket()
    s.sendall(f"GET /live HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n\r\n"
              .encode())
    status, headers = head(s)
    assert status == 200
    return headers["content-type"]


def test_sse_over_http_1_0(live, kafka):
    n = live()
    s = n.socket()
    s.sendall(b"GET /live HTTP/1.0\r\nAccept: text/event-stream\r\n\r\n")
    status, headers = head(s)
    assert status == 200 and "transfer-encoding" not in headers
    assert headers["connection"] == "close"
    text = b""
    while not text.endswith(b"]\n\n"):
        text += s.recv(65536)
    assert text.startswith(b"id: ") and text.count(b"\n\n") == 1
    kafka.send(n.topic, {"n": 3}, key="a")
    more = b""
    while not more.endswith(b"]\n\n"):
        more += s.recv(65536)
    lines = more.decode().split("\n")
    assert lines[0].startswith("id: ") and lines[1].startswith("data: [{")
    assert json.loads(lines[1][6:])[0]["data"] == {"n": 3}


def test_retry_stands_only_beside_data(live):
    """At the end of a stream, not in a block of its own."""
    n = live(http="flux_drain 100ms;")
    r = n.sse("/live")
    r.wait_snapshot("f")
    n.reload(wait=False)
    r.wait_closed()
    assert r.complete, "the last chunk"
    assert [e for e in r.events if e.data is None] == []
    end = r.of_type("end")[0]
    assert end["reason"] == "reload" and r.retry == end["retry"] > 0
    assert [e.retry for e in r.events[:-1]] == [None] * (len(r.events) - 1)


def test_the_end_of_a_websocket_at_reload(live):
    n = live(http="flux_drain 100ms;")
    r = n.ws("/live")
    r.wait_snapshot("f")
    n.reload(wait=False)
    r.wait_closed()
    assert r.of_type("end")[0]["reason"] == "reload"
    assert r.close_code == 1012


def test_a_waiting_poll_at_reload(live):
    import threading
    n = live(http="flux_drain 100ms;")
    cursor = n.poll("/live").cursor
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(
        n.poll("/live", cursor=cursor, wait="20s")))
    waiting.start()
    wait_for(lambda: n.status()["readers"]["poll"] == 1, 5, "it waits")
    n.reload(wait=False)
    waiting.join(10)
    answer, = answers
    assert answer.status == 200 and answer.cursor == cursor
    assert [m["type"] for m in answer.messages] == ["end"]


# --- filters beside it


def test_filters_beside_it(live, kafka):
    n = live(more="""
        gzip on; gzip_types *; gzip_min_length 1; gzip_proxied any;
        flux_compress off;
        add_header X-Own yes always;
        sub_filter '"n"' '"m"'; sub_filter_types *; sub_filter_once off;
        error_page 404 = /other;
        """, server="location = /other { return 200 other; }")
    headers = {"Accept-Encoding": "gzip"}
    s = n.sse("/live", headers=headers)
    assert s.status == 200 and s.headers["x-own"] == "yes"
    s.wait_snapshot("f")
    w = n.ws("/live")
    w.wait_snapshot("f")
    assert w.headers["x-own"] == "yes"
    kafka.send(n.topic, {"n": 3}, key="a")
    s.wait_updates(1)
    w.wait_value("f", "a", {"n": 3})
    answer = n.get("/live", headers)
    assert answer.status == 200 and answer.headers["x-own"] == "yes"


def test_error_page(live):
    n = live(server="""
        location ~ ^/feed/(?<name>.*)$ {
            flux_stream $name;
            error_page 404 /missing;
            error_page 405 =200 /missing;
        }
        location = /missing { return 404 "no such stream\\n"; }
        location = /moved { error_page 404 = /live; return 404; }
        """)
    answer = n.get("/feed/nothing")
    assert (answer.status, answer.body) == (404, b"no such stream\n")
    # an error page may be a stream, too
    assert n.get("/moved").frame.messages[0]["type"] == "snapshot"
    n.sse("/moved").wait_snapshot("f")


def test_a_stream_as_a_subrequest_does_no_harm(live):
    n = live(more="auth_request /check;", server="""
        location = /check { internal; flux_stream f; }
        location = /included { ssi on; ssi_types *; default_type text/html;
                               root html; }
        """)
    for _ in range(3):
        answer = n.get("/live")
        assert answer.status == 500
    n.wait_log("flux_stream cannot serve a subrequest")


def test_named_location_and_internal_redirect(live):
    n = live(server="""
        location = /named { try_files /nothing @live; }
        location @live { flux_stream f; }
        location = /rewritten { rewrite ^ /live last; }
        """)
    for path in ("/named", "/rewritten"):
        n.sse(path).wait_snapshot("f")
        n.ws(path).wait_snapshot("f")
        assert n.poll(path).messages[0]["type"] == "snapshot"
