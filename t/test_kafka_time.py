"""start, timestamps, expire and stale: what time does to records."""

import time

import pytest

from harness.load import check_no_reset, drop
from harness.process import wait_for

LIVE = "location = /live { flux_stream f; }"
ROOMS = "location ~ ^/live/(.+)$ { flux_stream f/$1; }"


def feed(topic, more=""):
    return f"flux_feed f {{ topic {topic}; {more} }}"


def ms():
    return int(time.time() * 1000)


def states(messages):
    return [m["state"] for m in messages if m["type"] == "status"]


# --- start ---------------------------------------------------------------------

@pytest.mark.parametrize("start,seen", [
    ("", {"old", "young"}), ("start beginning;", {"old", "young"}),
    ("start 2h;", {"young"}), ("start 1m;", set()), ("start end;", set())])
def test_start_says_what_a_new_node_reads(kafka, nginx, module, start, seen):
    topic = kafka.create_topic(partitions=2)
    for partition in range(2):
        kafka.send(topic, {"n": 1}, key="old", partition=partition,
                   timestamp=ms() - 3 * 3600000)
    kafka.send(topic, {"n": 2}, key="young", partition=1,
               timestamp=ms() - 3600000)
    n = nginx(kafka=kafka, http_conf=feed(topic, start), server_conf=LIVE)
    reader = n.sse("/live")
    assert reader.wait_snapshot("f").complete is True
    assert set(reader.rooms["f"].values) == seen
    kafka.send(topic, {"n": 3}, key="now", partition=0)
    reader.wait_value("f", "now", {"n": 3})
    # what started is no longer a matter of start
    n.reload()
    again = n.again(reader)
    kafka.send(topic, {"n": 4}, key="now", partition=1)
    again.wait_value("f", "now", {"n": 4})
    check_no_reset(again.messages)


def test_records_of_one_timestamp_keep_their_order_and_are_told_once(
        kafka, nginx, module):
    topic = kafka.create_topic()
    n = nginx(kafka=kafka, http_conf=feed(topic, "retain 100;"),
              server_conf=LIVE)
    reader, at = n.sse("/live"), ms()
    reader.wait_snapshot("f")
    for i in range(60):
        kafka.produce(topic, {"n": i}, key="k", timestamp=at)
    kafka.flush()
    reader.wait_updates(60)
    assert [d["n"] for d in reader.data()] == list(range(60))
    assert {m["ts"] for m in reader.updates()} == {at}
    drop(reader)
    for i in range(60, 90):
        kafka.produce(topic, {"n": i}, key="k", timestamp=at)
    kafka.flush()
    again = n.again(reader)
    again.wait_updates(30)
    assert [d["n"] for d in again.data()] == list(range(60, 90))
    kafka.send(topic, {"n": 90}, key="k", timestamp=at - 5000)   # time runs back
    again.wait_value("f", "k", {"n": 90})
    items = n.poll("/live").messages[0]["items"]
    assert [i["data"]["n"] for i in items] == list(range(91))


# --- expire --------------------------------------------------------------------

def test_a_key_that_is_not_renewed_expires_and_moves_no_cursor(
        kafka, nginx, module):
    topic = kafka.create_topic()
    nodes = [nginx(kafka=kafka, server_conf=LIVE,
                   http_conf=feed(topic, "expire 3s;")) for _ in range(2)]
    readers = [nodes[0].sse("/live"), nodes[1].ws("/live")]
    for reader in readers:
        reader.wait_snapshot("f")
    at = ms()
    kafka.send(topic, {"n": 1}, key="a", timestamp=at)
    kafka.send(topic, {"n": 2}, key="b", timestamp=at + 60000)
    for reader in readers:
        reader.wait_value("f", "b", {"n": 2})
    cut = readers[0].cursor
    for reader in readers:
        gone = reader.wait_type("delete", "f")
        assert (gone["key"], gone["ts"]) == ("a", at + 3000)
        assert ms() >= at + 3000
        assert reader.rooms["f"].values == {"b": {"n": 2}}
    for node in nodes:
        assert [i["key"] for i in node.poll("/live").messages[0]["items"]] \
            == ["b"]

    # whoever was away is told of it, or gets the snapshot, on either node
    for node in nodes:
        for back in node.sse("/live", cursor=cut), node.ws("/live",
                                                           cursor=cut):
            back.wait(lambda s: s.of_type("delete", "f", "a")
                      or s.of_type("snapshot", "f"), 5)
            check_no_reset(back.messages)
            if not back.of_type("snapshot"):
                assert [m["ts"] for m in back.of_type("delete")] == [at + 3000]
            else:
                assert back.rooms["f"].values == {"b": {"n": 2}}
        # and then no more
        frame = node.poll("/live", cursor=cut, wait="5s")
        assert frame.messages
        assert node.poll("/live", cursor=frame.cursor,
                         wait="0s").messages == []

    # renewed, it lives on from there
    again = ms()
    kafka.send(topic, {"n": 3}, key="a", timestamp=again)
    for reader in readers:
        reader.wait(lambda s: s.data("f", "a")[-1] == {"n": 3})
        reader.wait(lambda s: len(s.of_type("delete", "f", "a")) == 2)
        assert reader.of_type("delete")[1]["ts"] == again + 3000


