"""Compressed streams: the same frames, fewer bytes."""

import os
import time
import zlib

import pytest

from harness.process import wait_for


@pytest.fixture
def live(kafka, nginx, module):
    def make(more="", **settings):
        topic = kafka.create_topic()
        for i in range(20):
            kafka.produce(topic, ticker(i), key=f"k{i}")
        kafka.flush()
        n = nginx(kafka=kafka, http_conf=f"""
                  flux_feed f {{ topic {topic}; }} flux_drain 100ms;
                  flux_feed s {{ topic {topic}; room key; }}""",
                  server_conf=f"location = /live {{ flux_stream f; "
                  f"flux_subscribe s/*; {more} }}",
                  **{"workers": 1, **settings})
        n.topic = topic
        return n
    return make


def ticker(i):
    return {"symbol": f"SYM{i % 20}", "price": f"{100 + i * 0.01:.2f}",
            "open": "99.50", "high": "101.20", "low": "98.75",
            "volume": f"{i * 1000}", "exchange": "coinbase", "n": i}


def send(n, kafka, start, count, flush=1):
    for i in range(start, start + count):
        kafka.produce(n.topic, ticker(i), key=f"k{i % 20}")
        if i % flush == 0:
            kafka.flush()
    kafka.flush()


def numbers(r):
    return [m["data"]["n"] for m in r.updates("f")]


def test_sse_is_gzip_when_it_may_be(live):
    n = live()
    r = n.sse("/live", compress=True)
    assert r.headers["content-encoding"] == "gzip"
    assert "accept-encoding" in r.headers["vary"].lower()
    r.wait_snapshot("f")
    assert len(r.rooms["f"].values) == 20
    assert r.wire_bytes < len(r.frames[0].raw) / 2
    for accept in (None, "identity", "br", "gzip;q=0", "gzip; q=0.0",
                   "xgzip"):
        other = n.sse("/live", headers={"Accept-Encoding": accept})
        assert "content-encoding" not in other.headers, accept
        other.wait_snapshot("f")
    for accept in ("deflate, gzip;q=0.5", "GZIP"):
        other = n.sse("/live", headers={"Accept-Encoding": accept})
        # the harness inflates by the header
        assert other.headers["content-encoding"] == "gzip"
        other.wait_snapshot("f")


def test_compress_off(live):
    n = live(more="flux_compress off;")
    assert "content-encoding" not in n.sse("/live", compress=True).headers
    w = n.ws("/live", compress=True)
    assert "sec-websocket-extensions" not in w.headers


@pytest.mark.parametrize("transport", ["sse", "ws"])
@pytest.mark.parametrize("readers", [1, 2, 3, 12])
def test_readers_that_come_and_go_get_the_same(live, kafka, transport,
                                               readers):
    n = live()

    def come():
        r = getattr(n, transport)("/live", compress=True)
        r.wait_snapshot("f")
        return r

    first = [come() for _ in range(readers)]
    plain = getattr(n, transport)("/live")
    plain.wait_snapshot("f")
    late = []
    for turn in range(12):
        send(n, kafka, 1000 + turn * 10, 10)
        if turn % 3 == 1:
            late.append(come())
    last = 1119
    for r in (*first, *late, plain):
        r.wait(lambda s: s.updates("f")
               and s.updates("f")[-1]["data"]["n"] == last)
    for r in first:
        assert [f.raw if isinstance(f.raw, str) else f.raw
                for f in r.frames[1:]][-5:] == \
            [f.raw for f in plain.frames[1:]][-5:]
        assert numbers(r) == list(range(1000, last + 1))
    for r in late:
        got = numbers(r)
        assert got == list(range(got[0] if got else 0, last + 1))
    for r in late[:2]:
        r.close()
    send(n, kafka, 2000, 20)
    for r in first:
        r.wait_value("f", "k19", ticker(2019))


def without_context(n):
    from websockets.extensions.permessage_deflate import (
        ClientPerMessageDeflateFactory)
    return n.ws("/live", extensions=[ClientPerMessageDeflateFactory(
        server_no_context_takeover=True)])


