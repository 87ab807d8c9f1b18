"""Topics as they are in the wild: many partitions, compaction, transactions,
codecs, large records."""

import json

import pytest
from confluent_kafka import Producer

from harness.load import check_no_reset, drop
from harness.process import wait_for

LIVE = "location = /live { flux_stream f; }"


def feed(topic, more="", name="f"):
    return f"flux_feed {name} {{ topic {topic}; {more} }}\n"


def offsets(n, name="f"):
    return {p["partition"]: p["offset"]
            for p in n.status()["feeds"][name]["partitions"]}


# --- partitions ----------------------------------------------------------------

@pytest.mark.parametrize("partitions", [12, 100])
def test_many_partitions_are_one_room_with_one_cursor(
        kafka, nginx, module, partitions):
    topic = kafka.create_topic(partitions=partitions)
    for i in range(partitions):
        kafka.produce(topic, {"n": i}, key=f"k{i}", partition=i)
    kafka.flush()
    n = nginx(kafka=kafka, http_conf=feed(topic), server_conf=LIVE)
    reader = n.sse("/live")
    assert reader.wait_snapshot("f").complete is True
    assert reader.rooms["f"].values == {f"k{i}": {"n": i}
                                        for i in range(partitions)}
    assert offsets(n) == {i: 1 for i in range(partitions)}
    drop(reader)
    for i in range(0, partitions, 3):
        kafka.produce(topic, {"n": i + 1000}, key=f"k{i}", partition=i)
    kafka.flush()
    again = n.again(reader)
    again.wait_updates(len(range(0, partitions, 3)))
    assert {m["key"]: m["data"]["n"] for m in again.messages} == {
        f"k{i}": i + 1000 for i in range(0, partitions, 3)}
    assert len(again.messages) == len(range(0, partitions, 3))
    # as an address or a header it has to pass proxies, too
    assert len(again.cursor) < 2000
    frame = n.poll("/live", cursor=again.cursor, wait="0s")
    assert frame.messages == []


def test_a_feed_of_ten_topics_goes_on_without_the_one_that_is_missing(
        kafka, nginx, module):
    base = kafka.create_topic()
    topics = [base] + [f"{base}-{i}" for i in range(1, 10)]
    for topic in topics[1:9]:
        kafka.create_topic(topic)
    n = nginx(kafka=kafka, ready=False, http_conf=feed(" ".join(topics)),
              server_conf=LIVE)
    reader = n.sse("/live")
    reader.wait_snapshot("f")
    for i, topic in enumerate(topics[:9]):
        kafka.send(topic, {"n": i}, key=f"k{i}")
    wanted = {f"k{i}": {"n": i} for i in range(9)}
    reader.wait(lambda s: s.rooms["f"].values == wanted)
    late = n.ws("/live")
    late.wait(lambda s: "f" in s.rooms and s.rooms["f"].values == wanted)
    assert late.rooms["f"].complete is False
    late.wait(lambda s: s.rooms["f"].state == "down")
    kafka.create_topic(topics[9])
    kafka.send(topics[9], {"n": 9}, key="k9")
    for one in reader, late:
        one.wait_value("f", "k9", {"n": 9}, timeout=20)
        one.wait(lambda s: s.rooms["f"].state == "live")
        check_no_reset(one.messages)
    n.wait_ready()
    again = n.again(reader)
    kafka.send(topics[3], {"n": 33}, key="k3")
    again.wait_updates(1)
    assert [m["type"] for m in again.messages] == ["update"]


# --- compaction ----------------------------------------------------------------

COMPACTED = {"cleanup.policy": "compact", "segment.ms": 100,
             "min.cleanable.dirty.ratio": 0.001, "delete.retention.ms": 0,
             "min.compaction.lag.ms": 0, "max.compaction.lag.ms": 200}


def compact(kafka, topic, keys):
    """Waits until the cleaner has left only the newest of these keys, but
    for the segment that is written to."""
    def compacted():
        kafka.send(topic, {"n": 0}, key="roller")
        found = [r.key.decode() for r in kafka.records(topic)]
        return all(found.count(key) <= 1 for key in keys)

    wait_for(compacted, 60, "the log is compacted", every=0.3)


def test_a_compacted_topic_is_read_whole_and_resumed_across_its_gaps(
        make_kafka, nginx, module):
    kafka = make_kafka(log_cleaner_backoff_ms=100,
                       log_retention_check_interval_ms=100,
                       log_initial_task_delay_ms=100)
    topic = kafka.create_topic(config=COMPACTED)
    n = nginx(kafka=kafka, http_conf=feed(topic), server_conf=LIVE)
    early = n.sse("/live")
    for i in range(3):
        kafka.send(topic, {"n": i}, key="a")
    early.wait_updates(3)
    drop(early)                     # at offset 3: that record will go
    for i in range(3, 300):
        kafka.produce(topic, {"n": i}, key="abc"[i % 3])
    kafka.flush()
    kafka.send(topic, None, key="b")
    compact(kafka, topic, "abc")
    assert len(kafka.records(topic)) < 100

    # the end of its log is a gap, too: the node is ready all the same
    two = nginx(kafka=kafka, http_conf=feed(topic), server_conf=LIVE)
    truth = {key: json.loads(records[-1].value)
             for key, records in kafka.newest(topic).items()}
    reader = two.sse("/live")
    assert reader.wait_snapshot("f").complete is True
    reader.wait(lambda s: s.rooms["f"].values == truth)
    assert two.status()["feeds"]["f"]["partitions"][0]["lag"] == 0

    # the node that saw all has all; the one that came late has a gap where
    # compaction took records, and the reader must end up with the truth
    for node in n, two:
        again = node.again(early)
        again.wait(lambda s: "f" in s.rooms and all(
            s.rooms["f"].values.get(k) == v for k, v in truth.items()))
        held = {**early.rooms["f"].values, **again.rooms["f"].values}
        assert "b" not in again.rooms["f"].values
        assert held == truth


