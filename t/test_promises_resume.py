"""Promises 1 and 2: records come in order, each once, however often a reader
is cut off."""

import random
import time

import pytest

from harness.load import (
    Load, Returning, alternating, check_exactly_once, check_no_reset,
    check_order, drop, truth)
from harness.process import wait_for

# exactness is tested: nobody is to be conflated as Python takes its time
LIVE = "location = /live { flux_stream f; flux_buffer 16m; }"
ROOMS = """location ~ ^/rooms/(.+)/(.+)$ {
    flux_stream f/$1 f/$2; flux_buffer 16m;
}
location = /quiet { flux_stream f/quiet; }"""


def by_header(names, of=lambda n: n):
    return lambda n: [("room", names[of(n) % len(names)].encode())]


def test_records_of_a_key_come_in_the_order_of_their_offsets(
        kafka, nginx, module):
    topic = kafka.create_topic(partitions=4)
    n = nginx(kafka=kafka, http_conf=f"flux_feed f {{ topic {topic}; }}",
              server_conf=LIVE)
    readers = [n.sse("/live"), n.ws("/live"), n.sse("/live", compress=True)]
    for reader in readers:
        reader.wait_snapshot("f")
    with Load(kafka, topic, 1000, lambda i: f"k{i * 7 % 97}") as load:
        load.wait(500)
        readers.append(n.ws("/live", compress=True))
        load.wait(2000)
    records = truth(kafka, topic)
    for reader in readers[:3]:
        reader.wait_updates(len(records))
        check_exactly_once(records, reader.messages)
    late = readers[3]
    late.wait_value("f", records[-1][0], late_value(records[-1]))
    check_order(late.messages)


def late_value(record):
    return {"n": record[1], "p": ""}


@pytest.mark.parametrize("zone", ["16m", "2m"])
def test_a_reader_cut_off_100_times_gets_every_record_once(
        kafka, nginx, module, zone):
    topic = kafka.create_topic(partitions=3)
    n = nginx(kafka=kafka, http_conf=f"flux_feed f {{ topic {topic}; }}",
              server_conf=LIVE, listen="reuseport", zone=zone)
    reader = Returning(alternating(n))
    reader.stream.wait_snapshot("f")
    workers = set()
    with Load(kafka, topic, 2000) as load:
        for _ in range(100):
            want = random.randrange(40)
            reader.stream.wait(lambda s: len(s.messages) >= want)
            workers.add(n.worker_of(reader.stream))
            reader.cut()
        assert load.n > 500
    assert len(workers) == 2
    records = truth(kafka, topic)
    reader.wait_updates(len(records))
    check_no_reset(reader.messages)
    check_exactly_once(records, reader.messages)


def test_a_reader_of_two_rooms_cut_off_100_times_gets_their_records_once(
        kafka, nginx, module):
    names = ["a", "b", "c", "d"]
    topic = kafka.create_topic(partitions=3)
    n = nginx(kafka=kafka, listen="reuseport", server_conf=ROOMS,
              http_conf=f"flux_feed f {{ topic {topic}; room header:room; }}")
    reader = Returning(alternating(n, "/rooms/a/c"))
    reader.stream.wait_snapshot("f/a")
    with Load(kafka, topic, 2000, headers=by_header(names)) as load:
        for _ in range(100):
            want = random.randrange(40)
            reader.stream.wait(lambda s: len(s.messages) >= want)
            reader.cut()
        assert load.n > 500
    records = truth(kafka, topic,
                    lambda r: dict(r.headers)["room"] in (b"a", b"c"))
    reader.wait_updates(len(records))
    check_no_reset(reader.messages)
    check_exactly_once(records, reader.messages)
    assert {m["room"] for m in reader.updates} == {"f/a", "f/c"}


def test_a_room_that_is_quiet_in_a_busy_feed_is_resumed_after_wrap_around(
        kafka, nginx, module):
    topic = kafka.create_topic(partitions=2)
    quiet = [("room", b"quiet")]
    kafka.send(topic, {"n": 1}, key="q", headers=quiet)
    n = nginx(kafka=kafka, zone="1m", server_conf=ROOMS,
              http_conf=f"flux_feed f {{ topic {topic}; room header:room; }}")
    reader = Returning(alternating(n, "/quiet"))
    reader.stream.wait_value("f/quiet", "q", {"n": 1})
    sent = []
    for round in range(6):
        with Load(kafka, topic, 4000, headers=by_header(["busy"]),
                  padding=500) as load:
            load.wait(1500)
        if round % 2:
            kafka.send(topic, {"n": 2 + round}, key="q", headers=quiet)
            sent.append(("q", 2 + round))
        if round != 2:
            reader.cut()
    reader.wait_updates(len(sent))
    check_no_reset(reader.messages)
    check_exactly_once(sent, reader.messages)


