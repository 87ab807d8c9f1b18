"""The harness itself, with a plain nginx and the real Kafka."""

import os
import signal
import socket
import sys
import threading
import zlib

import pytest

from harness.http import request
from harness.process import alive, children, free_port, spawn, wait_for
from harness.sse import Sse
from harness.stream import Room, Stream


class Server:
    """Sends prepared bytes to whoever asks."""

    def __init__(self, *pieces, close=True):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/x"
        self.request = b""
        self.done = threading.Event()
        threading.Thread(target=self._run, args=(pieces, close),
                         daemon=True).start()

    def _run(self, pieces, close):
        connection, _ = self.listener.accept()
        while b"\r\n\r\n" not in self.request:
            self.request += connection.recv(4096)
        for piece in pieces:
            connection.sendall(piece)
        if close:
            connection.close()
        self.done.set()
        self.connection = connection


HEAD = (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
        b"Transfer-Encoding: chunked\r\n%s\r\n")
SNAPSHOT = (b'[{"type":"snapshot","room":"r","complete":true,"items":'
            b'[{"key":"k","ts":1,"data":1}]},{"type":"cursor","cursor":"c1"}]')
UPDATE = (b'[{"type":"update","room":"r","key":"k","ts":2,"data":2},'
          b'{"type":"cursor","cursor":"c2"}]')


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(frame, cursor):
    return b"id: %s\ndata: %s\n\n" % (cursor, frame)


def test_sse_reader_collects_frames_cursors_and_comments():
    body = b": hello\n\n" + event(SNAPSHOT, b"c1") + event(UPDATE, b"c2")
    # one byte per chunk: nothing may depend on how the bytes come
    server = Server(HEAD % b"", *(chunk(body[i:i + 1])
                                  for i in range(len(body))), chunk(b""))
    reader = Sse(server.url, room=["weather/a b"], cursor="c0")
    reader.wait_closed()

    assert reader.status == 200 and reader.complete
    assert reader.comments == ["hello"]
    assert reader.cursor == "c2"
    assert reader.rooms["r"].values == {"k": 2}
    assert [m["type"] for m in reader.messages] == ["snapshot", "update"]
    assert b"GET /x?room=weather%2Fa+b HTTP/1.1" in server.request
    assert b"Last-Event-ID: c0" in server.request


def test_sse_reader_inflates_and_sees_a_stream_cut_off():
    deflate = zlib.compressobj(wbits=31)
    packed = deflate.compress(event(SNAPSHOT, b"c1")) \
        + deflate.flush(zlib.Z_SYNC_FLUSH)
    server = Server(HEAD % b"Content-Encoding: gzip\r\n", chunk(packed))
    reader = Sse(server.url, compress=True)
    reader.wait_snapshot("r")
    reader.wait_closed()

    assert not reader.complete
    assert b"Accept-Encoding: gzip" in server.request


def test_sse_reader_reports_an_id_that_is_not_the_frames_cursor():
    server = Server(HEAD % b"", chunk(event(SNAPSHOT, b"other")))
    reader = Sse(server.url)
    reader.wait_closed()
    assert "is not the frame's cursor" in str(reader.error)


def test_room_joins_the_parts_of_a_snapshot_and_forgets_deleted_keys():
    room = Room()
    room.apply({"type": "snapshot", "more": True, "complete": True,
                "items": [{"key": "a", "ts": 1, "data": 1}]})
    room.apply({"type": "snapshot", "complete": True,
                "items": [{"key": "b", "ts": 1, "data": 2}]})
    assert room.values == {"a": 1, "b": 2}
    room.apply({"type": "delete", "key": "a", "ts": 2})
    assert room.values == {"b": 2}
    room.apply({"type": "snapshot", "complete": True, "items": []})
    assert room.values == {}


def test_stream_wait_says_what_did_not_come():
    stream = Stream()
    stream.take(UPDATE.decode())
    with pytest.raises(AssertionError, match="3 updates"):
        stream.wait_updates(3, timeout=0.1)


