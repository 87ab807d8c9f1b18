"""The snapshot of a room is the newest records of each of its keys, as a
consumer of Kafka sees them, whatever the log went through."""

import json
import random
from collections import defaultdict

import pytest

from harness.load import Load
from harness.process import wait_for

LIVE = "location = /live { flux_stream f; }"
ROOMS = "location ~ ^/live/(.+)$ { flux_stream f/$1; }"


def rooms_of(records, room, key=lambda r: (r.key or b"").decode(), retain=1):
    """{room: {key: [data]}}: a key lives where its newest record put it, and
    a tombstone ends it wherever that is."""
    home, rooms = {}, defaultdict(dict)
    for record in sorted(records, key=lambda r: (r.partition, r.offset)):
        name = key(record)
        if record.value is None:
            rooms[home.pop(name, None)].pop(name, None)
            continue
        where = room(record)
        if where is None:
            continue
        if home.get(name, where) != where:
            rooms[home[name]].pop(name, None)
        home[name] = where
        rooms[where][name] = (rooms[where].get(name, [])
                              + [json.loads(record.value)])[-retain:]
    return rooms


def wait_read(n, kafka, topic, feed="f"):
    """Waits until nginx has read all there is."""
    ends = kafka.end_offsets(topic)

    def read():
        return {p["partition"]: p["offset"] for p in
                n.status()["feeds"][feed]["partitions"]} == ends

    wait_for(read, 20, "nginx has read the topic")


def items(n, path, room="f"):
    """{key: [data]} of a room's snapshot."""
    [snapshot] = [m for m in n.poll(path).messages
                  if m["type"] == "snapshot" and m["room"] == room]
    found = defaultdict(list)
    for item in snapshot["items"]:
        found[item["key"]].append(item["data"])
    return dict(found)


def newest(kafka, topic, retain):
    return {key: [json.loads(r.value) for r in records]
            for key, records in kafka.newest(topic, retain).items()}


# --- what a snapshot holds ----------------------------------------------------

@pytest.mark.parametrize("retain", [1, 60])
def test_snapshot_is_the_newest_records_of_each_key(
        kafka, nginx, module, retain):
    topic = kafka.create_topic(partitions=3)
    n = nginx(kafka=kafka, server_conf=LIVE, zone="1m" if retain == 1 else "8m",
              http_conf=f"flux_feed f {{ topic {topic}; retain {retain}; }}")
    with Load(kafka, topic, 6000, lambda i: f"k{random.randrange(60)}",
              padding=200,
              value=lambda i: None if i % 97 == 0
              else {"n": i, "p": "x" * random.randrange(400)}) as load:
        load.wait(15000)
    wait_read(n, kafka, topic)
    assert items(n, "/live") == newest(kafka, topic, retain)
    assert n.status()["feeds"]["f"]["evicted"] == 0


def test_snapshot_after_a_start_is_the_same(kafka, nginx, module):
    topic = kafka.create_topic(partitions=2)
    with Load(kafka, topic, 10000, lambda i: f"k{random.randrange(40)}",
              padding=300) as load:
        load.wait(8000)
    kafka.send(topic, None, key="k1")
    for zone in "1m", "16m":
        n = nginx(kafka=kafka, server_conf=LIVE, zone=zone,
                  http_conf=f"flux_feed f {{ topic {topic}; retain 3; }}")
        assert items(n, "/live") == newest(kafka, topic, 3)


def test_keys_may_be_null_empty_or_any_text(kafka, nginx, module):
    topic = kafka.create_topic()
    n = nginx(kafka=kafka, server_conf=LIVE,
              http_conf=f"flux_feed f {{ topic {topic}; }}")
    reader = n.sse("/live")
    reader.wait_snapshot("f")
    keys = ["", "a", 'q"\\/\t', "\u00e4\u20ac\U0001f600", "x" * 900,
            "\u2028", "{}"]
    kafka.send(topic, {"n": -1}, key=None)
    for i, key in enumerate(keys):
        kafka.send(topic, {"n": i}, key=key)
    wanted = {key: {"n": i} for i, key in enumerate(keys)}
    reader.wait(lambda s: s.rooms["f"].values == wanted)
    assert reader.data("f", "") == [{"n": -1}, {"n": 0}]
    assert items(n, "/live") == {k: [v] for k, v in wanted.items()}
    for key in keys[1:]:
        kafka.send(topic, None, key=key)
    kafka.send(topic, None, key=None)
    reader.wait(lambda s: s.rooms["f"].values == {})
    assert items(n, "/live") == {}


