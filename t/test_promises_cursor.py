"""Promise 3: what cannot be kept is told.  A cursor from anywhere is resumed,
held back or answered with a reset, never with silence or a step back."""

import os
import signal
import time

import pytest

from harness.load import (
    Load, Returning, alternating, check_exactly_once, check_no_reset, drop,
    truth)
from harness.process import wait_for

LIVE = "location = /live { flux_stream f; flux_buffer 16m; }"


def feed(topic, more=""):
    return f"flux_feed f {{ topic {topic}; {more} }}"


@pytest.fixture(params=["sse", "ws"])
def transport(request):
    return request.param


def expect_reset(reader, reason, values, room="f"):
    """The frame has the reset, then the snapshot."""
    reader.wait_type("reset")
    reader.wait_snapshot(room)
    [frame] = [f for f in reader.frames
               if any(m["type"] == "reset" for m in f.messages)]
    kinds = [(m["type"], m.get("room")) for m in frame.messages]
    at = kinds.index(("reset", room))
    assert kinds[at + 1] == ("snapshot", room) and frame.cursor
    assert frame.messages[at]["reason"] == reason
    reader.wait(lambda s: s.rooms[room].values == values)


# --- unreadable, foreign --------------------------------------------------------

@pytest.mark.parametrize("cursor", [
    "0", "garbage", "A" * 4000, "%00", "../../etc/passwd", "\u00e4", "-_-_",
    "AQEB3q2-7wESNFZ4AQC675oVq82zpYqP7nsXZg"])      # of the first layout
def test_unreadable_cursor_is_reset_as_invalid(
        kafka, nginx, module, cursor):
    topic = kafka.create_topic()
    kafka.send(topic, {"n": 1}, key="k")
    n = nginx(kafka=kafka, http_conf=feed(topic), server_conf=LIVE)
    for reader in (n.sse("/live", query={"cursor": cursor}),
                   n.ws("/live", cursor=cursor)):
        expect_reset(reader, "invalid", {"k": {"n": 1}})
    frame = n.poll("/live", cursor=cursor)
    assert frame.messages[0]["reason"] == "invalid"
    assert frame.messages[1]["type"] == "snapshot"


def test_damaged_cursor_is_reset_as_invalid(kafka, nginx, module):
    topic = kafka.create_topic()
    kafka.send(topic, {"n": 1}, key="k")
    n = nginx(kafka=kafka, http_conf=feed(topic), server_conf=LIVE)
    cursor = n.poll("/live").cursor
    for at in range(len(cursor)):
        other = "A" if cursor[at] != "A" else "B"
        damaged = cursor[:at] + other + cursor[at + 1:]
        messages = n.poll("/live", cursor=damaged, wait="0s").messages
        assert messages[0]["type"] == "reset", (cursor, damaged)
        assert messages[0]["reason"] == "invalid", (cursor, damaged)
    assert n.poll("/live", cursor=cursor, wait="0s").messages in (
        [], [{"type": "cursor", "cursor": cursor}])


def test_cursor_of_another_feed_is_reset_as_foreign(
        kafka, nginx, module, transport):
    topics = [kafka.create_topic(), kafka.create_topic()]
    n = nginx(kafka=kafka, http_conf=feed(topics[0]) + f"""
              flux_feed g {{ topic {topics[1]}; }}""",
              server_conf=LIVE + "location = /g { flux_stream g; }"
              "location = /both { flux_stream f g; }")
    kafka.send(topics[0], {"n": 1}, key="k")
    kafka.send(topics[1], {"n": 2}, key="k")
    other = n.sse("/g")
    other.wait_value("g", "k", {"n": 2})
    reader = getattr(n, transport)("/live", cursor=other.cursor)
    expect_reset(reader, "foreign", {"k": {"n": 1}})

    # a part of it belongs: the room it does not know starts with a snapshot
    both = getattr(n, transport)("/both", cursor=other.cursor)
    both.wait_snapshot("f")
    assert [m["type"] for m in both.messages] == ["snapshot"]
    kafka.send(topics[1], {"n": 3}, key="k")
    both.wait_value("g", "k", {"n": 3})
    assert not both.of_type("reset")