def test_a_renewed_key_does_not_expire_and_a_late_record_is_not_taken(
        kafka, nginx, module):
    topic = kafka.create_topic()
    n = nginx(kafka=kafka, server_conf=LIVE,
              http_conf=feed(topic, "expire 3s; retain 5;"))
    reader = n.sse("/live")
    reader.wait_snapshot("f")
    began = ms()
    while ms() < began + 5000:
        kafka.send(topic, {"at": ms()}, key="renewed")
        reader.wait_updates(len(reader.updates()))
        kafka.producer.poll(0.3)
    kafka.send(topic, {"n": 1}, key="late", timestamp=ms() - 10000)
    kafka.send(topic, {"n": 2}, key="last")
    reader.wait_value("f", "last", {"n": 2})
    assert "late" not in reader.rooms["f"].values
    assert not reader.of_type("delete", "f", "renewed")
    assert n.status()["feeds"]["f"]["skipped"]["expired"] == 1
    reader.wait(lambda s: s.rooms["f"].values == {}, 10)


def test_a_key_expires_while_nginx_is_away(kafka, nginx, module):
    topic = kafka.create_topic()
    conf = feed(topic, "expire 2s; room header:r;")
    n = nginx(kafka=kafka, server_conf=ROOMS, http_conf=conf)
    room = [("r", b"one")]
    at = ms()
    kafka.send(topic, {"n": 1}, key="a", headers=room, timestamp=at)
    kafka.send(topic, {"n": 1}, key="b", headers=room, timestamp=at + 60000)
    reader = n.sse("/live/one")
    reader.wait(lambda s: s.rooms.get("f/one")
                and len(s.rooms["f/one"].values) == 2)
    drop(reader)
    n.quit()
    wait_for(lambda: ms() > at + 2500, 5)
    two = nginx(kafka=kafka, server_conf=ROOMS, http_conf=conf)
    again = two.again(reader)
    again.wait(lambda s: s.of_type("delete", "f/one", "a")
               or s.of_type("snapshot", "f/one"))
    held = {**reader.rooms["f/one"].values}
    if again.of_type("snapshot"):
        held = again.rooms["f/one"].values
    else:
        held.pop("a")
    assert held == {"b": {"n": 1}}
    check_no_reset(again.messages)


# --- stale ---------------------------------------------------------------------

def test_stale_is_told_by_room_and_answers_a_waiting_poll(
        kafka, nginx, module):
    topic = kafka.create_topic()
    n = nginx(kafka=kafka, server_conf=ROOMS,
              http_conf=feed(topic, "stale 3s; room key;"))
    at = ms()
    # in this order: who has seen the quiet one is past the other
    kafka.send(topic, {"n": 1}, key="busy", timestamp=at + 3600000)
    kafka.send(topic, {"n": 1}, key="quiet", timestamp=at)
    quiet, busy = n.ws("/live/quiet"), n.sse("/live/busy")
    quiet.wait_value("f/quiet", "quiet", {"n": 1})
    busy.wait_value("f/busy", "busy", {"n": 1})
    first = n.poll("/live/quiet")
    assert states(first.messages) == []
    answer = n.poll("/live/quiet", cursor=first.cursor, wait="10s")
    assert states(answer.messages) == ["stale"]
    assert answer.took < 6
    assert answer.messages[0]["since"] == at + 3000
    assert answer.cursor in (None, first.cursor)
    quiet.wait(lambda s: states(s.messages) == ["stale"])
    assert quiet.of_type("status")[0]["since"] == at + 3000
    # told once: the next poll waits
    assert n.poll("/live/quiet", cursor=first.cursor, wait="500ms").took > 0.4
    kafka.send(topic, {"n": 2}, key="quiet")
    quiet.wait(lambda s: states(s.messages) == ["stale", "live"])
    assert states(busy.messages) == []
