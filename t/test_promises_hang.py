"""Kafka hangs: its connections stay, and nothing is answered.  And what is open
there while nginx is reloaded."""

import json
import time

import pytest
from confluent_kafka import Producer

from harness.herd import Herd
from harness.herd import check_exactly_once as check_herd
from harness.load import (
    Returning, Returnings, alternating, check_exactly_once, check_no_reset,
    truth)
from harness.process import wait_for

LIVE = "location = /live { flux_stream f; flux_buffer 16m; }"
OTHER = "location = /other { flux_stream g; }"


def has_seen(stream, value):
    """By an update, or by the snapshot, if it began with one."""
    room = stream.rooms.get("g")
    return {"n": value} in stream.data()[-3:] or (
        room is not None and room.values.get("k") == {"n": value})


def slowest(n, reader, kafka, topic, seconds, value):
    """The longest that another cluster's room, a file and the status took."""
    worst, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        value[0] += 1
        began = time.monotonic()
        kafka.send(topic, {"n": value[0]}, key="k")
        reader.look()
        wait_for(lambda: reader.look() or has_seen(reader.stream, value[0]), 10)
        assert n.get("/file").body == b"file"
        assert n.status()["feeds"]["g"]["ready"]
        worst = max(worst, time.monotonic() - began)
    return worst


@pytest.mark.slow
def test_a_kafka_that_hangs_over_a_reload_costs_a_pause_and_no_record(
        kafka, own_kafka, nginx, module):
    topic, other = own_kafka.create_topic(partitions=3), kafka.create_topic()
    n = nginx(kafka=own_kafka, listen="reuseport backlog=4096",
              connections=2048, server_conf=LIVE + OTHER, http_conf=f"""
              flux_drain 500ms;
              flux_kafka second {{ brokers {kafka.brokers}; }}
              flux_feed f {{ kafka main; topic {topic}; }}
              flux_feed g {{ kafka second; topic {other}; }}""")
    (n.prefix / "html/file").write_text("file")
    beside = Returning(lambda cursor: n.sse("/other", cursor=cursor))
    beside.stream.wait_snapshot("g")
    count, value = 0, [0]

    def produce(more):
        nonlocal count
        for _ in range(more):
            count += 1
            own_kafka.produce(topic, {"n": count}, key=f"k{count % 40}")
        own_kafka.flush()

    with Herd(n.port, "/live", 100) as herd:
        produce(500)
        wait_for(lambda: herd.state()["least"] == count, 10)
        own_kafka.pause()
        calm = slowest(n, beside, kafka, other, 3, value)
        n.reload()
        n.wait_old_workers_gone()
        hung = slowest(n, beside, kafka, other, 6, value)
        status = n.status()["clusters"]
        assert status["second"] == {"state": "up", "error": None}
        own_kafka.resume()
        produce(500)
        seen = herd.until(count)
    check_herd(seen, count)
    # a blocked loop would take librdkafka's time-outs of seconds
    assert max(calm, hung) < 2, (calm, hung)
    check_no_reset(beside.messages)
    wait_for(lambda: n.status()["clusters"]["main"]["state"] == "up", 20)
    n.wait_ready()


def test_a_transaction_that_is_open_over_a_reload_comes_whole_or_not_at_all(
        kafka, nginx, module):
    topic = kafka.create_topic(partitions=2)
    n = nginx(kafka=kafka, server_conf=LIVE, http_conf=f"""
              flux_drain 300ms; flux_feed f {{ topic {topic}; }}""")
    readers = [Returning(alternating(n)) for _ in range(4)]
    for reader in readers:
        reader.stream.wait_snapshot("f")
    producers = [Producer({"bootstrap.servers": kafka.brokers,
                           "transactional.id": f"{topic}-{i}", "log_level": 0})
                 for i in range(2)]
    for producer in producers:
        producer.init_transactions(30)
    sent = 0

    def write(producer, records):
        nonlocal sent
        for _ in range(records):
            sent += 1
            producer.produce(topic, json.dumps({"n": sent}), f"k{sent}",
                             partition=sent % 2)
        producer.flush(10)

    with Returnings(*readers):
        for turn in range(4):
            for producer in producers:
                producer.begin_transaction()
                write(producer, 20)
            n.reload(wait=turn % 2 == 0)
            for producer in producers:
                write(producer, 20)
            n.wait_old_workers_gone()
            held = len(truth(kafka, topic))
            assert all(len(reader.updates) <= held for reader in readers)
            producers[turn % 2].commit_transaction(30)
            if turn == 1:
                n.reload()
            producers[1 - turn % 2].abort_transaction(30)
        kafka.send(topic, {"n": sent + 1}, key="last")
        records = truth(kafka, topic)
        assert len(records) == 4 * 40 + 1
        for reader in readers:
            reader.wait_updates(len(records))
    for reader in readers:
        check_no_reset(reader.messages)
        check_exactly_once(records, reader.messages)
