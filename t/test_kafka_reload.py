"""A reload with another configuration, while readers stream."""

import re

import pytest

from harness.load import (
    Load, Returning, Returnings, alternating, check_exactly_once,
    check_no_reset, truth)
from harness.process import wait_for
from harness.stream import Room

LIVE = "location = /live { flux_stream f; }"
BOTH = LIVE + "location = /g { flux_stream g; }"


def feed(topic, more="", name="f"):
    return f"flux_feed {name} {{ topic {topic}; {more} }}\n"


def reload_under_load(kafka, n, topic, **changes):
    """Readers of f stream over the reload; returns what they were sent."""
    readers = [Returning(alternating(n)) for _ in range(3)]
    for reader in readers:
        reader.stream.wait_snapshot("f")
    with Returnings(*readers), Load(kafka, topic, 400) as load:
        load.wait(200)
        n.reload(**changes)
        load.wait(400)
        n.wait_old_workers_gone()
    records = truth(kafka, topic)
    return readers, records


def check(readers, records):
    for reader in readers:
        reader.wait_updates(len(records))
        check_no_reset(reader.messages)
        check_exactly_once(records, reader.messages)


def held(reader):
    """{key: data} of a page that was sent all that this reader was."""
    room = Room()
    for message in reader.messages:
        room.apply(message)
    return room.values


@pytest.mark.parametrize("change", ["added", "removed", "other first"])
def test_feeds_that_come_and_go_cost_the_others_nothing(
        kafka, nginx, module, change):
    topic, other = kafka.create_topic(), kafka.create_topic()
    kafka.send(other, {"n": 1}, key="o")
    one, two = feed(topic), feed(other, name="g")
    before, after = {
        "added": ((one, LIVE), (one + two, BOTH)),
        "removed": ((two + one, BOTH), (one, LIVE)),
        "other first": ((one, LIVE), (two + one, BOTH))}[change]
    n = nginx(kafka=kafka, http_conf=before[0], server_conf=before[1])
    check(*reload_under_load(kafka, n, topic, http_conf=after[0],
                             server_conf=after[1]))
    n.wait_ready()
    assert set(n.status()["feeds"]) == ({"f"} if change == "removed"
                                        else {"f", "g"})
    if change != "removed":
        reader = n.sse("/g")
        assert reader.wait_snapshot("g").values == {"o": {"n": 1}}
        kafka.send(other, {"n": 2}, key="o")
        reader.wait_value("g", "o", {"n": 2})
    else:
        assert n.get("/g").status == 404
        # and back: it is read as if it were new
        n.reload(http_conf=before[0], server_conf=before[1])
        n.wait_ready()
        reader = n.sse("/g")
        assert reader.wait_snapshot("g").values == {"o": {"n": 1}}


@pytest.mark.parametrize("change", [("retain 2;", "retain 10;"),
                                    ("retain 10;", "retain 2;")])
def test_another_retain_is_told_and_then_right(kafka, nginx, module, change):
    topic = kafka.create_topic(partitions=2)
    for i in range(40):
        kafka.produce(topic, {"n": i}, key=f"k{i % 2}", partition=i % 2)
    kafka.flush()
    n = nginx(kafka=kafka, http_conf=feed(topic, change[0]), server_conf=LIVE)
    reader = Returning(alternating(n))
    reader.stream.wait_snapshot("f")
    with Returnings(reader):
        n.reload(http_conf=feed(topic, change[1]))
        n.wait_ready()
        n.wait_old_workers_gone()
        kafka.send(topic, {"n": 100}, key="k0", partition=0)
        reader.wait_updates(1)
    retain = int(re.search(r"\d+", change[1])[0])
    [snapshot] = n.poll("/live").messages
    items = {}
    for item in snapshot["items"]:
        items.setdefault(item["key"], []).append(item["data"]["n"])
    assert items == {"k0": [*range(38, -1, -2)][:retain - 1][::-1] + [100],
                     "k1": [*range(39, 0, -2)][:retain][::-1]}
    assert held(reader) == {"k0": {"n": 100}, "k1": {"n": 39}}


