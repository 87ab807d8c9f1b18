"""Readers over a reload and an end."""

import time

import pytest

from harness.process import wait_for

LIVE = "location = /live { flux_stream f; }"


@pytest.mark.parametrize("transport", ["sse", "ws"])
def test_a_reload_ends_readers_with_a_reason_and_a_cursor_that_goes_on(
        kafka, nginx, module, transport):
    topic = kafka.create_topic()
    kafka.send(topic, {"n": 1}, key="a")
    n = nginx(kafka=kafka, server_conf=LIVE,
              http_conf=f"flux_drain 1s; flux_feed f {{ topic {topic}; }}")
    readers = [getattr(n, transport)("/live") for _ in range(20)]
    for r in readers:
        r.wait_snapshot("f")
    began = time.monotonic()
    n.reload()
    for r in readers:
        r.wait_closed()
        end = r.of_type("end")
        assert [m["reason"] for m in end] == ["reload"]
        assert end[0]["retry"] > 0
        if transport == "ws":
            assert r.close_code == 1012
    assert time.monotonic() - began < 5
    kafka.send(topic, {"n": 2}, key="a")
    again = n.again(readers[0])
    again.wait_value("f", "a", {"n": 2})
    assert not again.of_type("snapshot")
    n.wait_old_workers_gone()
    assert n.status()["ended"]["reload"] == 20


def test_a_quit_ends_readers_with_quit(kafka, nginx, module):
    topic = kafka.create_topic()
    n = nginx(kafka=kafka, server_conf=LIVE,
              http_conf=f"flux_drain 200ms; flux_feed f {{ topic {topic}; }}")
    a, b = n.sse("/live"), n.ws("/live")
    a.wait_snapshot("f")
    b.wait_snapshot("f")
    n.quit()
    a.wait_closed()
    b.wait_closed()
    assert a.of_type("end")[0]["reason"] == "quit"
    assert b.of_type("end")[0]["reason"] == "quit"
    assert b.close_code == 1001


def test_readers_follow_a_binary_upgrade_without_gap_or_repeat(
        kafka, nginx, module):
    topic = kafka.create_topic()
    n = nginx(kafka=kafka, server_conf=LIVE,
              http_conf=f"flux_drain 200ms; flux_feed f {{ topic {topic}; }}")
    kafka.send(topic, {"n": 0}, key="a")
    r = n.ws("/live")
    r.wait_value("f", "a", {"n": 0})
    n.upgrade()
    r.wait_closed()
    assert r.of_type("end")[0]["reason"] in ("reload", "quit")
    kafka.send(topic, {"n": 1}, key="a")
    again = n.again(r)
    again.wait_value("f", "a", {"n": 1})
    assert again.data("f", "a") == [{"n": 1}]
    assert not again.of_type("reset")


def test_worker_shutdown_timeout_cuts_what_a_long_drain_leaves(
        kafka, nginx, module):
    topic = kafka.create_topic()
    n = nginx(kafka=kafka, server_conf=LIVE,
              main_conf="worker_shutdown_timeout 500ms;",
              http_conf=f"flux_drain 60s; flux_feed f {{ topic {topic}; }}")
    readers = [n.sse("/live") for _ in range(5)]
    for r in readers:
        r.wait_snapshot("f")
    old = n.workers()
    n.reload()
    for r in readers:
        r.wait_closed()
    n.wait_old_workers_gone()
    assert not set(old) & set(n.workers())