# --- rooms --------------------------------------------------------------------

RULES = {
    "key": dict(rule="key", record=lambda key, room, n: dict(
        key=room, value={"n": n})),
    "header": dict(rule="header:room", record=lambda key, room, n: dict(
        key=key, value={"n": n}, headers=[("room", room.encode())])),
    "json": dict(rule="json:/at/0/room", record=lambda key, room, n: dict(
        key=key, value={"at": [{"room": room}], "n": n})),
}


@pytest.mark.parametrize("rule", ["header", "json"])
def test_a_key_that_moves_leaves_its_old_room(kafka, nginx, module, rule):
    topic = kafka.create_topic()
    record = RULES[rule]["record"]
    n = nginx(kafka=kafka, server_conf=ROOMS, http_conf=f"""flux_feed f {{
        topic {topic}; room {RULES[rule]["rule"]}; retain 2; }}""")
    one, two = n.sse("/live/one"), n.ws("/live/two")
    one.wait_snapshot("f/one")
    two.wait_snapshot("f/two")
    for i, room in enumerate(["one", "one", "two", "one", "two"]):
        kafka.send(topic, timestamp=1000 + i, **record("k", room, i))
    two.wait(lambda s: len(s.messages) == 4)
    one.wait(lambda s: len(s.messages) == 6)

    def told(reader):
        return [(m["type"], m["ts"]) for m in reader.messages[1:]]

    assert told(one) == [("update", 1000), ("update", 1001), ("delete", 1002),
                         ("update", 1003), ("delete", 1004)]
    assert told(two) == [("update", 1002), ("delete", 1003), ("update", 1004)]
    assert items(n, "/live/one", "f/one") == {}
    assert len(items(n, "/live/two", "f/two")["k"]) == 1
    kafka.send(topic, None, key="k", timestamp=2000)
    two.wait_type("delete", "f/two")
    two.wait(lambda s: s.messages[-1]["ts"] == 2000)
    assert items(n, "/live/two", "f/two") == {}


def test_rooms_by_key_hold_one_key_each(kafka, nginx, module):
    topic = kafka.create_topic(partitions=2)
    n = nginx(kafka=kafka, server_conf=ROOMS,
              http_conf=f"flux_feed f {{ topic {topic}; room key; }}")
    reader = n.sse("/live/a/b")
    reader.wait_snapshot("f/a/b")
    for i, room in enumerate(["a/b", "c", "a/b"]):
        kafka.send(topic, **RULES["key"]["record"](None, room, i))
    reader.wait_updates(2)
    assert reader.data("f/a/b", "a/b") == [{"n": 0}, {"n": 2}]
    wait_read(n, kafka, topic)
    assert items(n, "/live/c", "f/c") == {"c": [{"n": 1}]}
    kafka.send(topic, None, key="a/b")
    reader.wait_type("delete")
    assert items(n, "/live/a/b", "f/a/b") == {}


def test_rooms_hold_what_a_consumer_sees_after_moves_and_wrap_around(
        kafka, nginx, module):
    topic = kafka.create_topic(partitions=2)
    n = nginx(kafka=kafka, server_conf=ROOMS, zone="1m",
              http_conf=f"flux_feed f {{ topic {topic}; room json:/room; "
                        "retain 3; }")
    names = ["r0", "r1", "r2", "r3"]

    def value(i):
        if random.random() < 0.05:
            return None
        return {"n": i, "room": random.choice(names),
                "p": "x" * random.randrange(500)}

    readers = [n.sse(f"/live/{name}") for name in names]
    with Load(kafka, topic, 4000, lambda i: f"k{random.randrange(50)}",
              value=value) as load:
        load.wait(10000)
    wait_read(n, kafka, topic)
    wanted = rooms_of(kafka.records(topic),
                      lambda r: json.loads(r.value)["room"], retain=3)
    for name, reader in zip(names, readers):
        assert items(n, f"/live/{name}", f"f/{name}") == wanted[name]
        last = {key: data[-1] for key, data in wanted[name].items()}
        reader.wait(lambda s: s.rooms[f"f/{name}"].values == last)


# --- what does not fit --------------------------------------------------------

