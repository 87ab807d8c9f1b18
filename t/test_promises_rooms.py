"""Rooms whose keys move, end and come back: every reader of any of them is
told all of it once, cut off or slow, and has the truth in the end."""

import json
import random
from collections import defaultdict

import pytest

from harness.load import (
    Load, Returning, Returnings, alternating, check_no_reset, check_order,
    drop)
from harness.process import alive, wait_for

NAMES = ["r0", "r1", "r2", "r3"]
LOCATIONS = """location ~ ^/live/(.+)$ { flux_stream f/$1; flux_buffer 64m; }
location = /two { flux_stream f/r0 f/r1; flux_buffer 64m; }
location = /all { flux_stream f/r0 f/r1 f/r2 f/r3; flux_buffer 64m; }
location = /slow { flux_stream f/r0 f/r1; flux_buffer 16k; }
location = /paced { flux_stream f/r0 f/r1; flux_pace 50ms; }"""


def start(nginx, kafka, topic, more="", **settings):
    return nginx(kafka=kafka, server_conf=LOCATIONS, listen="reuseport",
                 http_conf=f"flux_feed f {{ topic {topic}; "
                           f"room json:/room; {more} }}", **settings)


def value(i):
    if random.random() < 0.05:
        return None
    return {"n": i, "room": random.choice(NAMES),
            "p": "x" * random.randrange(300)}


def key(i):
    return f"k{random.randrange(60)}"


def told(records):
    """{(room, key): what its readers are told} and {room: {key: n}}."""
    messages, rooms, home = defaultdict(list), defaultdict(dict), {}
    for record in sorted(records, key=lambda r: (r.partition, r.offset)):
        name, data = record.key.decode(), json.loads(record.value or "null")
        old = home.pop(name, None)
        if old is not None and (data is None or data["room"] != old):
            messages[f"f/{old}", name].append(("delete", record.timestamp))
            rooms[f"f/{old}"].pop(name)
        if data is not None:
            home[name] = data["room"]
            messages[f"f/{data['room']}", name].append(
                ("update", record.timestamp, data["n"]))
            rooms[f"f/{data['room']}"][name] = data["n"]
    return messages, rooms


def heard(messages, rooms):
    """The same from what a reader of these rooms got."""
    found = defaultdict(list)
    for m in messages:
        if m["type"] == "update":
            found[m["room"], m["key"]].append(("update", m["ts"],
                                               m["data"]["n"]))
        elif m["type"] == "delete":
            found[m["room"], m["key"]].append(("delete", m["ts"]))
    return found


def state(stream, rooms):
    return {room: {k: data["n"] for k, data in stream.rooms[room].values
                   .items()} for room in rooms if room in stream.rooms}


def last_of(wanted, rooms):
    return {room: wanted[room] for room in rooms}


def wait_count(reader, count):
    def have():
        reader.look()
        return sum(m["type"] in ("update", "delete")
                   for m in reader.messages) >= count
    wait_for(have, 20, f"{count} messages")


def check_told(reader, rooms, messages):
    wanted = {k: v for k, v in messages.items() if k[0] in rooms}
    wait_count(reader, sum(map(len, wanted.values())))
    check_no_reset(reader.messages)
    found = heard(reader.messages, rooms)
    # a key that lives nowhere may be ended once more
    for name in wanted.keys() | found.keys():
        ours = [m for i, m in enumerate(found[name])
                if m[0] == "update" or m in wanted.get(name, [])]
        assert ours == wanted.get(name, []), name


@pytest.mark.parametrize("zone", ["16m", "2m"])
def test_readers_cut_off_at_random_are_told_of_each_move_and_end_once(
        kafka, nginx, module, zone):
    topic = kafka.create_topic(partitions=2)
    n = start(nginx, kafka, topic, zone=zone)
    paths = {"/live/r0": ["f/r0"], "/two": ["f/r0", "f/r1"],
             "/all": [f"f/{name}" for name in NAMES]}
    readers = {path: Returning(alternating(n, path)) for path in paths}
    for path, reader in readers.items():
        reader.stream.wait_snapshot(paths[path][-1])
    with Load(kafka, topic, 2000, key, value=value) as load:
        for _ in range(100):
            load.wait(random.randrange(1, 100))
            random.choice(list(readers.values())).cut()
    messages, rooms = told(kafka.records(topic))
    for path, reader in readers.items():
        check_told(reader, paths[path], messages)


def test_readers_are_told_of_each_move_and_end_once_over_kills_and_reloads(
        kafka, nginx, module):
    topic = kafka.create_topic(partitions=2)
    n = start(nginx, kafka, topic, "retain 2;", zone="2m")
    readers = [Returning(alternating(n, "/two")) for _ in range(3)]
    for reader in readers:
        reader.stream.wait_snapshot("f/r1")
    with Load(kafka, topic, 2000, key, value=value) as load, \
            Returnings(*readers):
        for round in range(12):
            load.wait(random.randrange(50, 300))
            if round % 4 == 3:
                n.reload()
                continue
            pid = random.choice(n.workers())
            n.kill(pid)
            wait_for(lambda: not alive(pid) and len(n.workers()) == 2, 10)
            drop(random.choice(readers).stream)
    messages, rooms = told(kafka.records(topic))
    for reader in readers:
        check_told(reader, ["f/r0", "f/r1"], messages)


@pytest.mark.parametrize("zone", ["32m", "1m"])
def test_slow_and_paced_readers_have_the_truth_of_their_rooms_in_the_end(
        kafka, nginx, module, zone):
    topic = kafka.create_topic(partitions=2)
    n = start(nginx, kafka, topic, zone=zone)
    rooms = ["f/r0", "f/r1"]
    readers = [n.sse("/slow", receive_buffer=8192), n.ws("/slow"),
               n.sse("/paced"), n.ws("/paced")]
    for reader in readers:
        reader.wait_snapshot("f/r1")
    for i in range(4):
        for reader in readers:
            random.choice([reader.pause, reader.resume])()
        with Load(kafka, topic, 6000, key, value=lambda n: (
                lambda v: v and {**v, "n": n + i * 100000,
                                 "p": "x" * 1500})(value(n))) as load:
            load.wait(2000)
    for reader in readers:
        reader.resume()
    wanted = last_of(told(kafka.records(topic))[1], rooms)
    for reader in readers:
        reader.wait(lambda s: state(s, rooms) == wanted, 20)
        check_order(reader.messages)
    if zone == "32m":
        check_no_reset([m for r in readers for m in r.messages])


def test_readers_of_some_keys_are_told_of_those_alone(kafka, nginx, module):
    topic = kafka.create_topic(partitions=2)
    n = start(nginx, kafka, topic)
    keys = ["k3", "k7"]
    reader = Returning(alternating(n, "/live/r0", key=keys))
    reader.stream.wait_snapshot("f/r0")
    with Load(kafka, topic, 2000, key, value=value) as load:
        for _ in range(30):
            load.wait(random.randrange(1, 150))
            reader.cut()
    messages, rooms = told(kafka.records(topic))
    messages = {k: v for k, v in messages.items() if k[1] in keys}
    check_told(reader, ["f/r0"], messages)
    late = n.sse("/live/r0", key=keys)
    late.wait_snapshot("f/r0")
    wanted = {k: v for k, v in rooms["f/r0"].items() if k in keys}
    late.wait(lambda s: state(s, ["f/r0"]) == {"f/r0": wanted})
