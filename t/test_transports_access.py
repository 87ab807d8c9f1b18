"""Who may read, how long, and what the log says of it."""

import re
import threading
import time

import pytest
from websockets.exceptions import InvalidStatus

from harness.process import wait_for
from harness.ws import frame


@pytest.fixture
def live(kafka, nginx, module):
    def make(more="", server="", **settings):
        topic = kafka.create_topic()
        kafka.send(topic, {"n": 1}, key="a")
        http = settings.pop("http", "")
        n = nginx(kafka=kafka,
                  http_conf=f"flux_feed f {{ topic {topic}; }}\n{http}",
                  server_conf=f"location = /live {{ flux_stream f; {more} }}\n"
                  + server, **settings)
        n.topic = topic
        return n
    return make


def origin_codes(n, origin, path="/live"):
    """Codes of SSE, poll, preflight, WebSocket; and the CORS header."""
    headers = {"Origin": origin} if origin else {}
    sse = n.sse(path, headers=headers)
    poll = n.get(path, headers)
    preflight = n.request("OPTIONS", path, headers)
    try:
        ws = n.ws(path, headers=headers)
        code, allowed = 101, ws.headers.get("access-control-allow-origin")
    except InvalidStatus as refused:
        code, allowed = refused.response.status_code, None
    named = {a.headers.get("access-control-allow-origin")
             for a in (sse, poll, preflight)}
    for a in (sse, poll, preflight):
        assert a.headers["cache-control"] == "no-store"
        if origin:
            assert "origin" in a.headers["vary"].lower()
    return (sse.status, poll.status, preflight.status, code), named


ALLOWED, REFUSED = (200, 200, 204, 101), (403, 403, 403, 403)


def test_origin_same(live):
    n = live()
    here = f"http://127.0.0.1:{n.port}"
    assert origin_codes(n, here) == (ALLOWED, {here})
    assert origin_codes(n, here.upper())[0] == ALLOWED
    for origin in ("http://127.0.0.1", "http://evil.example", "null",
                   f"http://127.0.0.1:{n.port}.evil.example",
                   f"http://evil.example/127.0.0.1:{n.port}",
                   f"http://127.0.0.1:{n.port}@evil.example", "x", "://",
                   f"http://x127.0.0.1:{n.port}"):
        assert origin_codes(n, origin) == (REFUSED, {None}), origin
    # no browser
    assert origin_codes(n, None)[0] == (200, 200, 405, 101)


def test_origin_any(live):
    n = live(more="flux_origin any;")
    for origin in ("http://evil.example", "null"):
        codes, named = origin_codes(n, origin)
        assert codes == ALLOWED and named <= {origin, "*"}, (origin, named)


def test_origin_list(live):
    n = live(more="flux_origin https://one.example http://two.example:8080;",
             server="location /both { flux_stream f; "
                    "flux_origin same https://one.example; }")
    for origin in ("https://one.example", "http://two.example:8080",
                   "HTTPS://One.Example"):
        assert origin_codes(n, origin) == (ALLOWED, {origin})
    for origin in ("http://one.example", "https://one.example:8443",
                   "https://one.example.org", "https://sub.one.example",
                   "https://one.exampl", f"http://127.0.0.1:{n.port}"):
        assert origin_codes(n, origin) == (REFUSED, {None}), origin
    for origin in ("https://one.example", f"http://127.0.0.1:{n.port}"):
        assert origin_codes(n, origin, "/both")[0] == ALLOWED


def test_origin_same_with_a_default_port_and_tls_in_front(live):
    """Host without a port is the origin without one."""
    n = live()
    for host, origin, status in (
            ("example.org", "https://example.org", 200),
            ("example.org", "http://example.org", 200),
            ("example.org:80", "http://example.org", 200),
            ("example.org:443", "https://example.org", 200),
            ("example.org:443", "http://example.org", 403),
            ("example.org", "https://example.org:8443", 403),
            ("EXAMPLE.org", "https://example.ORG", 200)):
        answer = n.get("/live", {"Host": host, "Origin": origin})
        assert answer.status == status, (host, origin)