def test_records_that_do_not_fit_are_counted_and_skipped(
        kafka, nginx, module):
    topic = kafka.create_topic()
    n = nginx(kafka=kafka, zone="1m", server_conf=LIVE, http_conf=f"""
              flux_feed f {{ topic {topic}; }}
              flux_feed r {{ topic {topic}; room header:room; }}""")
    reader = n.sse("/live")
    reader.wait_snapshot("f")
    headers = [("room", b"x")]
    kafka.send(topic, {"n": 0}, key="k", headers=headers)
    for value in ["", "{", "nan", b'"\xff"', '{"a":1} x', b"\0", "[1,]"]:
        kafka.send(topic, value, key="k", headers=headers)
    kafka.send(topic, '"' + "x" * 900000 + '"', key="k", headers=headers)
    for room in [b"", b"\xff", b"a\0b", b"x" * 256]:
        kafka.send(topic, {"n": 1}, key="j", headers=[("room", room)])
    kafka.send(topic, {"n": 2}, key="j")
    kafka.send(topic, {"n": 3}, key="k", headers=headers)
    reader.wait_value("f", "k", {"n": 3})
    assert reader.data() == [{"n": 0}, *[{"n": 1}] * 4, {"n": 2}, {"n": 3}]
    wait_read(n, kafka, topic)
    feeds = n.status()["feeds"]
    assert feeds["f"]["skipped"] == {"json": 7, "room": 0, "size": 1,
                                     "expired": 0}
    assert feeds["r"]["skipped"] == {"json": 7, "room": 5, "size": 1,
                                     "expired": 0}
    assert feeds["f"]["records"] == 7 and feeds["r"]["records"] == 2


# --- a small zone --------------------------------------------------------------

@pytest.mark.slow
def test_a_zone_of_1_mb_keeps_each_keys_newest_record_of_100_mb(
        kafka, nginx, module):
    topic = kafka.create_topic(partitions=2)
    n = nginx(kafka=kafka, zone="1m", server_conf=LIVE,
              http_conf=f"flux_feed f {{ topic {topic}; }}")
    text = "x" * 10000
    for i in range(10000):
        kafka.produce(topic, {"n": i, "p": text}, key=f"k{i % 19}")
    for i in range(0, 19, 5):
        kafka.produce(topic, {"n": i}, key=f"rare{i}")
    kafka.flush()
    for i in range(400):
        kafka.produce(topic, {"n": i, "p": text}, key=f"k{i % 3}")
    kafka.flush()
    wait_read(n, kafka, topic)
    assert items(n, "/live") == newest(kafka, topic, 1)
    assert n.status()["feeds"]["f"]["evicted"] == 0
    assert n.status()["zone"]["used"] <= 1024 ** 2
    assert n.error_log.count("[warn]") < 10


def test_the_least_recently_renewed_keys_leave_when_live_data_pass_half(
        kafka, nginx, module):
    topic = kafka.create_topic()
    n = nginx(kafka=kafka, zone="1m", server_conf=LIVE,
              http_conf=f"flux_feed f {{ topic {topic}; }}")
    text = "x" * 4000
    for i in range(300):
        kafka.produce(topic, {"n": i, "p": text}, key=f"k{i}")
        if i % 20 == 0:
            kafka.produce(topic, {"n": i, "p": text}, key="often")
    kafka.flush()
    wait_read(n, kafka, topic)
    evicted = n.status()["feeds"]["f"]["evicted"]
    kept = items(n, "/live")
    assert evicted > 150 and len(kept) == 301 - evicted
    assert set(kept) == {"often"} | {f"k{i}" for i in range(evicted, 300)}
    assert n.metrics()['flux_keys_evicted_total{feed="f"}'] == evicted
    n.wait_log(r"\[warn\].*flux.*")


def test_records_of_1_mb_come_whole(kafka, nginx, module):
    topic = kafka.create_topic(partitions=2,
                               config={"max.message.bytes": 2000000})
    n = nginx(kafka=kafka, zone="64m", server_conf=LIVE,
              http_conf=f"flux_feed f {{ topic {topic}; }}")
    readers = [n.sse("/live"), n.ws("/live"), n.sse("/live", compress=True)]
    for reader in readers:
        reader.wait_snapshot("f")
    for i in range(80):
        kafka.produce(topic, {"n": i, "p": random.randbytes(450000).hex()},
                      key=f"k{i % 10}")
        if i % 20 == 0:
            kafka.flush()
    kafka.flush()
    wait_read(n, kafka, topic)
    wanted = newest(kafka, topic, 1)
    assert items(n, "/live") == wanted
    assert n.status()["feeds"]["f"]["evicted"] == 0
    last = {key: data[0] for key, data in wanted.items()}
    for reader in readers:
        reader.wait(lambda s: s.rooms["f"].values == last)
