"""Demand: rooms with readers are leased records, with a real Kafka."""

import json
import time

import pytest

from harness.process import wait_for


class Demand:
    """What stands in a demand topic, as a consumer sees it."""

    def __init__(self, kafka, topic):
        self.consumer = kafka.follow(topic)
        self.events = []            # (seen at, key, value or None)

    def poll(self, seconds=0.1):
        message = self.consumer.poll(seconds)
        if message is not None and message.error() is None:
            value = message.value()
            self.events.append((time.monotonic(), message.key().decode(),
                                value and json.loads(value)))

    @property
    def leases(self):
        return {key: value for _, key, value in self.events}

    def wait(self, condition, timeout=15):
        deadline = time.monotonic() + timeout
        while not condition(self):
            assert time.monotonic() < deadline, self.events
            self.poll()

    def wait_room(self, key, timeout=15):
        self.wait(lambda d: d.leases.get(key) is not None, timeout)
        return self.leases[key]

    def wait_gone(self, key, timeout=15):
        self.wait(lambda d: key in d.leases and d.leases[key] is None,
                  timeout)


def start(nginx, kafka, topic, demand, more="", workers=2, **settings):
    return nginx(kafka=kafka, workers=workers, http_conf=f"""
        flux_node  edge;
        flux_drain 1s;
        flux_feed w {{ topic {topic}; room key; demand {demand}; {more} }}
        """, server_conf="""
        location ~ ^/w/(?<city>.+)$ { flux_stream w/$city; }
        location /many { flux_stream w/a; flux_subscribe w/*; }
        """, **settings)


@pytest.fixture
def topics(kafka):
    return kafka.create_topic(), kafka.create_topic(compact=True)


def test_a_room_with_readers_is_a_leased_record(kafka, nginx, module, topics):
    n = start(nginx, kafka, *topics)
    d = Demand(kafka, topics[1])
    opened = time.monotonic()
    r = n.sse("/w/paris")
    lease = d.wait_room("edge/paris")
    assert d.events[0][0] - opened < 1.5
    assert set(lease) == {"node", "room", "readers", "expires"}
    assert (lease["node"], lease["room"], lease["readers"]) \
        == ("edge", "paris", 1)
    assert 55000 < lease["expires"] - time.time() * 1000 < 61000
    r.close()
    left = time.monotonic()
    d.wait_gone("edge/paris")
    assert d.events[-1][0] - left < 10.5
    assert [e[1] for e in d.events] == ["edge/paris"] * 2


def test_names_of_rooms_are_given_as_they_are(kafka, nginx, module, topics):
    n = start(nginx, kafka, *topics, workers=1)
    d = Demand(kafka, topics[1])
    w = n.ws("/many")
    name = 'a "b"\\c/\u00e9'
    w.subscribe("w/" + name)
    assert d.wait_room("edge/" + name)["room"] == name
    assert d.wait_room("edge/a")["room"] == "a"
    w.unsubscribe("w/" + name)
    d.wait_gone("edge/" + name)
    assert d.leases["edge/a"] is not None


@pytest.mark.slow
def test_a_lease_is_renewed_with_the_count_over_all_workers(
        kafka, nginx, module, topics):
    n = start(nginx, kafka, *topics)
    d = Demand(kafka, topics[1])
    readers = [n.sse("/w/rome")]
    d.wait_room("edge/rome")
    while len({n.worker_of(r) for r in readers}) < 2:
        readers += [n.sse("/w/rome") for _ in range(5)]
        assert len(readers) < 200
    d.wait(lambda d: len(d.events) == 2, 25)
    first, second = d.events
    assert 17 < second[0] - first[0] < 23
    assert second[2]["readers"] == len(readers)
    assert second[2]["expires"] - first[2]["expires"] > 17000


def test_a_poll_that_is_answered_at_once_counts(kafka, nginx, module, topics):
    n = start(nginx, kafka, *topics)
    d = Demand(kafka, topics[1])
    n.poll("/w/oslo")
    assert d.wait_room("edge/oslo")["readers"] == 1
    d.wait_gone("edge/oslo")


def test_a_feed_of_one_room_has_its_name(kafka, nginx, module, topics):
    n = nginx(kafka=kafka, http_conf=f"""
        flux_node "n 1";
        flux_feed one {{ topic {topics[0]}; demand {topics[1]}; }}""",
              server_conf="location / { flux_stream one; }")
    d = Demand(kafka, topics[1])
    n.sse("/")
    assert d.wait_room("n 1/one")["room"] == "one"


def test_a_reader_that_comes_back_soon_is_no_event(
        kafka, nginx, module, topics):
    n = start(nginx, kafka, *topics)
    d = Demand(kafka, topics[1])
    r = n.sse("/w/bonn")
    d.wait_room("edge/bonn")
    for _ in range(5):
        r.close()
        r = n.sse("/w/bonn")
        r.wait_snapshot("w/bonn")
        d.poll(0.5)
    assert len(d.events) == 1


def test_a_reload_keeps_rooms_that_have_readers(kafka, nginx, module, topics):
    n = start(nginx, kafka, *topics)
    d = Demand(kafka, topics[1])
    stays, goes = n.sse("/w/stays"), n.sse("/w/goes")
    d.wait_room("edge/stays")
    d.wait_room("edge/goes")
    n.reload()
    stays.wait_closed()
    again = n.again(stays)
    goes.close()
    n.wait_old_workers_gone()
    d.wait_gone("edge/goes")
    assert all(value is not None for _, key, value in d.events
               if key == "edge/stays")
    again.close()
    d.wait_gone("edge/stays")


