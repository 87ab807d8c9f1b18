"""A cluster of three brokers that loses one, and partitions without one."""

import pytest

from harness.load import Load, check_exactly_once, check_no_reset, truth
from harness.process import wait_for

LIVE = "location = /live { flux_stream f; }"
ROOMS = "location ~ ^/live/(.+)$ { flux_stream f/$1; }"


def states(reader):
    return [m["state"] for m in reader.of_type("status")]


def errors(n, name="f"):
    return {p["partition"]: p["error"]
            for p in n.status()["feeds"][name]["partitions"]}


@pytest.mark.slow
def test_one_broker_of_three_costs_nothing_where_there_are_replicas(
        own_cluster, nginx, module):
    kafka = own_cluster
    topic = kafka.create_topic(assignment=[[1, 2, 3], [2, 3, 1], [3, 1, 2]])
    n = nginx(kafka=kafka, http_conf=f"flux_feed f {{ topic {topic}; }}",
              server_conf=LIVE)
    reader = n.sse("/live")
    reader.wait_snapshot("f")
    with Load(kafka, topic, 200) as load:
        load.wait(100)
        kafka.nodes[2].kill()
        wait_for(lambda: 3 not in kafka.leaders(topic).values(), 30,
                 "another broker leads")
        load.wait(400, timeout=40)
    records = truth(kafka, topic)
    reader.wait_updates(len(records), timeout=30)
    check_no_reset(reader.messages)
    check_exactly_once(records, reader.messages)
    wait_for(lambda: set(errors(n).values()) == {None}, 20,
             "every partition is read")
    assert n.status()["clusters"]["main"]["state"] == "up"
    kafka.nodes[2].start()
    late = n.again(reader)
    kafka.send(topic, {"n": 10**6}, key="last")
    late.wait_value("f", "last", {"n": 10**6}, timeout=20)
    check_no_reset(late.messages)


@pytest.mark.slow
def test_one_broker_of_three_takes_only_its_own_partitions_rooms(
        own_cluster, nginx, module):
    kafka = own_cluster
    topic = kafka.create_topic(assignment=[[1], [2], [3]])
    n = nginx(kafka=kafka, server_conf=ROOMS,
              http_conf=f"flux_feed f {{ topic {topic}; room key; }}")
    readers = [n.sse(f"/live/r{i}") for i in range(3)]
    for i, reader in enumerate(readers):
        kafka.send(topic, {"n": 0}, key=f"r{i}", partition=i)
        reader.wait_value(f"f/r{i}", f"r{i}", {"n": 0})

    kafka.nodes[2].kill()
    poll = n.ws("/live/r2")
    readers[2].wait(lambda s: states(s) == ["down"], 30)
    poll.wait(lambda s: states(s) == ["down"], 10)
    assert poll.rooms["f/r2"].values == {"r2": {"n": 0}}
    for i in range(2):
        kafka.send(topic, {"n": 1}, key=f"r{i}", partition=i)
        readers[i].wait_value(f"f/r{i}", f"r{i}", {"n": 1})
        assert states(readers[i]) == []
    found = errors(n)
    assert found[2] and not found[0] and not found[1]
    assert n.status()["clusters"]["main"]["state"] == "up"

    # an nginx that starts now is complete for all but that partition
    two = nginx(kafka=kafka, server_conf=ROOMS, ready=False,
                http_conf=f"flux_feed f {{ topic {topic}; room key; }}")
    fresh = two.sse("/live/r0")
    fresh.wait(lambda s: "f/r0" in s.rooms
               and s.rooms["f/r0"].values == {"r0": {"n": 1}}, 15)
    assert two.status()["feeds"]["f"]["ready"] is False

    kafka.nodes[2].start()
    readers[2].wait(lambda s: states(s) == ["down", "live"], 30)
    wait_for(lambda: kafka.leaders(topic)[2] == 3, 20)
    kafka.send(topic, {"n": 2}, key="r2", partition=2)
    readers[2].wait_value("f/r2", "r2", {"n": 2})
    assert readers[2].data() == [{"n": 0}, {"n": 2}] \
        or readers[2].data() == [{"n": 2}]
    two.wait_ready()
    for reader in readers:
        check_no_reset(reader.messages)


@pytest.mark.slow
def test_a_broker_that_is_the_only_address_given_may_go(
        own_cluster, nginx, module):
    kafka = own_cluster
    topic = kafka.create_topic(assignment=[[1, 2]])
    n = nginx(brokers=kafka.nodes[1].brokers, server_conf=LIVE,
              http_conf=f"flux_feed f {{ topic {topic}; }}")
    reader = n.sse("/live")
    reader.wait_snapshot("f")
    kafka.nodes[1].kill()
    kafka.send(topic, {"n": 1}, key="k")
    reader.wait_value("f", "k", {"n": 1}, timeout=30)
    assert n.status()["clusters"]["main"]["state"] == "up"


@pytest.mark.slow
def test_a_partition_that_is_away_at_a_cold_start_is_told_once_when_it_is_back(
        own_cluster, nginx, module):
    kafka = own_cluster
    topic = kafka.create_topic(assignment=[[1], [2], [3]])
    settings = dict(kafka=kafka, server_conf=LIVE,
                    http_conf=f"flux_feed f {{ topic {topic}; }}")
    for i in range(12):
        kafka.send(topic, {"n": i}, key=f"k{i % 3}", partition=i % 3)
    first = nginx(**settings).sse("/live")
    first.wait(lambda s: len(s.rooms["f"].values) == 3 if "f" in s.rooms
               else False)
    first.close()
    kafka.nodes[2].kill()
    two = nginx(ready=False, **settings)
    reader = two.ws("/live", cursor=first.cursor)
    kafka.send(topic, {"n": 12}, key="k0", partition=0)
    reader.wait_value("f", "k0", {"n": 12}, timeout=30)
    again = two.again(reader)
    kafka.nodes[2].start()
    wait_for(lambda: set(errors(two).values()) == {None}, 40,
             "every partition is read")
    kafka.send(topic, {"n": 13}, key="k2", partition=2)
    for one, seen in (reader, [12, 13]), (again, [13]):
        one.wait_value("f", "k2", {"n": 13}, timeout=20)
        assert [d["n"] for d in one.data()] == seen
        check_no_reset(one.messages)
        assert not one.of_type("snapshot")
