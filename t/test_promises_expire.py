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


def deletes(messages):
    return [m["key"] for m in messages if m["type"] == "delete"]


def since(n, kafka, topic, transport, cursor, mark=[0]):
    """Comes back with the cursor: what was gone meanwhile, read up to a
    record that is written now."""
    mark[0] += 1
    again = getattr(n, transport)("/live", cursor=cursor)
    kafka.send(topic, {"mark": mark[0]}, key="mark", timestamp=now() + 60000)
    again.wait_value("f", "mark", {"mark": mark[0]})
    check_no_reset(again.messages)
    assert not again.of_type("snapshot")
    drop(again)
    return deletes(again.messages)


def two_that_leave(kafka, topic):
    """Two keys that expire 300 ms apart."""
    ts = now()
    kafka.produce(topic, {"n": 1}, key="a", timestamp=ts)
    kafka.produce(topic, {"n": 1}, key="b", timestamp=ts + 300)
    kafka.flush()
    return ts


def test_reader_that_comes_back_is_not_told_again_of_an_expired_key(
        kafka, nginx, module, transport):
    topic = kafka.create_topic()
    n = start(nginx, kafka, topic)
    reader = getattr(n, transport)("/live")
    reader.wait_snapshot("f")
    ts = two_that_leave(kafka, topic)
    reader.wait_type("delete")
    told, cut = deletes(reader.messages), reader.cursor
    drop(reader)
    began = now()
    for delay in 20, 100, 300, 600, 900, 1300, 1700, 2500, 4000:
        wait_for(lambda: now() > began + delay)
        before = now()
        got = since(n, kafka, topic, transport, cut)
        assert not set(got) & set(told), f"told again after {delay} ms"
        assert len(got) <= 1
        if before > ts + 2300 + 2000:
            assert sorted(told + got) == ["a", "b"]


def test_reader_that_comes_back_often_is_told_of_each_expired_key_once(
        kafka, nginx, module, transport):
    topic = kafka.create_topic()
    n = start(nginx, kafka, topic)
    reader = getattr(n, transport)("/live")
    reader.wait_snapshot("f")
    ts = two_that_leave(kafka, topic)
    reader.wait_value("f", "b", {"n": 1})
    drop(reader)
    told, i = [], 0
    while now() < ts + 6000:
        i += 1
        again = n.again(reader)
        kafka.send(topic, {"i": i}, key="mark", timestamp=ts + 60000)
        again.wait_value("f", "mark", {"i": i})
        drop(again)
        check_no_reset(again.messages)
        told += deletes(again.messages)
        reader = again
    assert sorted(told) == ["a", "b"]


def test_reader_that_changes_nodes_misses_no_expired_key(
        kafka, nginx, module, transport):
    topic = kafka.create_topic()
    one = start(nginx, kafka, topic)
    wait_for(lambda at=now(): now() > at + 500)    # their sweeps differ
    two = start(nginx, kafka, topic)
    ts = now()
    keys = [f"k{i}" for i in range(60)]
    for i, key in enumerate(keys):
        kafka.produce(topic, {"n": 1}, key=key, timestamp=ts + 50 * i)
    kafka.flush()
    for node in one, two:
        wait_for(lambda: len(node.poll("/live").messages[0]["items"]) == 60)
    cursor, told, i = one.poll("/live").cursor, [], 0
    while now() < ts + 7500:
        i += 1
        again = getattr((one, two)[i % 2], transport)("/live", cursor=cursor)
        kafka.send(topic, {"i": i}, key="mark", timestamp=ts + 60000)
        again.wait_value("f", "mark", {"i": i})
        drop(again)
        check_no_reset(again.messages)
        assert not again.of_type("snapshot")
        told += deletes(again.messages)
        cursor = again.cursor
    assert set(told) == set(keys)


def poll_until(n, cursor, end, wait="1s", path="/live"):
    """The deletes that a loop of polls is told of, and how many it took."""
    told, polls = [], 0
    while now() < end:
        answer = n.poll(path, cursor=cursor, wait=wait)
        assert all(m["type"] in ("delete", "update") for m in answer.messages)
        told += deletes(answer.messages)
        cursor = answer.cursor
        polls += 1
    return told, polls


