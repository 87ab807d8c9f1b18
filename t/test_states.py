"""Stale, down and live: readers are told, each of its own rooms only."""

import time

import pytest

LIVE = "location = /live { flux_stream f; }"


def states(r, room="f"):
    return [m["state"] for m in r.of_type("status") if m["room"] == room]


@pytest.mark.parametrize("transport", ["sse", "ws"])
def test_a_room_without_records_becomes_stale_and_live_again(
        kafka, nginx, module, transport):
    topic = kafka.create_topic()
    n = nginx(kafka=kafka, server_conf=LIVE,
              http_conf=f"flux_feed f {{ topic {topic}; stale 2s; }}")
    kafka.send(topic, {"n": 1}, key="a")
    r = getattr(n, transport)("/live")
    r.wait(lambda _: states(r) == ["stale"], 10)
    kafka.send(topic, {"n": 2}, key="a")
    r.wait(lambda _: states(r) == ["stale", "live"], 10)
    r.wait(lambda _: states(r) == ["stale", "live", "stale"], 10)
    late = getattr(n, transport)("/live")
    late.wait(lambda _: states(late) == ["stale"], 5)
    body = n.poll("/live").json()
    assert [m["state"] for m in body if m["type"] == "status"] == ["stale"]


def test_a_resumed_reader_is_told_the_states_of_many_rooms(kafka, nginx,
                                                           module):
    """More text than may wait for a client that does not read."""
    topic = kafka.create_topic()
    rooms = [f"f/{i:03}{'x' * 240}" for i in range(256)]
    n = nginx(kafka=kafka, server_conf=f"""
              location = /live {{ flux_stream {' '.join(rooms)}; }}""",
              http_conf=f"flux_feed f {{ topic {topic}; room key; stale 1s; }}")
    for room in rooms:
        kafka.produce(topic, "1", key=room[2:])
    kafka.flush()
    for transport in (n.sse, n.ws):
        first = transport("/live")
        first.wait(lambda r: len(r.of_type("status")) >= 256, 15)
        first.close()
        again = transport("/live", cursor=first.cursor)
        again.wait(lambda r: {m["room"] for m in r.of_type("status")}
                   == set(rooms), 10)
        assert again.of_type("snapshot") == []


def test_kafka_down_is_told_to_all_and_when_it_is_back(own_kafka, nginx,
                                                       module):
    topic = own_kafka.create_topic()
    own_kafka.send(topic, {"n": 1}, key="a")
    n = nginx(kafka=own_kafka, server_conf=LIVE,
              http_conf=f"flux_feed f {{ topic {topic}; }}")
    r = n.sse("/live")
    r.wait_snapshot("f")
    own_kafka.kill()
    r.wait(lambda _: states(r) == ["down"], 20)
    assert r.of_type("status")[0]["since"] > 1e12
    late = n.ws("/live")
    late.wait(lambda _: states(late) == ["down"], 5)
    assert late.rooms["f"].values == {"a": {"n": 1}}
    own_kafka.start()
    r.wait(lambda _: states(r) == ["down", "live"], 30)
    own_kafka.send(topic, {"n": 2}, key="a")
    r.wait_value("f", "a", {"n": 2})
    late.wait_value("f", "a", {"n": 2})