def test_a_reader_that_polls_gets_every_record_once(kafka, nginx, module):
    topic = kafka.create_topic(partitions=3)
    n = nginx(kafka=kafka, http_conf=f"flux_feed f {{ topic {topic}; }}",
              server_conf=LIVE, listen="reuseport")
    cursor, messages = n.poll("/live").cursor, []

    def poll(wait):
        nonlocal cursor
        frame = n.poll("/live", cursor=cursor, wait=wait)
        cursor = frame.cursor
        messages.extend(m for m in frame.messages if m["type"] != "cursor")

    with Load(kafka, topic, 2000) as load:
        while load.n < 4000:
            poll(random.choice(["0s", "10ms", "5s"]))
    records = truth(kafka, topic)
    deadline = time.monotonic() + 10
    while len(messages) < len(records) and time.monotonic() < deadline:
        poll("1s")
    check_no_reset(messages)
    check_exactly_once(records, messages)


def test_a_cursor_goes_from_any_transport_to_any_other(kafka, nginx, module):
    topic = kafka.create_topic(partitions=2)
    n = nginx(kafka=kafka, http_conf=f"flux_feed f {{ topic {topic}; }}",
              server_conf=LIVE, listen="reuseport")
    cursor, messages = n.poll("/live").cursor, []
    with Load(kafka, topic, 1000) as load:
        for _ in range(90):
            how = random.choice(["poll", "sse", "ws"])
            load.wait(random.randrange(1, 40))
            if how == "poll":
                frame = n.poll("/live", cursor=cursor)
                cursor = frame.cursor
                messages += [m for m in frame.messages
                             if m["type"] != "cursor"]
                continue
            reader = getattr(n, how)(
                "/live", cursor=cursor, compress=random.random() < 0.5)
            reader.wait(lambda s: s.messages)
            drop(reader)
            cursor = reader.cursor
            messages += reader.messages
    last = n.sse("/live", cursor=cursor)
    records = truth(kafka, topic)
    last.wait_updates(len(records) - len(messages))
    messages += last.messages
    check_no_reset(messages)
    check_exactly_once(records, messages)


def test_a_reader_of_several_feeds_of_one_topic_gets_each_record_once_of_each(
        kafka, nginx, module):
    topic = kafka.create_topic(partitions=2)
    n = nginx(kafka=kafka, listen="reuseport", http_conf=f"""
              flux_feed f {{ topic {topic}; }}
              flux_feed g {{ topic {topic}; room json:/room; }}
              flux_feed h {{ topic {topic}; start end; retain 2; }}""",
              server_conf="location = /live { flux_stream f g/a h; "
                          "flux_buffer 16m; }")
    reader = Returning(alternating(n))
    reader.stream.wait_snapshot("g/a")
    with Load(kafka, topic, 1000,
              value=lambda i: {"n": i, "room": "ab"[i % 2]}) as load:
        for _ in range(40):
            load.wait(random.randrange(1, 60))
            reader.cut()
    records = truth(kafka, topic)
    of_a = [record for record in records if record[1] % 2 == 0]
    reader.wait_updates(2 * len(records) + len(of_a))
    check_no_reset(reader.messages)
    for room, wanted in ("f", records), ("g/a", of_a), ("h", records):
        check_exactly_once(wanted, [m for m in reader.messages
                                    if m["room"] == room])


@pytest.mark.parametrize("how", ["sse", "ws", "poll"])
def test_what_comes_while_nobody_reads_is_had_by_whoever_comes_back(
        kafka, nginx, module, how):
    """A worker without readers passes over it: rooms that are new, too."""
    topic = kafka.create_topic(partitions=2)
    n = nginx(kafka=kafka, listen="reuseport", server_conf=ROOMS,
              http_conf=f"flux_feed f {{ topic {topic}; room header:room; }}")
    messages, cursor, sent = [], None, 0

    def read(count):
        nonlocal cursor
        if how == "poll":
            while count > 0:
                frame = n.poll("/rooms/a/c", cursor=cursor, wait="5s")
                cursor = frame.cursor
                messages.extend(frame.messages)
                count -= sum(m["type"] == "update" for m in frame.messages)
            return
        reader = getattr(n, how)("/rooms/a/c", cursor=cursor)
        wait_for(lambda: sum(n.status()["readers"].values()) == 1, 5)
        kafka.send(topic, {"n": sent + 1}, key="live",
                   headers=[("room", b"a")])
        reader.wait_updates(count + 1)
        drop(reader)
        cursor = reader.cursor
        messages.extend(reader.messages)

    kafka.send(topic, {"n": 0}, key="first", headers=[("room", b"b")])
    if how == "poll":
        cursor = n.poll("/rooms/a/c").cursor
    else:
        reader = getattr(n, how)("/rooms/a/c")
        reader.wait_snapshot("f/a")
        drop(reader)
        cursor = reader.cursor
    for round in range(8):
        wait_for(lambda: sum(n.status()["readers"].values()) == 0, 5)
        for i in range(600):
            sent += 1
            room = "acxy"[i % 4] if round % 3 else f"x{i}"
            kafka.produce(topic, {"n": sent, "p": "x" * 400}, key=f"k{i}",
                          headers=[("room", room.encode())])
        kafka.flush()
        wait_for(lambda: n.status()["feeds"]["f"]["records"] > sent, 10)
        read(300 if round % 3 else 0)
        sent += how != "poll"
    records = truth(kafka, topic,
                    lambda r: dict(r.headers)["room"] in (b"a", b"c"))
    check_no_reset(messages)
    check_exactly_once(records, messages)
