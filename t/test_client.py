"""flux.js in Node, against the real module."""

import socket
import subprocess
import threading
import time

import pytest

from harness.client import NODE, Client
from harness.process import ROOT, wait_for

pytestmark = pytest.mark.skipif(NODE is None, reason="no node")

FEEDS = """
    flux_feed f {{ topic {f}; }}
    flux_feed rooms {{ topic {rooms}; room key; }}
"""
LIVE = """
    location = /live { flux_stream f; flux_subscribe rooms/*; }
    location = /sse  { flux_stream f; flux_transports sse poll; }
    location = /poll { flux_stream f; flux_transports poll; }
"""
TRANSPORTS = ("websocket", "sse", "poll")


@pytest.fixture(scope="session")
def ws():
    """npm's ws: Debian 12's node has no WebSocket of its own."""
    result = subprocess.run([ROOT / "tools/npm", "ws@8.18.3"], check=True,
                            capture_output=True, text=True)
    return result.stdout.splitlines()[-1] + "/ws/wrapper.mjs"


class Server:
    def __init__(self, kafka, nginx, **settings):
        self.kafka = kafka
        self.f = kafka.create_topic()
        self.rooms = kafka.create_topic()
        self.nginx = nginx(kafka=kafka, http_conf=FEEDS.format(
            f=self.f, rooms=self.rooms), server_conf=LIVE, **settings)

    def send(self, number, key="k"):
        self.kafka.send(self.f, {"n": number}, key=key)


@pytest.fixture
def server(kafka, nginx, module):
    return Server(kafka, nginx)


@pytest.fixture
def client(ws):
    running = []

    def make(url, follow=("f",), **options):
        running.append(Client(url, follow, ws, **options))
        return running[-1]

    yield make
    for one in running:
        one.close()


