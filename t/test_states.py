"""Stale, down and live: readers are told, each of its own rooms only."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.process import wait_for

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


def told(answer, room="f"):
    return [m["state"] for m in answer.messages
            if m["type"] == "status" and m["room"] == room]


def test_a_poll_is_told_of_what_changed_while_its_client_was_away(
        kafka, nginx, module):
    """With each answer: it names all rooms that are not live."""
    topic = kafka.create_topic()
    conf = f"flux_feed f {{ topic {topic}; stale 2s; }}"
    n = nginx(kafka=kafka, server_conf=LIVE, http_conf=conf)
    kafka.send(topic, {"n": 1}, key="a")
    watch = n.sse("/live")
    watch.wait_value("f", "a", {"n": 1})
    before = n.poll("/live")
    assert told(before) == []
    watch.wait(lambda _: states(watch) == ["stale"], 10)

    for _ in range(2):
        stale = n.poll("/live", cursor=before.cursor, wait="1s")
        assert told(stale) == ["stale"] and len(stale.messages) == 1
        assert stale.cursor == before.cursor and stale.took > 0.9

    # what makes it live says so to who waits
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(n.poll, "/live", cursor=stale.cursor,
                              wait="20s")
        wait_for(lambda: n.status()["feeds"]["f"]["readers"] == 2, 5,
                 "it waits")
        kafka.send(topic, {"n": 2}, key="a")
        live = waiting.result()
    assert [m["type"] for m in live.messages] == ["update", "status"]
    assert told(live) == ["live"]

    # and at a node that nobody else reads from
    watch.wait(lambda _: len(states(watch)) == 3, 10)
    other = nginx(kafka=kafka, server_conf=LIVE, http_conf=conf)
    assert told(other.poll("/live", cursor=live.cursor, wait="1s")) \
        == ["stale"]


def test_each_answer_to_a_poll_names_a_room_once(kafka, nginx, module):
    one, two = kafka.create_topic(), kafka.create_topic()
    n = nginx(kafka=kafka, http_conf=f"flux_feed f {{ topic {one}; stale 3s; }}"
              f"flux_feed g {{ topic {two}; stale 1s; }}",
              server_conf="location = /live { flux_stream f;"
              " flux_subscribe g; }")
    kafka.send(one, {"n": "{"}, key="a")
    kafka.send(two, {"n": "{"}, key="a")
    answers = [n.poll("/live", room="g")]
    while "stale" not in told(answers[-1]):
        answers.append(n.poll("/live", room="g", wait="10s",
                              cursor=answers[-1].cursor))
    assert told(answers[-1], "g") == ["stale"]
    assert len(answers[-1].messages) == 2

    alone = n.poll("/live")
    assert told(alone) == ["stale"]
    more = n.poll("/live", room="g", cursor=alone.cursor, wait="10s")
    assert sorted(m["type"] for m in more.messages) \
        == ["snapshot", "status", "status"]
    assert told(more, "g") == told(more, "f") == ["stale"]


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


def test_a_worker_that_was_lapped_knows_how_old_its_rooms_are(
        kafka, nginx, module):
    topic = kafka.create_topic()
    n = nginx(kafka=kafka, server_conf="location = /live { flux_stream f/a; }",
              listen="reuseport", zone="1m", http_conf=f"""
              flux_feed f {{ topic {topic}; room header:room; stale 4s; }}""")
    room = [("room", b"a")]
    kafka.send(topic, {"n": 1}, key="a", headers=room)
    begun = time.monotonic()
    while True:
        r = n.sse("/live")
        r.wait_value("f/a", "a", {"n": 1})
        if n.worker_of(r) != n.writer:
            break
    worker = n.worker_of(r)
    os.kill(worker, signal.SIGSTOP)
    try:
        time.sleep(max(0, begun + 2 - time.monotonic()))    # it ages
        kafka.send(topic, {"n": 2}, key="a", headers=room)
        newest = kafka.records(topic)[-1].timestamp
        for i in range(300):
            kafka.produce(topic, {"n": i, "p": "x" * 10000}, key=f"{i % 9}",
                          headers=[("room", b"b")])
        kafka.flush()
    finally:
        os.kill(worker, signal.SIGCONT)
    n.wait_log("flux log went around before this worker read it")
    r.wait_value("f/a", "a", {"n": 2})
    r.wait(lambda _: states(r, "f/a"), 10)
    [message] = r.of_type("status")
    assert message["state"] == "stale" and message["since"] >= newest + 4000


@pytest.mark.parametrize("transport", ["sse", "ws"])
def test_who_resumes_in_an_empty_room_is_told_that_it_is_stale(
        kafka, nginx, module, transport):
    """Also when nobody else reads it: its state is looked at for him."""
    n = nginx(kafka=kafka, server_conf=LIVE, workers=1,
              http_conf=f"flux_feed f {{ topic {kafka.create_topic()};"
              " stale 1s; }")
    r = getattr(n, transport)("/live")
    r.wait(lambda _: states(r) == ["stale"], 10)
    r.close()
    wait_for(lambda: n.status()["feeds"]["f"]["readers"] == 0, 5, "gone")
    r = r.again()
    r.wait(lambda _: states(r) == ["stale"], 5)


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