@pytest.mark.parametrize("how", ["quit", "terminate"])
def test_at_the_end_tombstones_are_sent(kafka, nginx, module, topics, how):
    n = start(nginx, kafka, *topics)
    d = Demand(kafka, topics[1])
    n.sse("/w/a"), n.sse("/w/b")
    d.wait_room("edge/a")
    d.wait_room("edge/b")
    ended = time.monotonic()
    getattr(n, how)()
    d.wait_gone("edge/a")
    d.wait_gone("edge/b")
    assert d.events[-1][0] - ended < 5


def test_a_killed_worker_takes_its_readers_with_it(
        kafka, nginx, module, topics):
    n = start(nginx, kafka, *topics)
    d = Demand(kafka, topics[1])
    writer = n.writer
    readers = [n.sse("/w/r%d" % i) for i in range(12)]
    for i in range(12):
        d.wait_room("edge/r%d" % i)
    other = [i for i, r in enumerate(readers) if n.worker_of(r) != writer]
    if not other:
        pytest.skip("all readers came to one worker")
    n.kill([w for w in n.workers() if w != writer][0])
    for i in other:
        d.wait_gone("edge/r%d" % i)
    for i in set(range(12)) - set(other):
        assert d.leases["edge/r%d" % i] is not None


def test_a_killed_writer_is_followed_by_one_that_knows_the_leases(
        kafka, nginx, module, topics):
    n = start(nginx, kafka, *topics)
    d = Demand(kafka, topics[1])
    writer = n.writer
    readers = {}
    for i in range(12):
        r = readers["edge/r%d" % i] = n.sse("/w/r%d" % i)
        r.pid = n.worker_of(r)
    for key in readers:
        d.wait_room(key)
    n.kill(writer)
    lost = [key for key, r in readers.items() if r.pid == writer]
    for key in lost:
        d.wait_gone(key)
    for key, r in readers.items():
        if r.pid != writer:
            assert d.leases[key] is not None


def test_a_topic_that_is_missing_is_made_compacted(own_kafka, nginx, module):
    topic = own_kafka.create_topic()
    n = start(nginx, own_kafka, topic, "made.by.flux")
    n.wait_log('made demand topic "made.by.flux"', 30)
    d = Demand(own_kafka, "made.by.flux")
    n.sse("/w/x")
    d.wait_room("edge/x")
    from confluent_kafka.admin import ConfigResource
    resource = ConfigResource(ConfigResource.Type.TOPIC, "made.by.flux")
    config = own_kafka.admin.describe_configs([resource])[resource].result()
    assert config["cleanup.policy"].value == "compact"


def test_demand_is_written_once_kafka_is_there(own_kafka, nginx, module):
    topic, demand = own_kafka.create_topic(), own_kafka.create_topic()
    own_kafka.kill()
    n = start(nginx, own_kafka, topic, demand, ready=False)
    r = n.sse("/w/late")
    wait_for(lambda: n.status()["clusters"]["main"]["state"] == "down", 30)
    own_kafka.start()
    wait_for(lambda: any(x.key == b"edge/late"
                         for x in own_kafka.records(demand)), 60)
    own_kafka.kill()
    r.close()
    wait_for(lambda: n.status()["clusters"]["main"]["state"] == "down", 30)
    own_kafka.start()
    wait_for(lambda: [x.value for x in own_kafka.records(demand)][-1] is None,
             60)


def test_a_full_table_is_told_once(kafka, nginx, module, topics):
    n = start(nginx, kafka, *topics, zone="1m", workers=1)
    d = Demand(kafka, topics[1])
    w = n.ws("/many")
    for i in range(200):
        w.subscribe("w/r%d" % i)
    n.wait_log("no place for demand of more than")
    d.wait_room("edge/a")
    w.drop()
    d.wait_gone("edge/a")
    r = n.sse("/w/new")
    d.wait_room("edge/new")
    assert n.error_log.count("no place for demand") == 1
    r.close()


def test_a_room_that_found_no_place_gets_one_later(kafka, nginx, module,
                                                   topics):
    """Its readers are there, and no other comes."""
    n = start(nginx, kafka, *topics, zone="1m", workers=1)
    d = Demand(kafka, topics[1])
    many = [n.ws("/many", room=[f"w/{i}.{k}" for k in range(100)])
            for i in range(2)]
    n.wait_log("no place for demand of more than")
    late = n.sse("/w/late")
    late.wait_snapshot("w/late")
    d.wait_room("edge/0.0")
    assert "edge/late" not in d.leases
    for w in many:
        w.drop()
    d.wait_room("edge/late", 20)
    late.close()
    d.wait_gone("edge/late", 20)


def test_rooms_that_find_no_place_are_counted_and_told_seldom(
        kafka, nginx, module, topics):
    n = start(nginx, kafka, *topics, zone="1m", workers=1)
    w = n.ws("/many")
    # a zone of 1m has 117 places: of each room for its readers and its lease
    w.subscribe(*(f"w/r{i}" for i in range(40)))
    wait_for(lambda: len(w.rooms) == 41, 10)
    assert n.status()["demand"] == {"refused": 0}
    for i in range(4):
        other = n.ws("/many", room=[f"w/{i}.{k}" for k in range(50)])
        wait_for(lambda: len(other.rooms) == 51, 10)
    refused = n.status()["demand"]["refused"]
    assert refused >= 240 - 117
    assert n.metrics()["flux_demand_refused_total"] >= refused
    assert n.error_log.count("no place for demand") == 1
    n.reload()
    assert n.metrics()["flux_demand_refused_total"] >= refused