def test_preflight(live):
    n = live(more="flux_origin https://one.example;")
    answer = n.request("OPTIONS", "/live", {
        "Origin": "https://one.example",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "last-event-id, cache-control"})
    assert answer.status == 204 and answer.body == b""
    h = answer.headers
    assert h["access-control-allow-origin"] == "https://one.example"
    assert "GET" in h["access-control-allow-methods"]
    assert h["access-control-allow-headers"].lower() == \
        "last-event-id, cache-control"


def test_auth_request(live):
    n = live(more="auth_request /auth;", server="""
        location = /auth { internal; if ($request_uri ~ good) { return 204; }
                           return 401; }""")
    for headers in ({}, {"Accept": "text/event-stream"}):
        answer = n.get("/live?token=bad", headers)
        assert answer.status == 401
    with pytest.raises(InvalidStatus):
        n.ws("/live?token=bad")
    n.sse("/live?token=good").wait_snapshot("f")
    n.ws("/live?token=good").wait_snapshot("f")
    answer = n.get("/live?token=good")
    assert answer.status == 200
    assert n.poll("/live?token=good", cursor=answer.cursor,
                  wait="100ms").messages == []


def test_auth_request_that_ends_at_once(live):
    """Answers that need no wait, out of the handler's own subrequest."""
    n = live(more="auth_request /auth;",
             server="location = /auth { internal; return 204; }", workers=1)
    s = n.socket()
    s.sendall(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n" * 20
              + b"GET /live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    data = b""
    while piece := s.recv(65536):
        data += piece
    assert data.count(b"200 OK") == 21 and data.endswith(b"]")


def test_access_and_limits(live):
    n = live(server="""
        location = /denied { flux_stream f; deny all; }
        location = /some { flux_stream f; allow 127.0.0.0/8; deny all; }
        location = /one { flux_stream f; limit_conn one 1; }
        location = /rate { flux_stream f; limit_req zone=rate; }
        """, http="limit_conn_zone $uri zone=one:1m;"
                  "limit_req_zone $uri zone=rate:1m rate=1r/m;")
    assert n.get("/denied").status == 403
    assert n.get("/some").status == 200
    first = n.sse("/one")
    first.wait_snapshot("f")
    assert n.get("/one").status == 503
    with pytest.raises(InvalidStatus):
        n.ws("/one")
    first.close()
    wait_for(lambda: n.get("/one").status == 200, 5, "the place is free")
    second = n.ws("/one")
    second.wait_snapshot("f")
    assert n.get("/one").status == 503
    second.drop()
    wait_for(lambda: n.get("/one").status == 200, 5, "the place is free")
    assert n.get("/rate").status == 200
    assert n.get("/rate").status == 503


FORMAT = ("log_format flux '$request_uri status=$status bytes=$bytes_sent "
          "body=$body_bytes_sent transport=$flux_transport "
          "room=$flux_room cursor=$flux_cursor messages=$flux_messages';")


def log_line(n, path):
    def found():
        return [line for line in n._read("flux.log").splitlines()
                if line.startswith(path + " ")]
    line = wait_for(found, 5, "a line of the access log")[0]
    return dict(re.findall(r"(\w+)=(.*?)(?= \w+=|$)", line))


def test_access_log(live, kafka):
    n = live(more="access_log flux.log flux;", http=FORMAT)
    kafka.send(n.topic, {"n": 2}, key="b")
    for kind in ("sse", "ws"):
        r = getattr(n, kind)(f"/live?t={kind}")
        r.wait_snapshot("f")
        for i in range(5):
            kafka.send(n.topic, {"i": i, "to": kind}, key="a")
        r.wait_value("f", "a", {"i": 4, "to": kind})
        cursor = r.cursor
        r.close()
        line = log_line(n, f"/live?t={kind}")
        assert line["status"] == ("200" if kind == "sse" else "101")
        assert line["transport"] == ("sse" if kind == "sse" else "websocket")
        assert line["room"] == "f" and line["messages"] == str(len(r.messages))
        assert line["cursor"] == cursor
        if kind == "sse":
            # sizes of chunks beside
            assert r.wire_bytes < int(line["body"]) < r.wire_bytes + 80
        assert int(line["bytes"]) > int(line["body"])
    answer = n.get("/live?t=poll")
    line = log_line(n, "/live?t=poll")
    assert (line["status"], line["transport"]) == ("200", "poll")
    assert (line["room"], line["messages"]) == ("f", "1")
    assert line["cursor"] == answer.cursor
    assert line["body"] == str(len(answer.body))
    n.get(f"/live?t=none&wait=50ms&cursor={answer.cursor}")
    line = log_line(n, f"/live?t=none&wait=50ms&cursor={answer.cursor}")
    assert (line["messages"], line["cursor"]) == ("0", answer.cursor)
    n.request("POST", "/live?t=post", body="x")
    line = log_line(n, "/live?t=post")
    assert (line["status"], line["transport"]) == ("405", "-")


def test_variables_in_other_places(live):
    n = live(more="add_header X-Transport $flux_transport;",
             server="location = /x { return 200 '$flux_room-$flux_cursor'; }")
    assert n.get("/x").body == b"-"
    assert n.get("/live").headers["x-transport"] == "poll"
    assert n.sse("/live").headers["x-transport"] == "sse"


# --- what asks for a page that a cache has


@pytest.mark.parametrize("header, value", [
    ("If-None-Match", "*"), ("If-Match", '"x"'),
    ("If-Unmodified-Since", "Thu, 01 Jan 1970 00:00:00 GMT")])
def test_a_condition_changes_no_answer(live, header, value):
    n = live(server="location = /status { flux_status; }")
    answer = n.get("/live", headers={header: value,
                                     "Accept": "application/json"})
    assert answer.status == 200
    assert answer.json()[0]["type"] == "snapshot"
    assert n.get("/status", headers={header: value}).status == 200
    r = n.sse("/live", headers={header: value})
    r.wait_snapshot("f")


# --- time


@pytest.mark.parametrize("transport", ["sse", "ws"])
def test_expires(live, transport):
    n = live(more="flux_expires $arg_exp;")
    end = int(time.time()) + 2
    r = getattr(n, transport)(f"/live?exp={end}")
    r.wait_snapshot("f")
    r.wait_closed()
    assert end - 0.1 <= time.time() < end + 5
    assert r.of_type("end")[0]["reason"] == "expired"
    if transport == "ws":
        assert r.close_code == 1008
    assert n.status()["ended"]["expired"] == 1


def test_expires_that_has_passed_or_says_nothing(live):
    n = live(more="flux_expires $arg_exp;")
    for exp in ("1000000000", "1000000000.65", "0"):
        r = n.sse(f"/live?exp={exp}")
        r.wait_closed()
        assert r.of_type("end")[0]["reason"] == "expired"
    for exp in ("", "never", "-5", "1000000000.", "1000000000.x", ".5"):
        open_ = n.sse(f"/live?exp={exp}")
        open_.wait_snapshot("f")
        assert not open_.closed
    far = n.sse(f"/live?exp={int(time.time()) + 10 ** 9}")
    far.wait_snapshot("f")
    assert not far.closed
    answer = n.get(f"/live?exp={10 ** 9}")
    assert answer.status == 200


def test_a_poll_expires(live):
    n = live(more="flux_expires $arg_exp;")
    cursor = n.get("/live").cursor
    answer = n.get(f"/live?exp={int(time.time()) + 1}&cursor={cursor}"
                   "&wait=20s")
    assert answer.took < 4
    assert [m["type"] for m in answer.messages] == ["end"]
    assert answer.cursor == cursor


def test_heartbeats(live):
    n = live(more="flux_heartbeat 100ms;")
    r = n.sse("/live")
    r.wait(lambda s: len(s.comments) >= 5)
    assert r.frames and not r.closed
    # a poll is no stream
    cursor = n.get("/live").cursor
    answer = n.get(f"/live?cursor={cursor}&wait=500ms")
    assert answer.messages == [] and answer.took > 0.4


def test_a_busy_stream_needs_no_heartbeat(live, kafka):
    n = live(more="flux_heartbeat 500ms;")
    r = n.sse("/live")
    r.wait_snapshot("f")
    for i in range(20):
        kafka.send(n.topic, {"i": i}, key="a")
        time.sleep(0.05)
    assert len(r.comments) <= 1


def open_websocket(n, path="/live"):
    s = n.socket()
    s.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
              "Connection: upgrade\r\nSec-WebSocket-Version: 13\r\n"
              "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n".encode())
    return s