def test_loop_of_polls_is_told_of_each_expired_key_once(kafka, nginx, module):
    topic = kafka.create_topic()
    n = start(nginx, kafka, topic)
    ts = two_that_leave(kafka, topic)
    wait_for(lambda: len(n.poll("/live").messages[0]["items"]) == 2)
    cursor = n.poll("/live").cursor
    told, polls = poll_until(n, cursor, ts + 6000)
    assert sorted(told) == ["a", "b"]
    assert polls < 12


def test_loop_of_polls_is_told_once_of_many_that_expire_at_once(
        kafka, nginx, module):
    topic = kafka.create_topic()
    n = start(nginx, kafka, topic, "3s")
    ts = now()
    for i in range(3000):
        kafka.produce(topic, {"n": i}, key=f"k{i}", timestamp=ts)
    kafka.flush()
    wait_for(lambda: len(n.poll("/live").messages[0]["items"]) == 3000)
    told, polls = poll_until(n, n.poll("/live").cursor, ts + 7000)
    assert len(told) == 3000
    assert len(set(told)) == 3000
    assert polls < 100


def test_cursor_of_a_told_delete_misses_nothing_on_a_node_with_fewer_records(
        kafka, nginx, module, transport):
    topic, other = kafka.create_topic(), kafka.create_topic()
    for i in range(100):
        kafka.produce(other, {"n": i}, key="k")
    kafka.flush()
    two = start(nginx, kafka, topic)
    one = nginx(kafka=kafka, server_conf=LIVE, http_conf=f"""
                flux_feed f {{ topic {topic}; expire 2s; }}
                flux_feed g {{ topic {other}; }}""")
    wait_for(lambda: one.status()["feeds"]["g"]["records"] == 100)
    reader = getattr(one, transport)("/live")
    reader.wait_snapshot("f")
    ts = now()
    kafka.send(topic, {"n": 1}, key="a", timestamp=ts)
    kafka.send(topic, {"n": 1}, key="b", timestamp=ts + 2000)
    reader.wait_type("delete")
    drop(reader)
    assert deletes(reader.messages) == ["a"]
    wait_for(lambda: not two.poll("/live").messages[0]["items"])
    for node in one, two:
        again = node.again(reader)
        again.wait(lambda s: "b" in deletes(s.messages))
        check_no_reset(again.messages)
        assert not again.of_type("snapshot")


def test_room_that_began_after_a_lap_of_the_log_does_not_make_polls_spin(
        kafka, nginx, module):
    topic = kafka.create_topic()
    n = nginx(kafka=kafka, server_conf=ROOM, zone="1m", http_conf=f"""
              flux_feed f {{ topic {topic}; expire 1h; room json:/room; }}""")
    wait_for(lambda: n.poll("/room").messages[0]["complete"])
    for i in range(4000):
        kafka.produce(topic, {"room": "b", "p": "x" * 1000}, key="stay")
    kafka.flush()
    wait_for(lambda: n.status()["feeds"]["f"]["records"] == 4000)
    kafka.send(topic, {"room": "a"}, key="k")
    wait_for(lambda: n.poll("/room").messages[0]["items"])
    answer = n.poll("/room", cursor=n.poll("/room").cursor, wait="1s")
    assert answer.messages == []
    assert answer.took > 0.9


def test_record_that_came_too_late_does_not_make_polls_spin(
        kafka, nginx, module):
    topic = kafka.create_topic()
    n = start(nginx, kafka, topic, "5s")
    kafka.send(topic, {"n": 1}, key="new", timestamp=now() + 60000)
    wait_for(lambda: n.poll("/live").messages[0]["items"])
    began = now()
    # what the first sweeps vouch for lies before the late one's end
    wait_for(lambda: now() > began + 4000)
    kafka.send(topic, {"n": 1}, key="late", timestamp=now() - 5001)
    wait_for(lambda: n.status()["feeds"]["f"]["skipped"]["expired"] == 1)
    wait_for(lambda: n.poll("/live", cursor=n.poll("/live").cursor,
                            wait="1s").took > 0.9, 4)


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
