"""Promise 4 and what crowds do: large snapshots, thousands who join at once,
slow readers beside good ones, paces."""

import json
import random

import pytest

from harness.crowd import Crowd
from harness.load import (
    Load, check_exactly_once, check_no_reset, check_order, truth)
from harness.process import wait_for

LIVE = "location = /live { flux_stream f; flux_buffer 64k; }"
EXACT = "location = /exact { flux_stream f; flux_buffer 64m; }"


def feed(topic, more=""):
    return f"flux_feed f {{ topic {topic}; {more} }}"


def newest(kafka, topic):
    return {key: json.loads(r[0].value)
            for key, r in kafka.newest(topic).items()}


def wait_state(reader, wanted, timeout=20):
    reader.wait(lambda s: s.rooms["f"].values == wanted, timeout,
                "the newest record of each key")


def wait_read(n, kafka, topic):
    ends = kafka.end_offsets(topic)
    wait_for(lambda: {p["partition"]: p["offset"] for p in
                      n.status()["feeds"]["f"]["partitions"]} == ends, 20,
             "nginx has read the topic")


# --- large snapshots ------------------------------------------------------------

@pytest.mark.parametrize("retain", [1, 3])
def test_large_snapshot_comes_in_parts_and_exact_under_updates(
        kafka, nginx, module, retain):
    topic = kafka.create_topic(partitions=3)
    n = nginx(kafka=kafka, zone="64m", server_conf=LIVE + EXACT,
              http_conf=feed(topic, f"retain {retain};"))
    for i in range(5000):
        kafka.produce(topic, {"n": 0, "p": "x" * 400}, key=f"k{i}")
    kafka.flush()
    wait_read(n, kafka, topic)
    readers = []
    with Load(kafka, topic, 2000, lambda i: f"k{random.randrange(5000)}",
              value=lambda i: None if i % 20 == 0
              else {"n": i, "p": "x" * random.randrange(800)}) as load:
        for path in "/exact", "/live":
            for open in n.sse, n.ws, n.sse, n.ws:
                load.wait(100)
                readers.append(open(path))
        load.wait(1000)
    wanted = newest(kafka, topic)
    for reader in readers:
        wait_state(reader, wanted)
        check_order(reader.messages)
        parts = [f for f in reader.frames
                 if f.messages[0]["type"] == "snapshot"]
        assert len(parts) > 4
        assert [bool(f.messages[0].get("more")) for f in parts] \
            == [True] * (len(parts) - 1) + [False]
        assert [f.cursor is not None for f in parts] \
            == [False] * (len(parts) - 1) + [True]
        keys = [(item["key"], item["ts"], item["data"]["n"]) for f in parts
                for item in f.messages[0]["items"]]
        assert len(keys) == len(set(keys))
    kept = {key: [json.loads(r.value) for r in records]
            for key, records in kafka.newest(topic, retain).items()}
    for reader in readers[:4]:
        assert {key: [item["data"] for item in items[-retain:]] for key, items
                in reader.rooms["f"].items.items()} == kept


def test_reader_cut_within_a_large_snapshot_begins_again(
        kafka, nginx, module):
    topic = kafka.create_topic()
    n = nginx(kafka=kafka, zone="16m", http_conf=feed(topic),
              server_conf=LIVE)
    for i in range(3000):
        kafka.produce(topic, {"n": i, "p": "x" * 1000}, key=f"k{i}")
    kafka.flush()
    wait_read(n, kafka, topic)
    reader = n.sse("/live", receive_buffer=4096)
    reader.wait(lambda s: s.frames)
    reader.close()
    assert reader.cursor is None and reader.rooms["f"].more
    again = n.sse("/live")
    again.wait_snapshot("f")
    assert again.rooms["f"].values == newest(kafka, topic)


# --- many -------------------------------------------------------------------------

@pytest.mark.slow
def test_2000_readers_that_join_at_once_all_have_the_truth(
        kafka, nginx, module):
    topic = kafka.create_topic(partitions=2)
    n = nginx(kafka=kafka, http_conf=feed(topic), server_conf=LIVE,
              connections=4096)
    for i in range(30):
        kafka.produce(topic, {"n": 0}, key=f"k{i}")
    kafka.flush()
    wait_read(n, kafka, topic)
    crowd = Crowd(n.port, "/live")
    try:
        with Load(kafka, topic, 40, lambda i: f"k{i % 30}") as load:
            crowd.join(2000)
            load.wait(20)
        kafka.send(topic, {"n": -1}, key="the-end")
        crowd.wait_all_have(b"the-end")
        assert crowd.ended == 0
        assert n.status()["readers"]["sse"] == 2000
    finally:
        crowd.close()
    wanted = newest(kafka, topic)
    history = {}
    for key, i in truth(kafka, topic):
        history.setdefault(key, []).append(i)
    for stream in crowd.streams():
        assert stream.rooms["f"].values == wanted
        for key, items in stream.rooms["f"].items.items():
            seen = [item["data"]["n"] for item in items]
            # from the one in its snapshot on, all of them
            assert seen == history[key][-len(seen):]
    wait_for(lambda: n.status()["readers"]["sse"] == 0, 10, "all are gone")