def test_pings_that_are_answered_keep_a_websocket(live):
    n = live(more="flux_heartbeat 100ms;")
    r = n.ws("/live")          # the library answers
    time.sleep(1)              # ten times the heartbeat
    assert not r.closed
    r.send({"op": "ping"})
    r.wait_type("pong")


def test_two_missed_pongs_end_a_websocket(live):
    n = live(more="flux_heartbeat 200ms;")
    s = open_websocket(n)
    started = time.monotonic()
    data = b""
    while piece := s.recv(65536):
        data += piece
    assert 0.5 < time.monotonic() - started < 3
    assert data.count(b"\x89\x00") == 2
    wait_for(lambda: n.status()["readers"]["websocket"] == 0, 5, "gone")


def test_a_client_that_only_pings_stays(live):
    n = live(more="flux_heartbeat 200ms;")
    s = open_websocket(n)
    for _ in range(8):
        s.sendall(b"\x89\x80abcd")
        time.sleep(0.1)
    assert n.status()["readers"]["websocket"] == 1


@pytest.mark.parametrize("transport", ["sse", "ws"])
def test_a_reader_that_takes_nothing_is_ended(live, kafka, transport):
    n = live(more="flux_send_timeout 500ms; flux_buffer 16k;",
             workers=1)
    if transport == "sse":
        s = n.socket()
        s.sendall(b"GET /live HTTP/1.1\r\nHost: x\r\n"
                  b"Accept: text/event-stream\r\n\r\n")
    else:
        s = open_websocket(n)
    wait_for(lambda: sum(n.status()["readers"].values()) == 1, 5, "it reads")
    deadline = time.monotonic() + 8
    while n.status()["ended"]["slow"] == 0:
        assert time.monotonic() < deadline
        for i in range(20):
            kafka.produce(n.topic, {"i": i, "pad": "x" * 50000}, key="a")
        kafka.flush()
    wait_for(lambda: sum(n.status()["readers"].values()) == 0, 5, "gone")
    s.settimeout(5)
    try:
        while s.recv(1 << 20):
            pass
    except ConnectionResetError:
        pass


