"""The producers' Kafka side against a real Kafka, killed and restarted."""

import json
import time
from collections import namedtuple

import pytest

from program import wait_for

pytest.importorskip("harness", reason="no Kafka harness here")

Record = namedtuple("Record", "key value timestamp")


def simulated(run, kafka, *options, rate=100, **settings):
    return run("crypto", "--brokers", kafka.brokers, "--provider",
               "simulated", "--rate", rate, "--heartbeat", "500ms",
               "--instance", "test-1", *options, **settings)


def records_of(kafka, topic):
    """What is in a topic now, while a producer goes on writing to it."""
    from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
    records = []
    consumer = Consumer({"bootstrap.servers": kafka.brokers,
                         "group.id": "flux-test", "log_level": 0,
                         "enable.auto.commit": False})
    for partition, end in kafka.end_offsets(topic).items():
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])
        position = 0
        while position < end:
            message = consumer.poll(10)
            assert message is not None, f"{topic} cannot be read"
            assert message.error() is None, message.error()
            position = message.offset() + 1
            records.append(Record(message.key(), message.value(),
                                  message.timestamp()[1]))
    consumer.close()
    return records


def tickers(kafka):
    from confluent_kafka import KafkaException
    try:
        return records_of(kafka, "flux.crypto.ticker")
    except KafkaException:
        return []       # it is just coming back


def topic_is_there(kafka, name="flux.crypto.ticker"):
    return kafka._partitions(name) > 0


def config_of(kafka, topic):
    from confluent_kafka.admin import ConfigResource
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    future = kafka.admin.describe_configs([resource])[resource]
    return {name: entry.value for name, entry in future.result(30).items()}


def test_topics_are_created_compacted_and_records_are_keyed(run, own_kafka):
    program = simulated(run, own_kafka, "--partitions", "3")
    program.wait_log("topic flux.crypto.ticker was created")
    wait_for(lambda: len(tickers(own_kafka)) >= 30, 30)

    config = config_of(own_kafka, "flux.crypto.ticker")
    assert config["cleanup.policy"] == "compact"
    assert own_kafka._partitions("flux.crypto.ticker") == 3

    for record in tickers(own_kafka):
        value = json.loads(record.value)
        assert record.key.decode() == value["symbol"]
        assert value["source"] == "simulated"


def test_sigterm_flushes_everything_and_exits_0(run, own_kafka):
    program = simulated(run, own_kafka, "--no-movers", rate=1000)
    wait_for(lambda: topic_is_there(own_kafka)
             and len(tickers(own_kafka)) >= 500, 30)
    began = time.monotonic()
    assert program.stop() == 0
    assert time.monotonic() - began < 5

    beats = [json.loads(r.value) for r in records_of(own_kafka, "flux.producers")]
    assert beats[-1]["state"] == "stopped"
    # until Kafka was there, the newest of a key took the place of others
    assert beats[-1]["records"] - beats[-1]["kafka"]["replaced"] \
        == len(tickers(own_kafka))


def test_heartbeat_tells_how_it_is(run, own_kafka):
    simulated(run, own_kafka)
    wait_for(lambda: topic_is_there(own_kafka, "flux.producers")
             and len(records_of(own_kafka, "flux.producers")) >= 3, 30)

    record = records_of(own_kafka, "flux.producers")[-1]
    beat = json.loads(record.value)
    assert record.key == b"flux-crypto/test-1"
    assert beat["producer"] == "flux-crypto" and beat["instance"] == "test-1"
    assert beat["state"] == "simulated" and beat["last_success"] is None
    assert beat["records"] > 0 and beat["kafka"]["state"] == "up"
    assert abs(beat["time"] - time.time() * 1000) < 60000


def test_starts_without_kafka_and_delivers_the_newest_when_it_comes(
        run, own_kafka):
    own_kafka.stop()
    program = simulated(run, own_kafka, rate=200)
    time.sleep(2)       # 400 records of 10 keys are made meanwhile
    before = time.time() * 1000
    own_kafka.start()
    wait_for(lambda: topic_is_there(own_kafka)
             and len(tickers(own_kafka)) >= 50, 60)

    records = tickers(own_kafka)
    first = {r.key for r in records[:10]}
    assert len(first) == 10, "each key's newest goes out first"
    assert min(r.timestamp for r in records) >= before
    assert program.stop() == 0


@pytest.mark.parametrize("way", ["kill", "stop", "pause"])
def test_kafka_gone_and_back_loses_no_newest_record(run, own_kafka, way):
    program = simulated(run, own_kafka, rate=200)
    wait_for(lambda: topic_is_there(own_kafka)
             and len(tickers(own_kafka)) >= 100, 30)

    getattr(own_kafka, way)()
    program.wait_log("Kafka is away", 30)
    gone = time.time() * 1000
    time.sleep(1)

    if way == "pause":
        own_kafka.resume()
    else:
        own_kafka.start()

    wait_for(lambda: "Kafka is there" in program.err.split("away")[-1], 60)

    # the next heartbeat has to arrive, and fresh prices of every key
    def fresh():
        return {r.key for r in tickers(own_kafka)
                if r.timestamp > gone + 500}

    wait_for(lambda: len(fresh()) == 10, 30)
    assert program.stop() == 0

    # per key, time never runs backwards
    newest = {}
    for record in tickers(own_kafka):
        at = json.loads(record.value)["time"]
        assert at >= newest.get(record.key, ""), record
        newest[record.key] = at

    beat = json.loads(records_of(own_kafka, "flux.producers")[-1].value)
    assert beat["kafka"]["replaced"] > 0


def test_memory_stays_bounded_while_kafka_is_away(run):
    program = run("crypto", "--brokers", "127.0.0.1:9", "--provider",
                  "simulated", "--rate", "5000")

    def memory():
        text = open(f"/proc/{program.process.pid}/status").read()
        return int(text.split("VmRSS:")[1].split()[0])

    time.sleep(1.5)
    early = memory()
    time.sleep(3)
    assert memory() < early + 4096
    began = time.monotonic()
    assert program.stop() == 0
    assert time.monotonic() - began < 6