def test_a_zone_of_another_size_is_fresh_says_so_and_costs_no_record(
        kafka, nginx, module):
    topic = kafka.create_topic()
    n = nginx(kafka=kafka, http_conf=feed(topic, "retain 1000;"),
              server_conf=LIVE, zone="16m")
    readers, records = reload_under_load(kafka, n, topic, zone="24m")
    n.wait_ready()
    assert n.status()["zone"]["size"] == 24 * 1024 * 1024
    assert re.search(r'\[notice\].*zone "flux" of 25165824 bytes is new',
                     n.error_log)
    check(readers, records)


def test_a_cluster_that_is_another_one_after_a_reload_is_told(
        kafka, make_kafka, nginx, module):
    other = make_kafka()
    topic = kafka.create_topic()
    other.create_topic(topic)
    kafka.send(topic, {"n": 1}, key="here")
    other.send(topic, {"n": 2}, key="there")
    n = nginx(kafka=kafka, http_conf=feed(topic), server_conf=LIVE)
    reader = Returning(alternating(n))
    reader.stream.wait_value("f", "here", {"n": 1})
    poll = n.poll("/live")
    with Returnings(reader):
        n.reload(kafka=other)
        n.wait_ready()
        n.wait_old_workers_gone()
    reader.look()
    # by the old worker, by the new one, or by the one and not again
    wait_for(lambda: "there" in held(reader), 20, "the other cluster's record")
    assert held(reader) == {"there": {"n": 2}}
    resets = [m for m in reader.messages if m["type"] == "reset"]
    assert {m["reason"] for m in resets} <= {"foreign", "recreated"}
    assert len(resets) == 1
    answer = n.poll("/live", cursor=poll.cursor)
    assert [m["type"] for m in answer.messages] == ["reset", "snapshot"]
    assert answer.messages[1]["items"][0]["data"] == {"n": 2}
    other.send(topic, {"n": 3}, key="there")
    wait_for(lambda: held(reader) == {"there": {"n": 3}}, 10)


def test_a_reload_that_fails_changes_nothing(kafka, nginx, module):
    topic = kafka.create_topic()
    n = nginx(kafka=kafka, http_conf=feed(topic), server_conf=LIVE)
    n.expect_log(r"\[emerg\]")
    reader = n.sse("/live")
    reader.wait_snapshot("f")
    workers = n.workers()
    n.reload(wait=False, http_conf=feed(topic, "retain none;"))
    n.wait_log(r"\[emerg\].*retain")
    kafka.send(topic, {"n": 1}, key="k")
    reader.wait_value("f", "k", {"n": 1})
    assert n.workers() == workers and not reader.closed


def test_who_reads_a_feed_that_a_reload_changes_is_let_go_by_the_old_worker(
        kafka, nginx, module):
    """With a pace the old worker goes on making frames from the index."""
    topic, other = kafka.create_topic(), kafka.create_topic()

    def conf(retain):
        return (feed(topic, f"expire 1h; retain {retain};")
                + feed(other, name="g") + "flux_drain 2s;")

    n = nginx(kafka=kafka, http_conf=conf(1), server_conf="""
              location = /live { flux_stream f g; flux_pace 50ms; }""")
    kafka.send(topic, {"n": 0}, key="a")
    readers = [Returning(alternating(n)) for _ in range(4)]
    for reader in readers:
        reader.stream.wait_value("f", "a", {"n": 0})
    with Returnings(*readers), Load(kafka, other, 200) as load:
        load.wait(100)
        n.reload(http_conf=conf(2))
        load.wait(600)
        n.wait_old_workers_gone()
    kafka.send(topic, {"n": 1}, key="a")
    kafka.send(other, {"n": -1}, key="last")
    for reader in readers:
        wait_for(lambda: reader.look() or held(reader).get("last")
                 == {"n": -1} and held(reader).get("a") == {"n": 1}, 20)
        assert {m["reason"] for s in reader.streams
                for m in s.of_type("end")} == {"reload"}