def test_cursor_of_another_cluster_is_reset_as_foreign(
        kafka, make_kafka, nginx, module):
    one, two = kafka, make_kafka()
    topic = one.create_topic()
    two.create_topic(topic)
    one.send(topic, {"n": 1}, key="k")
    two.send(topic, {"n": 2}, key="k")
    nodes = [nginx(kafka=k, http_conf=feed(topic), server_conf=LIVE)
             for k in (one, two)]
    reader = nodes[0].sse("/live")
    reader.wait_snapshot("f")
    expect_reset(nodes[1].again(reader), "foreign", {"k": {"n": 2}})


# --- retention -------------------------------------------------------------------

def test_cursor_that_the_log_no_longer_reaches_is_reset_as_expired(
        kafka, nginx, module, transport):
    topic = kafka.create_topic()
    n = nginx(kafka=kafka, http_conf=feed(topic), server_conf=LIVE, zone="1m")
    kafka.send(topic, {"n": 0, "p": ""}, key="a")
    reader = getattr(n, transport)("/live")
    reader.wait_value("f", "a", {"n": 0, "p": ""})
    drop(reader)
    with Load(kafka, topic, 20000, lambda i: "k", padding=2000) as load:
        load.wait(3000)
    [*_, last] = truth(kafka, topic)
    wait_for(lambda: n.status()["feeds"]["f"]["records"] > last[1], 10)
    expect_reset(n.again(reader), "expired",
                 {"a": {"n": 0, "p": ""},
                  "k": {"n": last[1], "p": "x" * 2000}})


def test_quiet_room_of_many_partitions_beside_a_busy_one_is_not_reset(
        kafka, nginx, module, transport):
    """What it lost before the reader came does not matter to the reader."""
    topic = kafka.create_topic(partitions=4)
    n = nginx(kafka=kafka, zone="1m", http_conf=feed(topic, "room header:r;"),
              server_conf="location ~ ^/live/(.+)$ { flux_stream f/$1; }")
    for i in range(40):
        kafka.send(topic, {"n": i}, key=f"k{i % 4}", partition=i % 4,
                   headers=[("r", b"quiet")])

    def laps(count):
        for i in range(count * 400):
            kafka.produce(topic, {"n": i, "p": "x" * 2000}, key=f"b{i % 4}",
                          partition=i % 4, headers=[("r", b"busy")])
        kafka.flush()
        all = sum(kafka.end_offsets(topic).values())
        wait_for(lambda: n.status()["feeds"]["f"]["records"] == all, 20,
                 "all was read")

    laps(6)
    reader = getattr(n, transport)("/live/quiet")
    reader.wait_snapshot("f/quiet")
    drop(reader)
    laps(2)
    again = n.again(reader)
    for i in range(8):
        kafka.send(topic, {"n": 100 + i}, key=f"k{i % 4}", partition=i % 4,
                   headers=[("r", b"quiet")])
    again.wait_updates(8)
    assert sorted(d["n"] for d in again.data()) == list(range(100, 108))
    assert not again.of_type("snapshot")
    check_no_reset(again.messages)
    # and what it did miss is told
    laps(2)
    assert "reset" in {m["type"] for m in n.poll(
        "/live/quiet", cursor=reader.cursor, wait="0s").messages}


def test_cursor_older_than_kafkas_retention_is_reset_as_expired(
        kafka, nginx, module, transport):
    topic = kafka.create_topic()
    one = nginx(kafka=kafka, http_conf=feed(topic), server_conf=LIVE)
    kafka.send(topic, {"n": 0}, key="k")
    reader = getattr(one, transport)("/live")
    reader.wait_value("f", "k", {"n": 0})
    drop(reader)
    for i in range(1, 10):
        kafka.send(topic, {"n": i}, key="k")
    wait_for(lambda: one.status()["feeds"]["f"]["records"] == 10)
    kafka.delete_records(topic, before=5)
    two = nginx(kafka=kafka, http_conf=feed(topic), server_conf=LIVE)
    expect_reset(two.again(reader), "expired", {"k": {"n": 9}})
    again = one.again(reader)
    again.wait_updates(9)
    check_no_reset(again.messages)