def test_nginx_serves_reloads_upgrades_and_quits(nginx):
    one = nginx(module=False, server_conf='location = /a { return 200 "1"; }')
    assert one.get("/a").body == b"1"
    first = one.workers()
    assert len(first) == 2

    one.reload(server_conf='location = /a { return 200 "2"; }', workers=3)
    wait_for(lambda: one.get("/a").body == b"2")
    assert len(one.workers()) == 3 and not set(first) & set(one.workers())
    one.wait_old_workers_gone()

    old = one.master
    one.upgrade()
    assert one.master != old
    wait_for(lambda: not alive(old), 10)
    assert one.get("/a").body == b"2"

    master = one.master
    one.quit()
    assert not alive(master)


def test_nginx_test_names_what_is_wrong(nginx):
    assert nginx.test(module=False)[0]
    accepted, output = nginx.test(module=False, server_conf="nonsense;")
    assert not accepted and 'unknown directive "nonsense"' in output


def test_nginx_complains_of_a_worker_killed_by_somebody_else(nginx):
    one = nginx(module=False)
    declared, undeclared = one.workers()
    one.kill(declared)
    wait_for(lambda: len(one.workers()) == 2 and declared not in one.workers())
    assert one.complaints() == []

    os.kill(undeclared, signal.SIGKILL)
    one.wait_log(f"{undeclared} exited on signal")
    assert len(one.complaints()) == 1
    one.expect_kill(undeclared)


def test_nginx_finds_the_worker_of_a_connection(nginx):
    one = nginx(module=False)
    connection = one.socket()

    class Client:
        local_port = connection.getsockname()[1]

    wait_for(lambda: one.worker_of(Client) in one.workers())


def test_children_get_sigterm_when_their_parent_is_killed():
    parent = spawn([sys.executable, "-c", """
import sys, time
sys.path.insert(0, sys.argv[1])
from harness.process import spawn
spawn(["sleep", "60"])
time.sleep(60)
""", os.path.dirname(__file__)])
    child, = wait_for(lambda: children(parent.pid), 10)
    wait_for(lambda: open(f"/proc/{child}/comm").read() == "sleep\n")
    parent.kill()
    parent.wait()
    wait_for(lambda: not alive(child), 5)


def test_kafka_keeps_the_newest_records_per_key(kafka):
    topic = kafka.create_topic(partitions=2, compact=True)
    for i in range(3):
        kafka.produce(topic, {"n": i}, key="a", timestamp=1000 + i)
        kafka.produce(topic, "text", key=f"k{i}", headers=[("h", b"v")])
    kafka.produce(topic, None, key="k0")
    kafka.flush()
    partition, offset = kafka.send(topic, b"{}", key="p", partition=1)
    assert partition == 1 and offset == kafka.end_offsets(topic)[1] - 1

    newest = kafka.newest(topic, retain=2)
    assert [r.value for r in newest["a"]] == [b'{"n":1}', b'{"n":2}']
    assert newest["a"][-1].timestamp == 1002
    assert newest["k1"][0].headers == [("h", b"v")]
    assert set(newest) == {"a", "k1", "k2", "p"}

    kafka.delete_topic(topic)
    kafka.create_topic(topic)
    assert kafka.records(topic) == []
    assert kafka.send(topic, "1") == (0, 0)


def test_kafka_comes_back_on_its_port_with_or_without_its_data(own_kafka):
    topic = own_kafka.create_topic()
    own_kafka.send(topic, "1")
    own_kafka.kill()
    own_kafka.start()
    assert len(own_kafka.records(topic)) == 1

    cluster = own_kafka.admin.list_topics(timeout=10).cluster_id
    own_kafka.wipe()
    own_kafka.start()
    assert topic not in own_kafka.admin.list_topics(timeout=10).topics
    assert own_kafka.admin.list_topics(timeout=10).cluster_id != cluster


def test_free_port_is_free():
    with pytest.raises(ConnectionRefusedError):
        request("GET", f"http://127.0.0.1:{free_port()}/")


@pytest.mark.browser
def test_chromium_opens_a_page_and_reports_errors(nginx, page):
    one = nginx(module=False)
    (one.prefix / "html" / "x.html").write_text(
        "<title>hello</title><script>nonsense()</script>")
    page.goto(one.url("/x.html"))
    assert page.title() == "hello"
    wait_for(lambda: "nonsense is not defined" in str(page.problems))