def close_code(s):
    """The code of the close frame, the last one of the stream."""
    data = b""
    try:
        while piece := s.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    assert data[-4:-2] == b"\x88\x02", data[-50:]
    return int.from_bytes(data[-2:], "big")


@pytest.mark.parametrize("sent, code", [
    (frame(1, b" " * 1025), 1009),
    (frame(1, b" " * 100000)[:14], 1009),
    (frame(1, b" " * 600, fin=False) + frame(0, b" " * 600), 1009),
    (frame(2, b"x"), 1003),
    (frame(1, b"\xff"), 1007),
    (frame(1, b"\xc3", fin=False) + frame(0, b"x"), 1007),
    (b"\x81\x01x", 1002),                       # not masked
    (frame(0x41, b"x"), 1002),                  # RSV
    (frame(3, b""), 1002),
    (frame(0, b"x"), 1002),
    (frame(9, b"x" * 126), 1002),
    (frame(9, b"x", fin=False), 1002),
    (frame(8, b"x"), 1002),
    (frame(8, b"\x03\xe8\xff"), 1007),
    (frame(8, (999).to_bytes(2, "big")), 1002),
    (frame(8, (1000).to_bytes(2, "big")), 1000),
    (frame(8, (3000).to_bytes(2, "big")), 3000),
    (frame(1, b"x", fin=False) + frame(1, b"x"), 1002)])