def test_live_reader_of_a_node_slower_than_retention_is_told(
        kafka, nginx, module, transport):
    topic = kafka.create_topic()
    n = nginx(kafka=kafka, http_conf=feed(topic), server_conf=LIVE)
    for i in range(3):
        kafka.send(topic, {"n": i}, key=f"k{i}")
    readers = [getattr(n, transport)("/live") for _ in range(2)]
    for reader in readers:
        reader.wait_value("f", "k2", {"n": 2})
    writer = n.writer
    os.kill(writer, signal.SIGSTOP)
    try:
        for i in range(3, 60):
            kafka.send(topic, {"n": i}, key=f"k{i}")
        kafka.delete_records(topic, before=50)
    finally:
        os.kill(writer, signal.SIGCONT)

    def snapshot():
        items = n.poll("/live").messages[0]["items"]
        values = {item["key"]: item["data"] for item in items}
        return values if "k59" in values else None

    # some were on their way; the others were gone when they were asked for
    values = wait_for(snapshot)
    assert "k49" not in values and len(values) >= 13
    for reader in readers:
        expect_reset(reader, "expired", values)
        assert len(reader.of_type("reset")) == 1
    left = [n.again(reader) for reader in readers]
    kafka.send(topic, {"n": 60}, key="k60")
    for reader in readers + left:
        reader.wait_value("f", "k60", {"n": 60})
    for reader in left:
        check_no_reset(reader.messages)


def test_a_jump_of_retention_is_told_at_once_and_only_to_who_was_there(
        kafka, nginx, module, transport):
    topic = kafka.create_topic()
    n = nginx(kafka=kafka, http_conf=feed(topic), server_conf=LIVE)
    kafka.send(topic, {"n": 0}, key="k")
    before, left = [getattr(n, transport)("/live") for _ in range(2)]
    for reader in before, left:
        reader.wait_value("f", "k", {"n": 0})
    drop(left)
    os.kill(n.writer, signal.SIGSTOP)
    try:
        for i in range(1, 200):
            kafka.produce(topic, {"n": i, "p": "x" * 20000}, key="k")
        kafka.flush()
        kafka.delete_records(topic, before=200)
    finally:
        os.kill(n.writer, signal.SIGCONT)
    [partition] = wait_for(
        lambda: (p := n.status()["feeds"]["f"]["partitions"])[0]["offset"]
        == 200 and p, 20, "nginx stands behind the gap")
    assert partition["lag"] == 0
    # no record has come since: they know by now
    for reader in before, n.again(left):
        assert reader.wait_type("reset")["reason"] == "expired"
    after = [getattr(n, transport)("/live") for _ in range(2)]
    for reader in after:
        reader.wait_snapshot("f")
    drop(after[1])
    kafka.send(topic, {"n": 200}, key="k")
    after[1] = n.again(after[1])
    for reader in after:
        reader.wait_value("f", "k", {"n": 200})
        assert [d["n"] for d in reader.data()] == [200]
        check_no_reset(reader.messages)
    before.wait_value("f", "k", {"n": 200})
    assert len(before.of_type("reset")) == 1


# --- the topic is made anew -------------------------------------------------------

@pytest.mark.parametrize("count", [0, 2, 30])
def test_recreated_topic_is_told_to_live_and_resuming_readers(
        kafka, nginx, module, count):
    topic = kafka.create_topic(partitions=2)
    n = nginx(kafka=kafka, http_conf=feed(topic), server_conf=LIVE)
    for i in range(10):
        kafka.send(topic, {"n": i}, key=f"old{i}")
    live, left = [n.sse("/live"), n.ws("/live")], [n.sse("/live"),
                                                   n.ws("/live")]
    for reader in live + left:
        reader.wait(lambda s: len(s.rooms.get("f").values) == 10
                    if "f" in s.rooms else False)
    for reader in left:
        drop(reader)
    kafka.delete_topic(topic)
    kafka.create_topic(topic, partitions=2)
    for i in range(count):
        kafka.send(topic, {"n": 100 + i}, key=f"new{i}")
    wanted = {f"new{i}": {"n": 100 + i} for i in range(count)}

    def check(reader):
        reader.wait(lambda s: s.of_type("reset"), 20, "a reset")
        assert reader.of_type("reset")[0]["reason"] == "recreated"
        reader.wait(lambda s: s.rooms["f"].values == wanted)

    for reader in live:
        check(reader)
    for reader in left:
        check(n.again(reader))
    kafka.send(topic, {"n": 7}, key="later")
    for reader in live:
        reader.wait_value("f", "later", {"n": 7})
        check_no_reset(n.again(reader).messages)
        assert len(reader.of_type("reset")) == 1