# --- slow ones ----------------------------------------------------------------------

@pytest.mark.parametrize("transport", ["sse", "ws"])
def test_reader_that_does_not_read_is_conflated_and_then_right(
        kafka, nginx, module, transport):
    topic = kafka.create_topic(partitions=3)
    n = nginx(kafka=kafka, zone="64m", server_conf=LIVE + EXACT,
              http_conf=feed(topic))
    slow = [getattr(n, transport)("/live") for _ in range(2)]
    good = [n.sse("/exact"), n.ws("/exact")]
    for reader in slow + good:
        reader.wait_snapshot("f")
    for reader in slow:
        reader.pause()
    with Load(kafka, topic, 4000, lambda i: f"k{i % 100}",
              value=lambda i: None if i % 331 == 0
              else {"n": i, "p": "x" * 3000}) as load:
        load.wait(10000)
    records = truth(kafka, topic)
    wanted = newest(kafka, topic)
    for reader in good:
        reader.wait_updates(len(records))
        check_exactly_once(records, reader.messages)
    for reader in slow:
        reader.resume()
    for reader in slow:
        wait_state(reader, wanted)
        check_order(reader.messages)
        check_no_reset(reader.messages)
        assert len(reader.updates()) < len(records)
    assert n.status()["conflated"] > 0


def test_reader_slower_than_the_zone_goes_round_is_right_in_the_end(
        kafka, nginx, module):
    topic = kafka.create_topic(partitions=2)
    n = nginx(kafka=kafka, zone="1m", server_conf=LIVE, http_conf=feed(topic))
    slow = [n.sse("/live", receive_buffer=8192), n.ws("/live")]
    for reader in slow:
        reader.wait_snapshot("f")
        reader.pause()
    for round in range(4):
        with Load(kafka, topic, 6000, lambda i: f"k{random.randrange(50)}",
                  value=lambda i: None if random.random() < 0.02
                  else {"n": round * 100000 + i, "p": "x" * 2000}) as load:
            load.wait(2500)
        if round == 1:
            for reader in slow:
                reader.resume()
        if round == 2:
            for reader in slow:
                reader.pause()
    for reader in slow:
        reader.resume()
    wanted = newest(kafka, topic)
    for reader in slow:
        wait_state(reader, wanted)
        check_order(reader.messages)


# --- paces ---------------------------------------------------------------------------

@pytest.mark.parametrize("how", ["flux_pace", "query"])
@pytest.mark.parametrize("transport", ["sse", "ws"])
def test_paced_reader_gets_the_newest_of_each_key_at_its_pace(
        kafka, nginx, module, transport, how):
    topic = kafka.create_topic(partitions=2)
    n = nginx(kafka=kafka, http_conf=feed(topic), server_conf=EXACT
              + "location = /live { flux_stream f; %s }"
              % ("flux_pace 200ms;" if how == "flux_pace" else ""))
    query = {"pace": "200ms"} if how == "query" else None
    readers = [getattr(n, transport)("/live", query=query) for _ in range(2)]
    exact = n.sse("/exact")
    for reader in [*readers, exact]:
        reader.wait_snapshot("f")
    with Load(kafka, topic, 1000, lambda i: f"k{i % 7}",
              value=lambda i: None if i % 51 == 0 else {"n": i}) as load:
        load.wait(700)
        readers.append(getattr(n, transport)("/live", query=query))
        load.wait(1300)
    wanted = newest(kafka, topic)
    records = truth(kafka, topic)
    exact.wait_updates(len(records))
    for reader in readers:
        wait_state(reader, wanted)
        check_order(reader.messages)
        times = [frame.at for frame in reader.frames]
        # the first may come late and the last in time
        assert times[-1] - times[0] > 0.2 * (len(times) - 2)
        assert len(reader.frames) <= 15
        assert len(reader.updates()) <= 7 * len(reader.frames)


def test_backlog_of_a_resumed_reader_is_exact_also_with_a_pace(
        kafka, nginx, module):
    topic = kafka.create_topic()
    n = nginx(kafka=kafka, http_conf=feed(topic), server_conf="""
              location = /live { flux_stream f; flux_pace 100ms;
                                 flux_buffer 4k; }""")
    for open in n.sse, n.ws:
        kafka.send(topic, {"n": 0}, key="k")
        reader = open("/live")
        reader.wait_value("f", "k", {"n": 0})
        reader.close()
        for i in range(1, 500):
            kafka.produce(topic, {"n": i}, key="k")
        kafka.flush()
        wait_read(n, kafka, topic)
        again = n.again(reader)
        again.wait_value("f", "k", {"n": 499})
        assert [data["n"] for data in again.data()] == list(range(1, 500))
        kafka.send(topic, {"n": 500}, key="k")
        again.wait_value("f", "k", {"n": 500})