class Proxy:
    """Between a client and nginx: it may swallow what asks for a WebSocket,
    and cut all connections."""

    def __init__(self, port):
        self.target = port
        self.silent = ()            # words: who says one hears nothing
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.open = []
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(near,),
                             daemon=True).start()

    def _serve(self, near):
        head = near.recv(65536)
        self.open.append(near)
        if any(word in head.lower() for word in self.silent):
            return
        try:
            far = socket.create_connection(("127.0.0.1", self.target))
        except OSError:
            near.close()
            return
        self.open.append(far)
        far.sendall(head)
        threading.Thread(target=self._pump, args=(near, far),
                         daemon=True).start()
        self._pump(far, near)

    @staticmethod
    def _pump(a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
        except OSError:
            pass
        for one in (a, b):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        for one in self.open:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.open.clear()

    def close(self):
        self.listener.close()
        self.cut()


@pytest.fixture
def proxy(server):
    one = Proxy(server.nginx.port)
    yield one
    one.close()


def numbers(one):
    return [e["data"]["n"] for e in one.of("update")]


def test_the_client_is_under_four_kilobytes_and_needs_nothing():
    import gzip
    source = (ROOT / "html/flux.js").read_bytes()
    assert len(gzip.compress(source, 9)) < 4096
    assert b"import" not in source.replace(b"@import", b"")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_room_gets_its_snapshot_updates_and_deletes(server, client,
                                                      transport):
    server.send(1)
    one = client(server.nginx.url("/live"), transports=[transport])
    assert one.wait("snapshot", room="f")["items"][0]["data"] == {"n": 1}
    server.send(2)
    assert one.wait("update")["data"] == {"n": 2}
    server.kafka.send(server.f, None, key="k")
    one.wait("delete", key="k")
    look = one.look()
    assert look["state"] == "live"
    assert look["rooms"]["f"]["items"] == {} and look["cursor"]


@pytest.mark.parametrize("path, transport", [
    ("/live", "websocket"), ("/sse", "sse"), ("/poll", "poll")])
def test_a_refused_transport_gives_way_to_the_next(server, client, path,
                                                   transport):
    one = client(server.nginx.url(path))
    assert one.wait("snapshot")
    assert one.wait("frame")["transport"] == transport
    server.send(1)
    one.wait("update")


@pytest.mark.parametrize("silent, transport", [
    ([b"upgrade: websocket"], "sse"),
    ([b"upgrade: websocket", b"text/event-stream"], "poll")])
def test_a_silent_transport_gives_way_to_the_next(server, proxy, client,
                                                  silent, transport):
    proxy.silent = silent
    one = client(proxy.url("/live"), patience=1000)
    one.wait("snapshot")
    assert one.wait("frame")["transport"] == transport


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_cut_connection_goes_on_where_it_was(server, proxy, client,
                                               transport):
    one = client(proxy.url("/live"), transports=[transport])
    one.wait("snapshot")
    for number in range(1, 6):
        server.send(number, key=str(number))
        wait_for(lambda: len(numbers(one)) >= number, 20, "the update")
        proxy.cut()
        server.send(number * 10, key=f"{number}0")
        wait_for(lambda: number * 10 in numbers(one), 20, "what was missed")
    assert sorted(numbers(one)) == [1, 2, 3, 4, 5, 10, 20, 30, 40, 50]
    assert len(one.of("snapshot")) == 1
    # a cut between two polls is none
    assert transport == "poll" or one.of("state", value="reconnecting")


def test_a_killed_worker_and_a_server_that_was_away(server, client):
    n = server.nginx
    one = client(n.url("/live"))
    one.wait("snapshot")
    for worker in n.workers():
        n.expect_kill(worker)
        n.kill(worker)
    server.send(1)
    wait_for(lambda: numbers(one) == [1], 30, "the update after the kill")
    assert len(one.of("snapshot")) == 1


@pytest.mark.parametrize("transport", ["websocket", "sse"])
def test_the_retry_of_an_end_is_obeyed(server, client, transport):
    one = client(server.nginx.url("/live"), transports=[transport])
    one.wait("snapshot")
    server.nginx.reload()
    end = one.wait("end")
    back = wait_for(lambda: [e for e in one.of("state", value="live")
                             if e["at"] > end["at"]], 30, "it is back")[0]
    assert back["at"] - end["at"] >= end["value"]["retry"] - 5
    server.send(1)
    one.wait("update")
    assert len(one.of("snapshot")) == 1


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_rooms_are_added_and_let_go_at_run_time(server, client, transport):
    kafka = server.kafka
    kafka.send(server.rooms, {"t": 1}, key="paris")
    kafka.send(server.rooms, {"t": 2}, key="oslo")
    one = client(server.nginx.url("/live"), transports=[transport],
                 rooms=["rooms/paris"],
                 follow=("f", "rooms/paris", "rooms/oslo"))
    one.wait("snapshot", room="rooms/paris")
    one.tell("subscribe", "rooms/oslo")
    assert one.wait("snapshot", room="rooms/oslo")["items"][0]["data"] \
        == {"t": 2}
    kafka.send(server.rooms, {"t": 3}, key="oslo")
    one.wait("update", room="rooms/oslo")

    one.tell("unsubscribe", "rooms/paris")
    # what is sent after the server took that reaches nobody
    wait_for(lambda: server.nginx.status()["feeds"]["rooms"]["readers"] <= 1,
             10, "the room is let go")
    one.look()
    time.sleep(0.3) if transport == "poll" else None
    kafka.send(server.rooms, {"t": 4}, key="paris")
    kafka.send(server.rooms, {"t": 5}, key="oslo")
    wait_for(lambda: [e for e in one.of("update", room="rooms/oslo")
                      if e["data"] == {"t": 5}], 20, "the other room goes on")
    assert not one.of("update", room="rooms/paris")
    assert len(one.of("snapshot", room="f")) == 1


def test_a_room_that_is_not_allowed_is_told(server, client):
    one = client(server.nginx.url("/live"))
    one.wait("snapshot")
    one.tell("subscribe", "secret/room")
    assert one.wait("error")["value"]["code"] == "forbidden"
    assert one.look()["state"] == "live"


def test_a_location_that_refuses_is_told_with_its_status(server, client):
    one = client(server.nginx.url("/live"), rooms=["secret/room"])
    assert one.wait("error")["value"] == {"status": 403}


def test_a_saved_cursor_goes_on_in_another_process(server, client):
    server.send(1)
    first = client(server.nginx.url("/live"))
    first.wait("snapshot")
    cursor = first.look()["cursor"]
    first.close()
    server.send(2)
    second = client(server.nginx.url("/live"), cursor=cursor)
    assert second.wait("update")["data"] == {"n": 2}
    assert not second.of("snapshot")


