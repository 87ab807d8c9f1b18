"""A real Apache Kafka of one node, and what tests do with one."""

import base64
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections import namedtuple
from pathlib import Path

from confluent_kafka import (
    OFFSET_BEGINNING, Consumer, KafkaException, Producer,
    TopicPartition)
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from .process import ROOT, free_port, spawn, stop, wait_for

Record = namedtuple("Record",
                    "topic partition offset key value headers timestamp")

TOOL = ROOT / "tools" / "kafka"

# A killed broker is let in again when its old session is over: 9 s else.
PROPERTIES = {"broker_session_timeout_ms": 2000,
              "broker_heartbeat_interval_ms": 500}


def encode(value):
    """Bytes and text as they are, None (a tombstone) too, the rest as JSON."""
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    return json.dumps(value, separators=(",", ":")).encode()


class Kafka:
    """One broker with a data directory and a port of its own."""

    def __init__(self, **properties):
        self.directory = Path(tempfile.mkdtemp(prefix="flux-kafka-"))
        self.port = free_port()
        self.controller_port = free_port()
        self.brokers = f"127.0.0.1:{self.port}"
        self.properties = {**PROPERTIES, **properties}
        self.environment = {}
        self.replicas = 1
        self.process = None
        self._producer = None
        self._admin = None
        self._failed = []

    # the process

    def start(self, wait=True):
        properties = "\n".join(f"{k.replace('_', '.')}={v}"
                               for k, v in self.properties.items())
        self.process = spawn(
            [TOOL, "run", self.directory, self.port],
            env={**os.environ, "KAFKA_PROPERTIES": properties,
                 "KAFKA_CONTROLLER_PORT": str(self.controller_port),
                 **self.environment})
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self):
        ready = subprocess.run([TOOL, "ready", str(self.port)],
                               capture_output=True, text=True)
        assert ready.returncode == 0, ready.stderr + self.log

    def stop(self):
        """SIGTERM: a clean end."""
        stop(self.process, signal.SIGTERM, timeout=30)

    def kill(self):
        """SIGKILL: a crash."""
        self.process.kill()
        self.process.wait()

    def pause(self):
        """SIGSTOP: connections stay, nothing is answered."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def wipe(self):
        """Stops it and forgets everything: the next start is another cluster
        on the same port."""
        self.stop()
        self._forget_clients()
        shutil.rmtree(self.directory / "data", ignore_errors=True)

    def close(self):
        self._forget_clients()
        if self.process is not None:
            if self.process.poll() is None:
                self.resume()
            self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def log(self):
        try:
            return (self.directory / "log").read_text(errors="replace")
        except OSError:
            return ""

    # topics

    @property
    def admin(self):
        if self._admin is None:
            self._admin = AdminClient({"bootstrap.servers": self.brokers,
                                       "log_level": 0})
        return self._admin

    def create_topic(self, name=None, partitions=1, config=None,
                     compact=False, replicas=None, assignment=None):
        """Creates a topic, waits until it has leaders, returns its name (a
        new one when none is given).  assignment: the brokers of each
        partition."""
        name = name or f"t-{uuid.uuid4().hex[:8]}"
        config = {**({"cleanup.policy": "compact"} if compact else {}),
                  **(config or {})}
        partitions = len(assignment) if assignment else partitions
        where = {"replica_assignment": assignment} if assignment \
            else {"replication_factor": replicas or self.replicas}
        topic = NewTopic(name, partitions, **where,
                         config={k: str(v) for k, v in config.items()})
        self.admin.create_topics([topic])[name].result(30)
        wait_for(lambda: self._partitions(name) == partitions, 30,
                 f"the topic {name} has its leaders")
        return name

    def delete_topic(self, name):
        self.admin.delete_topics([name])[name].result(30)
        wait_for(lambda: self._partitions(name) == 0, 30,
                 f"the topic {name} is gone")
        # a producer goes on with what it knew of the topic
        self._drop_producer()

    def add_partitions(self, name, total):
        from confluent_kafka.admin import NewPartitions
        self.admin.create_partitions(
            [NewPartitions(name, total)])[name].result(30)
        wait_for(lambda: self._partitions(name) == total, 30)
        self._drop_producer()

    def delete_records(self, topic, before, partition=0):
        """What retention does: the log then starts at offset before."""
        where = TopicPartition(topic, partition, before)
        for future in self.admin.delete_records([where]).values():
            future.result(30)

    def _partitions(self, name):
        topics = self.admin.list_topics(timeout=10).topics
        if name not in topics:
            return 0
        return sum(p.leader >= 0 for p in topics[name].partitions.values())

    # records

    def produce(self, topic, value, key=None, headers=None, partition=None,
                timestamp=None):
        """Queues one record; flush() waits for the acknowledgement."""
        options = {}
        if headers is not None:
            options["headers"] = headers
        if partition is not None:
            options["partition"] = partition
        if timestamp is not None:
            options["timestamp"] = timestamp

        delivered = []

        def done(error, message):
            if error is not None:
                self._failed.append(error)
            delivered.append(message)

        while True:
            try:
                self.producer.produce(topic, encode(value), encode(key),
                                      on_delivery=done, **options)
                break
            except BufferError:
                self.producer.poll(0.1)

        self.producer.poll(0)
        return delivered

    def flush(self, timeout=30):
        left = self.producer.flush(timeout)
        failed, self._failed = self._failed, []
        assert not left and not failed, f"{left} not sent, failed: {failed}"

    def send(self, topic, value, key=None, **options):
        """Produces one record and returns its (partition, offset)."""
        delivered = self.produce(topic, value, key, **options)
        self.flush()
        return delivered[0].partition(), delivered[0].offset()

    @property
    def producer(self):
        if self._producer is None:
            self._producer = Producer({
                "bootstrap.servers": self.brokers, "acks": "all",
                "linger.ms": 1, "log_level": 0})
        return self._producer

    def end_offsets(self, topic):
        """{partition: next offset}"""
        count = len(self.admin.list_topics(topic, timeout=10)
                    .topics[topic].partitions)
        asked = {TopicPartition(topic, p): OffsetSpec.latest()
                 for p in range(count)}
        return {where.partition: future.result(30).offset for where, future
                in self.admin.list_offsets(asked).items()}

    def records(self, topic, timeout=30):
        """All records of a topic as a consumer of its own sees them."""
        ends = self.end_offsets(topic)
        consumer = Consumer({
            "bootstrap.servers": self.brokers, "group.id": "flux-test",
            "enable.auto.commit": False, "enable.partition.eof": True,
            "log_level": 0})
        try:
            consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING)
                             for p in ends])
            return self._read_until(consumer, ends, timeout)
        finally:
            consumer.close()

    @staticmethod
    def _read_until(consumer, ends, timeout):
        records = []
        open_partitions = {p for p, end in ends.items() if end > 0}
        deadline = time.monotonic() + timeout

        while open_partitions:
            assert time.monotonic() < deadline, "the topic cannot be read"
            message = consumer.poll(1)
            if message is None:        # a tombstone is falsy, not None
                continue
            if message.error():
                if message.error().name() == "_PARTITION_EOF":
                    open_partitions.discard(message.partition())
                    continue
                raise KafkaException(message.error())
            records.append(Record(
                message.topic(), message.partition(), message.offset(),
                message.key(), message.value(), message.headers() or [],
                message.timestamp()[1]))

        return records

    def newest(self, topic, retain=1):
        """{key: its newest records, oldest first}, tombstones applied."""
        newest = {}
        for record in self.records(topic):
            key = (record.key or b"").decode()
            if record.value is None:
                newest.pop(key, None)
                continue
            newest[key] = (newest.get(key, []) + [record])[-retain:]
        return newest

    def follow(self, topic):
        """A consumer that stands at the end of the topic: what comes from
        now on is returned by its poll()."""
        consumer = Consumer({
            "bootstrap.servers": self.brokers, "group.id": "flux-test",
            "enable.auto.commit": False, "log_level": 0})
        consumer.assign([TopicPartition(topic, p, end)
                         for p, end in self.end_offsets(topic).items()])
        return consumer

    # clients

    def _drop_producer(self):
        if self._producer is not None:
            self._producer.flush(5)
            self._producer = None

    def _forget_clients(self):
        self._producer = None
        self._admin = None
        self._failed = []


class Cluster(Kafka):
    """Several brokers; the first is the controller and is not to be lost.

    cluster.nodes are the brokers, each a Kafka with an id; what is done to
    topics and records is done to the cluster.
    """

    def __init__(self, brokers=3, **properties):
        super().__init__(**properties)
        self.replicas = brokers
        self.nodes = [self]
        self.id = 1
        self.environment = {
            "KAFKA_CLUSTER_ID":
                base64.urlsafe_b64encode(os.urandom(16)).decode()[:22]}

        for number in range(2, brokers + 1):
            node = Kafka(**properties, **{
                "process_roles": "broker", "node_id": number,
                "controller_quorum_voters":
                    f"1@127.0.0.1:{self.controller_port}"})
            node.properties["listeners"] = f"PLAINTEXT://{node.brokers}"
            node.id = number
            node.environment = {**self.environment,
                                "KAFKA_NODE_ID": str(number)}
            self.nodes.append(node)

        self.brokers = ",".join(node.brokers for node in self.nodes)

    def start(self, wait=True):
        for node in self.nodes:
            Kafka.start(node, wait=False)
        if wait:
            for node in self.nodes:
                node.wait_ready()
            wait_for(lambda: len(self.admin.list_topics(timeout=10).brokers)
                     == len(self.nodes), 60, "all brokers are there")
        return self

    def close(self):
        for node in self.nodes[1:]:
            node.close()
        super().close()

    def leaders(self, topic):
        """{partition: its leader's id, -1 when it has none}"""
        partitions = self.admin.list_topics(topic, timeout=10) \
            .topics[topic].partitions
        return {number: p.leader for number, p in partitions.items()}