@pytest.mark.parametrize("transport", ["sse", "ws"])
@pytest.mark.parametrize("readers", [1, 6])
def test_a_shared_stream_is_smaller(live, kafka, transport, readers):
    n = live()
    shared = [getattr(n, transport)("/live", compress=True)
              for _ in range(readers)]
    alone = without_context(n)
    everyone = (*shared, alone)
    for r in everyone:
        r.wait_snapshot("f")
    for i in range(300, 340):
        if i == 310:
            before = [r.wire_bytes for r in everyone]
        send(n, kafka, i, 1)
        for r in everyone:
            r.wait(lambda s: numbers(s)[-1:] == [i])
    took = [r.wire_bytes - b for r, b in zip(everyone, before)]
    assert max(took[:-1]) < 0.6 * took[-1], took


@pytest.mark.parametrize("transport", ["sse", "ws"])
def test_late_readers_find_into_the_stream(live, kafka, transport):
    """They take copies of their own until the stream starts anew, more than
    once, and miss no byte."""
    n = live()
    plain = getattr(n, transport)("/live")
    readers = [getattr(n, transport)("/live", compress=True)
               for _ in range(6)]
    for r in (plain, *readers):
        r.wait_snapshot("f")
    last = 0
    for turn in range(4):
        send(n, kafka, last, 5)
        last += 5
        for r in (plain, *readers):
            r.wait(lambda s: numbers(s)[-1:] == [last - 1])
        late = getattr(n, transport)("/live", compress=True)
        late.wait_snapshot("f")
        readers.append(late)
        sizes = []
        for _ in range(60):
            before = late.wire_bytes
            send(n, kafka, last, 1)
            last += 1
            late.wait(lambda s: numbers(s)[-1:] == [last - 1])
            sizes.append(late.wire_bytes - before)
        # its last messages are small, its first were not
        assert sum(sizes[-10:]) < 0.6 * sum(sizes[:10]), sizes
    for r in (plain, *readers):
        r.wait(lambda s: numbers(s)[-1:] == [last - 1])
    for r in readers:
        got = [f.raw for f in r.frames[1:]]
        assert got == [f.raw for f in plain.frames[1:]][-len(got):]
        assert numbers(r) == list(range(numbers(r)[0], last))


def test_a_worker_keeps_so_many_streams(live, kafka):
    """Sets of rooms past their number do without, and read the same."""
    n = live()
    readers = [n.sse("/live", compress=True, room=f"s/x{i}")
               for i in range(110)]
    for r in readers:
        r.wait_snapshot("f")

    def shared(i):
        before = [r.wire_bytes for r in readers]
        send(n, kafka, i, 1)
        for r in readers:
            r.wait(lambda s: numbers(s) == list(range(i + 1)))
        took = [r.wire_bytes - b for r, b in zip(readers, before)]
        small = [t < min(took) * 2 for t in took]
        return small if max(took) > 2 * min(took) else [False] * len(took)

    assert not any(shared(0))
    assert not any(shared(1))          # the first of each stream
    inside = shared(2)
    assert sum(inside) == 96
    for i in (inside.index(True), inside.index(False)):
        readers.pop(i).close()
        inside.pop(i)
    wait_for(lambda: n.status()["readers"]["sse"] == 108, 10)
    shared(3)
    inside = shared(4)
    assert sum(inside) == 96


def test_bytes_that_are_counted_are_those_of_the_wire(live, kafka):
    n = live()
    readers = [n.sse("/live", compress=True) for _ in range(4)]
    for r in readers:
        r.wait_snapshot("f")
    send(n, kafka, 0, 30)
    for r in readers:
        r.wait_value("f", "k9", ticker(29))

    def near():
        sent = n.metrics()['flux_sent_bytes_total{transport="sse"}']
        wire = sum(r.wire_bytes for r in readers)
        return wire <= sent <= wire + sum(
            8 * (len(r.frames) + 2) for r in readers)
    wait_for(near, 5)


def test_heartbeats_and_the_end_in_a_gzip_stream(live, kafka):
    n = live(more="flux_heartbeat 100ms;")
    readers = [n.sse("/live", compress=True) for _ in range(4)]
    for turn in range(3):
        for r in readers:
            count = len(r.comments)
            r.wait(lambda s: len(s.comments) >= count + 2)
        send(n, kafka, turn * 100, 10)
        for r in readers:
            r.wait_value("f", "k9", ticker(turn * 100 + 9))
    n.reload(wait=False)
    for r in readers:
        r.wait_closed()
        assert r.of_type("end")[0]["reason"] == "reload" and r.retry
        assert r.complete


