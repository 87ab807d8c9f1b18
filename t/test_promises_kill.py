"""Promise 2 when workers die and when nginx is reloaded: readers that come
back miss nothing and see nothing twice."""

import random

import pytest

from harness.load import (
    Load, Returning, Returnings, alternating, check_exactly_once,
    check_no_reset, drop, truth)
from harness.process import alive, wait_for

CONF = "flux_drain 500ms;"
LIVE = "location = /live { flux_stream f; flux_buffer 16m; }"
ROOM = "location = /live { flux_stream f/a; flux_buffer 16m; }"


def start(nginx, kafka, topic, room="", location=LIVE, **more):
    return nginx(kafka=kafka, listen="reuseport", server_conf=location,
                 http_conf=CONF + f"flux_feed f {{ topic {topic}; {room} }}",
                 **more)


def status(n):
    """As long as somebody answers."""
    def ask():
        try:
            return n.status()
        except OSError:
            return None

    return wait_for(ask, 10, "the status")


def kill(n, pid):
    n.kill(pid)
    wait_for(lambda: not alive(pid) and len(n.workers()) == 2, 10,
             "a new worker")


def wait_consuming(n):
    """A writer is alive and reads on."""
    begin = status(n)["feeds"]["f"]["records"]
    wait_for(lambda: status(n)["writer"]["pid"] in n.workers()
             and status(n)["feeds"]["f"]["records"] > begin, 10,
             "records go on")


def check(kafka, topic, readers, wanted=lambda r: True):
    records = truth(kafka, topic, wanted)
    for reader in readers:
        reader.wait_updates(len(records))
        check_no_reset(reader.messages)
        check_exactly_once(records, reader.messages)


@pytest.mark.parametrize("victim", ["writer", "other"])
def test_killed_worker_costs_no_record(kafka, nginx, module, victim):
    topic = kafka.create_topic(partitions=3)
    n = start(nginx, kafka, topic, zone="4m")
    readers = [Returning(alternating(n)) for _ in range(3)]
    for reader in readers:
        reader.stream.wait_snapshot("f")
    with Load(kafka, topic, 2000) as load, Returnings(*readers):
        for i in range(20):
            # it comes back on one of the two: else all gather where it is safe
            drop(readers[i % 3].stream)
            load.wait(random.randrange(20, 200))
            writer = status(n)["writer"]["pid"]
            [other] = [pid for pid in n.workers() if pid != writer]
            kill(n, writer if victim == "writer" else other)
            wait_consuming(n)
    check(kafka, topic, readers)
    assert sum(len(reader.streams) for reader in readers) > 28


def test_killed_writer_leaves_a_snapshot_that_is_right(kafka, nginx, module):
    topic = kafka.create_topic(partitions=2)
    n = start(nginx, kafka, topic, "retain 3;", zone="1m")
    with Load(kafka, topic, 4000, lambda i: f"k{random.randrange(60)}",
              padding=300) as load:
        for _ in range(10):
            load.wait(random.randrange(50, 400))
            kill(n, status(n)["writer"]["pid"])
    ends = kafka.end_offsets(topic)
    wait_for(lambda: {p["partition"]: p["offset"] for p in
                      status(n)["feeds"]["f"]["partitions"]} == ends, 20,
             "the topic is read")
    found = {}
    for item in n.poll("/live").messages[0]["items"]:
        found.setdefault(item["key"], []).append(item["data"]["n"])
    wanted = {}
    for key, i in truth(kafka, topic):
        wanted[key] = (wanted.get(key, []) + [i])[-3:]
    assert found == wanted


@pytest.mark.parametrize("room", ["", "room header:room;"])
def test_reload_under_load_costs_no_record(kafka, nginx, module, room):
    topic = kafka.create_topic(partitions=3)
    n = start(nginx, kafka, topic, room, ROOM if room else LIVE)
    readers = [Returning(alternating(n)) for _ in range(4)]
    for reader in readers:
        reader.stream.wait_snapshot("f/a" if room else "f")
    with Load(kafka, topic, 2000, headers=lambda i: [
            ("room", b"ab"[i % 2:i % 2 + 1])]) as load, Returnings(*readers):
        for _ in range(10):
            load.wait(random.randrange(20, 600))
            n.reload()
            wait_consuming(n)
    check(kafka, topic, readers,
          lambda r: not room or dict(r.headers)["room"] == b"a")
    for reader in readers:
        ended = [m for m in reader.messages if m["type"] == "end"]
        assert len(ended) >= len(reader.streams) - 1 > 3
        assert all(m["reason"] == "reload" and m["retry"] > 0 for m in ended)
    n.wait_old_workers_gone()


def test_reload_and_kill_at_once_cost_no_record(kafka, nginx, module):
    topic = kafka.create_topic(partitions=2)
    n = start(nginx, kafka, topic)
    readers = [Returning(alternating(n)) for _ in range(2)]
    for reader in readers:
        reader.stream.wait_snapshot("f")
    with Load(kafka, topic, 1000) as load, Returnings(*readers):
        for _ in range(5):
            load.wait(100)
            n.reload()
            pid = random.choice(n.workers(all=True))
            n.kill(pid)
            wait_for(lambda: not alive(pid) and len(n.workers()) == 2, 10,
                     "two workers")
            wait_consuming(n)
    check(kafka, topic, readers)


def test_reader_that_comes_back_late_gets_what_came_while_all_were_dead(
        kafka, nginx, module):
    topic = kafka.create_topic(partitions=2)
    n = start(nginx, kafka, topic)
    reader = Returning(alternating(n))
    reader.stream.wait_snapshot("f")
    with Load(kafka, topic, 1000) as load:
        for _ in range(5):
            load.wait(100)
            old = n.workers()
            for pid in old:
                n.kill(pid)
            load.wait(100)
            wait_for(lambda: len(n.workers()) == 2
                     and not set(n.workers()) & set(old), 10, "workers")
            reader.stream.wait_closed()
            reader.look()
    check(kafka, topic, [reader])