# --- several nodes ----------------------------------------------------------------

def test_reader_bounces_between_two_nodes_without_gap_or_repeat(
        kafka, nginx, module):
    topic = kafka.create_topic(partitions=3)
    nodes = [nginx(kafka=kafka, http_conf=feed(topic) + f"flux_node n{i};",
                   server_conf=LIVE) for i in range(2)]
    opens = [alternating(node) for node in nodes]
    turn = []

    def open(cursor):
        turn.append(None)
        return opens[len(turn) % 2](cursor)

    reader = Returning(open)
    reader.stream.wait_snapshot("f")
    with Load(kafka, topic, 2000) as load:
        while load.n < 6000 or len(reader.streams) < 40:
            reader.stream.wait(lambda s: len(s.messages) > 5)
            reader.cut()
    records = truth(kafka, topic)
    reader.wait_updates(len(records))
    check_no_reset(reader.messages)
    check_exactly_once(records, reader.messages)


def test_node_that_lags_holds_back_what_the_reader_has_seen(
        kafka, nginx, module, transport):
    topic = kafka.create_topic(partitions=2)
    ahead, lagging = [nginx(kafka=kafka, http_conf=feed(topic),
                            server_conf=LIVE) for _ in range(2)]
    kafka.send(topic, {"n": 1}, key="k")
    first = getattr(ahead, transport)("/live")
    first.wait_value("f", "k", {"n": 1})
    settled = lagging.sse("/live")
    settled.wait_value("f", "k", {"n": 1})
    settled.close()

    writer = lagging.writer
    os.kill(writer, signal.SIGSTOP)
    try:
        for i in range(2, 8):
            kafka.send(topic, {"n": i}, key="k")
        first.wait_value("f", "k", {"n": 7})
        reader = lagging.again(first)
        frame = lagging.poll("/live", cursor=first.cursor, wait="1s")
        assert [m for m in frame.messages if m["type"] != "cursor"] == []
        # it is not smaller: the node that is ahead has nothing new for it
        again = ahead.poll("/live", cursor=frame.cursor, wait="0s")
        assert [m for m in again.messages if m["type"] != "cursor"] == []
        assert reader.messages == []
    finally:
        os.kill(writer, signal.SIGCONT)
    kafka.send(topic, {"n": 8}, key="k")
    reader.wait_value("f", "k", {"n": 8})
    first.wait_value("f", "k", {"n": 8})
    assert reader.data() == [{"n": 8}]
    check_no_reset(reader.messages)
    # the cursors of both are the same place
    for node, cursor in (ahead, reader.cursor), (lagging, first.cursor):
        frame = node.poll("/live", cursor=cursor, wait="0s")
        assert [m for m in frame.messages if m["type"] != "cursor"] == []


def test_node_that_lags_and_has_lost_its_cluster_takes_no_topic_for_another(
        own_kafka, nginx, module, transport):
    """What it last heard of the topic's end is no news."""
    kafka = own_kafka
    topic = kafka.create_topic()
    ahead, lagging = [nginx(kafka=kafka, http_conf=feed(topic),
                            server_conf=LIVE) for _ in range(2)]
    kafka.send(topic, {"n": 1}, key="k")
    first = getattr(ahead, transport)("/live")
    first.wait_value("f", "k", {"n": 1})
    wait_for(lambda: lagging.status()["feeds"]["f"]["records"] == 1, 10)
    writer = lagging.writer
    os.kill(writer, signal.SIGSTOP)
    try:
        for i in range(2, 8):
            kafka.send(topic, {"n": i}, key="k")
        first.wait_value("f", "k", {"n": 7})
        kafka.kill()
    finally:
        os.kill(writer, signal.SIGCONT)
    wait_for(lambda: lagging.status()["clusters"]["main"]["state"] == "down",
             20)
    reader = lagging.again(first)
    time.sleep(3)       # twice what it takes where the cluster answers
    check_no_reset(reader.messages)
    kafka.start()
    kafka.send(topic, {"n": 8}, key="k")
    reader.wait_value("f", "k", {"n": 8}, timeout=30)
    assert reader.data() == [{"n": 8}]
    check_no_reset(reader.messages)