def test_private_messages_beside_compressed_ones(live, kafka):
    n = live()
    readers = [n.ws("/live", compress=True) for _ in range(5)]
    for r in readers:
        r.wait_snapshot("f")
        assert "permessage-deflate" in r.headers["sec-websocket-extensions"]
    for turn in range(10):
        send(n, kafka, turn * 10, 5)
        for r in readers[:2]:
            r.send({"op": "ping"})          # compressed by the library
        readers[2].send({"op": "dance", "pad": "x" * 3000})
        if turn == 5:
            readers[3].subscribe("s/k1")
    for r in readers:
        r.wait_value("f", "k14", ticker(94))
        assert numbers(r)[-1] == 94
        if r is not readers[3]:
            assert numbers(r) == [t * 10 + i for t in range(10)
                                  for i in range(5)]
    readers[0].wait(lambda s: len(s.of_type("pong")) == 10)
    readers[2].wait(lambda s: len(s.of_type("error")) == 10)
    readers[3].wait_snapshot("s/k1")


def test_a_client_that_keeps_no_context(live, kafka):
    from websockets.extensions.permessage_deflate import (
        ClientPerMessageDeflateFactory)
    n = live()
    w = [without_context(n) for _ in range(4)]
    windows = {bits: n.ws("/live", extensions=[
        ClientPerMessageDeflateFactory(server_max_window_bits=bits,
                                       client_max_window_bits=client)])
        for bits, client in ((9, True), (12, 9), (13, 9), (14, True),
                             (15, 15))}
    both = [n.ws("/live", extensions=[ClientPerMessageDeflateFactory(
        server_no_context_takeover=server, client_no_context_takeover=True,
        client_max_window_bits=True)]) for server in (False, True)]
    everyone = (*w, *both, *windows.values())
    for r in everyone:
        r.wait_snapshot("f")
        r.send({"op": "dance", "pad": "x" * 300})
    for i in range(30):
        send(n, kafka, i, 1)
        for r in everyone:
            r.wait(lambda s: numbers(s) == list(range(i + 1)))
            r.send({"op": "dance", "pad": "x" * 300})
    for r in everyone:
        r.wait(lambda s: len(s.of_type("error")) == 31)
    assert "server_no_context_takeover" in \
        w[0].headers["sec-websocket-extensions"]
    # 13 and 14: compressed, each message alone; less: not at all
    for bits, answer in ((9, None), (12, None), (13, 13), (14, 13), (15, 15)):
        agreed = windows[bits].headers.get("sec-websocket-extensions", "")
        assert f"server_max_window_bits={answer}" in agreed if answer \
            else agreed == ""


def deflated(data):
    z = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (z.compress(data) + z.flush(zlib.Z_SYNC_FLUSH))[:-4]


@pytest.mark.parametrize("payload, code", [
    (deflated(b" " * 100_000), 1009),
    (deflated(b" " * 10_000_000), 1009),
    (b"\xff\xff\xff\xff", 1007), (b"garbage", 1007),
    (deflated(b"\xff\xfe"), 1007),
    (deflated(b'{"op":"ping"}'.ljust(1000))[:5], 1007)])