# --- transactions --------------------------------------------------------------

def test_aborted_transactions_are_never_seen_committed_ones_once(
        kafka, nginx, module):
    topic = kafka.create_topic(partitions=2)
    n = nginx(kafka=kafka, http_conf=feed(topic), server_conf=LIVE)
    reader = n.sse("/live")
    reader.wait_snapshot("f")
    producer = Producer({"bootstrap.servers": kafka.brokers,
                         "transactional.id": topic, "log_level": 0})
    producer.init_transactions(30)
    n_sent, expected = 0, []
    for turn in range(6):
        producer.begin_transaction()
        for _ in range(10):
            n_sent += 1
            producer.produce(topic, json.dumps({"n": n_sent}), f"k{n_sent}",
                             partition=n_sent % 2)
            if turn % 2 == 0:
                expected.append(n_sent)
        producer.flush(10)
        if turn % 2 == 0:
            producer.commit_transaction(30)
        else:
            producer.abort_transaction(30)

    reader.wait_updates(len(expected))
    drop(reader)

    # one that is open holds back what comes after it, and no more
    producer.begin_transaction()
    producer.produce(topic, b'{"n":-1}', "open", partition=0)
    producer.flush(10)
    kafka.send(topic, {"n": 1000}, key="after", partition=0)
    kafka.send(topic, {"n": 1001}, key="beside", partition=1)
    again = n.again(reader)
    again.wait_value("f", "beside", {"n": 1001})
    assert "after" not in again.rooms["f"].values
    producer.abort_transaction(30)
    again.wait_value("f", "after", {"n": 1000})
    assert sorted(m["data"]["n"] for m in reader.updates()) == expected
    assert sorted(m["data"]["n"] for m in again.updates()) == [1000, 1001]

    # the log ends with a marker that is no record: the node is ready
    producer.begin_transaction()
    producer.produce(topic, b'{"n":-2}', "never", partition=0)
    producer.flush(10)
    producer.abort_transaction(30)
    two = nginx(kafka=kafka, http_conf=feed(topic), server_conf=LIVE)
    fresh = two.ws("/live")
    assert fresh.wait_snapshot("f").complete is True
    assert sorted(d["n"] for d in fresh.rooms["f"].values.values()) == \
        sorted(expected + [1000, 1001])
    check_no_reset(two.again(again).messages)


# --- codecs, sizes -------------------------------------------------------------

@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_compressed_batches(kafka, nginx, module, codec):
    topic = kafka.create_topic()
    n = nginx(kafka=kafka, http_conf=feed(topic, "retain 200;"),
              server_conf=LIVE)
    reader = n.sse("/live")
    reader.wait_snapshot("f")
    producer = Producer({"bootstrap.servers": kafka.brokers,
                         "compression.type": codec, "linger.ms": 50})
    for i in range(200):
        producer.produce(topic, json.dumps({"n": i, "p": "x" * 300}), "k")
    assert producer.flush(20) == 0
    reader.wait_updates(200)
    assert [d["n"] for d in reader.data()] == list(range(200))


def test_a_full_queue_does_not_hold_up_reading(kafka, nginx, module):
    topic = kafka.create_topic()
    producer = Producer({"bootstrap.servers": kafka.brokers,
                         "queue.buffering.max.messages": 200000,
                         "linger.ms": 50})
    for i in range(150000):
        producer.produce(topic, b'{"n":%d}' % i, b"k%d" % (i % 100))
    assert producer.flush(20) == 0
    # each fetch fills it; librdkafka alone would look again after a second
    n = nginx(kafka=kafka, ready=False, http_conf=feed(topic),
              properties="property queued.max.messages.kbytes 16;"
              " property fetch.message.max.bytes 131072;")
    n.wait_ready(timeout=10)
    assert offsets(n) == {0: 150000}


def test_records_larger_than_a_fetch_pass_among_small_ones(
        kafka, nginx, module):
    topic = kafka.create_topic(config={"max.message.bytes": 4194304})
    n = nginx(kafka=kafka, zone="32m", http_conf=feed(topic),
              properties="property fetch.message.max.bytes 65536;",
              server_conf="location = /live { flux_stream f;"
              " flux_buffer 8m; }")
    reader = n.sse("/live")
    reader.wait_snapshot("f")
    producer = Producer({"bootstrap.servers": kafka.brokers,
                         "message.max.bytes": 4194304})
    sizes = [10, 3000000, 20, 1000000, 30]
    for i, size in enumerate(sizes):
        producer.produce(topic, json.dumps({"n": i, "p": "x" * size}), "k")
    assert producer.flush(20) == 0
    reader.wait_value("f", "k", {"n": 4, "p": "x" * 30}, timeout=20)
    assert [len(d["p"]) for d in reader.data()] == sizes
