"""Keys that are not renewed leave, and nobody who reads, slow, late or over
another node, goes on believing in them."""

import time

import pytest

from harness.load import check_no_reset, drop
from harness.process import wait_for

LIVE = "location = /live { flux_stream f; }"
ROOM = "location = /room { flux_stream f/a; }"


def now():
    return int(time.time() * 1000)


def start(nginx, kafka, topic, expire="2s", more="", location=LIVE):
    return nginx(kafka=kafka, server_conf=location, http_conf=f"""
                 flux_feed f {{ topic {topic}; expire {expire}; {more} }}""")


@pytest.fixture(params=["sse", "ws"])
def transport(request):
    return request.param


def test_key_that_is_not_renewed_leaves_at_its_time_on_every_node(
        kafka, nginx, module):
    topic = kafka.create_topic(partitions=2)
    nodes = [start(nginx, kafka, topic) for _ in range(2)]
    readers = [nodes[0].sse("/live"), nodes[0].ws("/live"),
               nodes[1].sse("/live")]
    for reader in readers:
        reader.wait_snapshot("f")
    ts = now()
    kafka.send(topic, {"n": 1}, key="a", timestamp=ts)
    kafka.send(topic, {"n": 1}, key="b", timestamp=ts)
    kafka.send(topic, {"n": 2}, key="b", timestamp=ts + 1000)
    for reader in readers:
        reader.wait(lambda s: len(s.of_type("delete")) == 2)
        assert now() >= ts + 3000
        assert [(m["key"], m["ts"]) for m in reader.of_type("delete")] \
            == [("a", ts + 2000), ("b", ts + 3000)]
        assert reader.data("f", "b") == [{"n": 1}, {"n": 2}]
        assert reader.rooms["f"].values == {}
    for node in nodes:
        assert node.poll("/live").messages[0]["items"] == []


def test_record_that_comes_past_its_time_is_counted_and_skipped(
        kafka, nginx, module):
    topic = kafka.create_topic()
    kafka.send(topic, {"n": 1}, key="old", timestamp=now() - 60000)
    kafka.send(topic, {"n": 2}, key="new", timestamp=now() - 1000)
    n = start(nginx, kafka, topic, "30s")
    assert n.poll("/live").messages[0]["items"][0]["key"] == "new"
    kafka.send(topic, {"n": 3}, key="old", timestamp=now() - 60000)
    kafka.send(topic, {"n": 4}, key="new")
    wait_for(lambda: n.status()["feeds"]["f"]["records"] == 2, 10)
    assert n.status()["feeds"]["f"]["skipped"]["expired"] == 2


def test_resumed_reader_is_told_of_keys_that_expired_meanwhile(
        kafka, nginx, module, transport):
    topic = kafka.create_topic()
    one, two = [start(nginx, kafka, topic) for _ in range(2)]
    ts = now()
    for key in "a", "b", "c":
        kafka.send(topic, {"n": 1}, key=key, timestamp=ts)
    reader = getattr(one, transport)("/live")
    reader.wait(lambda s: len(s.rooms.get("f").values) == 3
                if "f" in s.rooms else False)
    drop(reader)
    kafka.send(topic, {"n": 2}, key="c", timestamp=ts + 60000)
    for node in one, two:
        wait_for(lambda: len(node.poll("/live").messages[0]["items"]) == 1)
        again = node.again(reader)
        again.wait(lambda s: len(s.messages) >= 3)
        assert sorted((m["type"], m["key"]) for m in again.messages) == [
            ("delete", "a"), ("delete", "b"), ("update", "c")]
        check_no_reset(again.messages)


def test_key_that_has_come_back_is_not_ended_again_for_who_resumes(
        kafka, nginx, module, transport):
    topic = kafka.create_topic(partitions=2)
    n = start(nginx, kafka, topic, "1s", "retain 3;")
    reader = getattr(n, transport)("/live", key=["k", "z"])
    reader.wait_snapshot("f")
    kafka.send(topic, {"n": 1}, key="k", partition=0)
    later = now() + 60000
    for i in range(300):
        # so many take a second to be looked at
        kafka.produce(topic, {"n": 0}, key=f"more{i}", partition=0,
                      timestamp=later)
    kafka.flush()
    reader.wait_type("delete")
    kafka.send(topic, {"n": 2}, key="k", partition=0, timestamp=later)
    reader.wait_value("f", "k", {"n": 2})
    drop(reader)
    kafka.send(topic, {"n": 3}, key="z", partition=1, timestamp=later)
    wait_for(lambda: n.poll("/live", key="z").messages[0]["items"], every=0)
    again = n.again(reader)
    again.wait_value("f", "z", {"n": 3})
    assert [m["type"] for m in again.messages] == ["update"]


def test_key_that_expires_and_comes_back_in_another_room(
        kafka, nginx, module):
    topic = kafka.create_topic()
    n = start(nginx, kafka, topic, "1s", "room json:/room;",
              ROOM + "location = /b { flux_stream f/b; }")
    one, two = n.sse("/room"), n.ws("/b")
    one.wait_snapshot("f/a")
    two.wait_snapshot("f/b")
    ts = now()
    kafka.send(topic, {"room": "a"}, key="k", timestamp=ts)
    one.wait_type("delete")
    kafka.send(topic, {"room": "b"}, key="k", timestamp=ts + 60000)
    two.wait_updates(1)
    assert [(m["type"], m.get("ts")) for m in one.messages[1:]] == [
        ("update", ts), ("delete", ts + 1000)]
    assert not two.of_type("delete")


def test_late_reader_gets_the_snapshot_when_expiries_are_out_of_reach(
        kafka, nginx, module, transport):
    topic = kafka.create_topic(partitions=2)
    n = nginx(kafka=kafka, server_conf=LIVE, zone="1m", http_conf=f"""
              flux_feed f {{ topic {topic}; expire 1s; }}""")
    kafka.send(topic, {"n": 1}, key="gone")
    reader = getattr(n, transport)("/live")
    reader.wait_value("f", "gone", {"n": 1})
    drop(reader)
    wait_for(lambda: not n.poll("/live").messages[0]["items"])
    stay = now() + 100000
    for i in range(4000):
        kafka.produce(topic, {"n": i, "p": "x" * 1000}, key="stay",
                      timestamp=stay)
    kafka.flush()
    wait_for(lambda: n.status()["feeds"]["f"]["records"] == 4001)
    again = n.again(reader)
    again.wait(lambda s: "f" in s.rooms and s.rooms["f"].values.keys()
               == {"stay"})
    assert again.of_type("snapshot")