def test_bombs_and_garbage(live, payload, code):
    n = live()
    s = n.socket()
    s.sendall(b"GET /live HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
              b"Connection: upgrade\r\nSec-WebSocket-Version: 13\r\n"
              b"Sec-WebSocket-Extensions: permessage-deflate\r\n"
              b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n")
    size = len(payload)
    s.sendall(b"\xc1" + (bytes([0x80 | size]) if size < 126 else
                         b"\xfe" + size.to_bytes(2, "big"))
              + b"\0\0\0\0" + payload)
    data = b""
    try:
        while piece := s.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    assert data[-4:] == b"\x88\x02" + code.to_bytes(2, "big"), data[-20:]


def test_resume_between_compressed_and_plain(live, kafka):
    n = live()
    r = n.sse("/live", compress=True)
    r.wait_snapshot("f")
    r.close()
    send(n, kafka, 0, 10)
    again = n.again(r, compress=False)
    again.wait_value("f", "k9", ticker(9))
    assert numbers(again) == list(range(10))
    assert again.of_type("snapshot") == []


@pytest.mark.browser
@pytest.mark.parametrize("kind", ["EventSource", "WebSocket"])
def test_chromium_takes_it(live, kafka, page, kind):
    n = live()
    (n.prefix / "html" / "index.html").write_text("<!doctype html><p>x")
    page.goto(n.url("/index.html"))
    page.evaluate("""kind => {
        window.seen = [];
        window.open_reader = () => {
            const s = new window[kind](kind == 'WebSocket'
                ? '/live' .replace(/^/, location.origin.replace('http', 'ws'))
                : '/live');
            const mine = []; window.seen.push(mine);
            s.onmessage = e => JSON.parse(e.data).forEach(
                m => m.type == 'update' && mine.push(m.data.n));
        };
    }""", kind)
    name = "sse" if kind == "EventSource" else "websocket"
    for late in range(4):       # each finds into the stream of the others
        page.evaluate("open_reader()")
        wait_for(lambda: n.status()["readers"][name] == late + 1, 10)
        time.sleep(0.2)
        send(n, kafka, late * 40, 40)
        page.wait_for_function(
            "last => window.seen.every(s => s.at(-1) == last)",
            arg=late * 40 + 39, timeout=10000)
    seen = page.evaluate("window.seen")
    assert all(s == list(range(s[0], 160)) for s in seen)
    assert [s[0] for s in seen] == [0, 40, 80, 120]


def test_slow_readers_find_back_into_the_stream(live, kafka):
    """Partial writes, conflation, and then the shared stream again."""
    n = live(more="flux_buffer 8k;")
    quick = [n.sse("/live", compress=True) for _ in range(4)] \
        + [n.ws("/live", compress=True) for _ in range(4)]
    slow = [n.sse("/live", compress=True, receive_buffer=2048)
            for _ in range(3)]
    for r in (*quick, *slow):
        r.wait_snapshot("f")
    for turn in range(4):
        for r in slow:
            r.pause()
        for i in range(200):
            kafka.produce(n.topic, {**ticker(i), "pad": os.urandom(400).hex(),
                                    "n": turn * 1000 + i}, key=f"k{i % 20}")
            if i % 20 == 0:
                kafka.flush()
        kafka.flush()
        for r in quick:
            r.wait(lambda s: numbers(s)[-1:] == [turn * 1000 + 199])
        for r in slow:
            r.resume()
        for r in slow:
            r.wait(lambda s: numbers(s)[-1:] == [turn * 1000 + 199])
        send(n, kafka, turn * 1000 + 500, 20)
        for r in (*quick, *slow):
            r.wait(lambda s: numbers(s)[-1:] == [turn * 1000 + 519])
    for r in quick:
        assert numbers(r) == [turn * 1000 + i for turn in range(4)
                              for i in (*range(200), *range(500, 520))]
    for r in slow:
        got = numbers(r)
        for key in range(20):
            mine = [g for g in got if g % 20 == key]
            assert mine == sorted(set(mine))


def test_compressed_with_a_pace_and_keys(live, kafka):
    n = live(more="flux_pace 100ms;")
    readers = [n.sse("/live", compress=True) for _ in range(4)] \
        + [n.ws("/live", compress=True, key=["k3"]) for _ in range(4)]
    for r in readers:
        r.wait_snapshot("f")
    for turn in range(5):
        send(n, kafka, turn * 100, 40)
        for r in readers:
            r.wait_value("f", "k3", ticker(turn * 100 + 23))
    assert {m["key"] for r in readers[4:] for m in r.updates("f")} == {"k3"}


def test_gunzip_leaves_a_compressed_stream_as_it_is(live, kafka):
    """nginx would say that it is plain; frames go past its filter."""
    n = live(more="gunzip on;")
    for compress in True, False:
        r = n.sse("/live", compress=compress)
        r.wait_snapshot("f")
        assert r.headers.get("content-encoding") == ("gzip" if compress
                                                     else None)
        kafka.send(n.topic, ticker(77), key="k7")
        r.wait_value("f", "k7", ticker(77))
        r.close()