def test_close_codes(live, sent, code):
    n = live(more="flux_max_message 1k;", workers=1)
    s = open_websocket(n)
    s.sendall(sent)
    assert close_code(s) == code


def test_a_message_of_just_the_size(live):
    n = live(more="flux_max_message 1k;")
    r = n.ws("/live")
    r.send('{"op":"ping"}'.ljust(1024))
    r.wait_type("pong")


def test_quit(live):
    n = live(http="flux_drain 100ms;")
    w, s = n.ws("/live"), n.sse("/live")
    w.wait_snapshot("f")
    s.wait_snapshot("f")
    n.quit()
    for r in (w, s):
        r.wait_closed()
        assert r.of_type("end")[0]["reason"] == "quit"
    assert w.close_code == 1001 and s.complete


# --- what nginx answers before us ---------------------------------------------

OURS = "https://one.example"


@pytest.mark.parametrize("what,status", [
    ("auth_request /no;", 401), ("auth_request /never;", 403),
    ("auth_request /broken;", 500), ("deny all;", 403),
    ("limit_conn one 1;", 503), ("limit_req zone=seldom;", 503),
    ("limit_req zone=seldom; limit_req_status 429;", 429),
    ("return 402;", 402), ("auth_basic x; auth_basic_user_file none;", 401)])
def test_answers_before_ours_are_as_private_and_as_readable(
        live, what, status):
    n = live(more=f"flux_origin {OURS}; {what}", server=f"""
             location = /status {{ flux_status; {what} }}
             location = /plain {{ {what} }}
             location = /no {{ return 401; }}
             location = /never {{ return 403; }}
             location = /broken {{ return 502; }}""",
             http="limit_conn_zone $server_port zone=one:1m; "
             "limit_req_zone $server_port zone=seldom:1m rate=1r/m;")
    if "limit" in what:
        n.sse("/live").wait_snapshot("f")
    n.expect_log("limiting|auth request|none")
    for method in "GET", "POST", "HEAD", "OPTIONS":
        for path, origin, allowed in (
                ("/live", None, None), ("/live", OURS, OURS),
                ("/live", "https://evil.example", None),
                ("/status", OURS, None)):
            answer = n.request(method, path,
                               {"Origin": origin} if origin else {})
            assert answer.status == status, (method, path)
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers.get("access-control-allow-origin") \
                == allowed
            if origin and path == "/live":
                assert answer.headers["vary"] == "Origin"
    answer = n.get("/plain", {"Origin": OURS})
    assert "cache-control" not in answer.headers
    assert "access-control-allow-origin" not in answer.headers


def test_a_body_too_large_for_nginx_itself_is_told_alike(
        kafka, nginx, module):
    topic = kafka.create_topic()
    n = nginx(kafka=kafka, server_conf=f"""location = /p {{
              flux_publish main {topic}; flux_origin {OURS};
              client_max_body_size 10; }}""")
    n.expect_log("too large body")
    answer = n.post("/p", "x" * 100, {"Origin": OURS})
    assert answer.status == 413
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["access-control-allow-origin"] == OURS


def test_a_page_for_errors_is_its_own_locations_matter(live):
    n = live(more="deny all; error_page 403 /sorry;", server="""
             location = /sorry { return 200 "sorry"; }""")
    answer = n.get("/live")
    assert (answer.status, answer.body) == (403, b"sorry")
    assert "cache-control" not in answer.headers


def test_our_own_answers_have_each_header_once(live):
    n = live(more="flux_origin any;")
    for request in ("GET /live HTTP/1.1", "POST /live HTTP/1.1"):
        s = n.socket()
        s.sendall(f"{request}\r\nHost: x\r\nOrigin: {OURS}\r\n"
                  "Connection: close\r\n\r\n".encode())
        data = b""
        while piece := s.recv(65536):
            data += piece
        head = data.partition(b"\r\n\r\n")[0].lower()
        for name in (b"cache-control:", b"access-control-allow-origin:",
                     b"vary:"):
            assert head.count(name) == 1, head
