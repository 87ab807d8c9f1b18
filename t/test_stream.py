"""Snapshot, stream and resume: the promises a reader lives by."""

import json

import pytest

from harness.process import wait_for


def feed(topic, more=""):
    return f"flux_feed f {{ topic {topic}; {more} }}"


LIVE = "location = /live { flux_stream f; }"


@pytest.fixture(params=["sse", "ws"])
def transport(request):
    return request.param


def reader(n, transport, path="/live", **kw):
    return getattr(n, transport)(path, **kw)


def test_a_newcomer_gets_the_snapshot_then_updates_and_deletes(
        kafka, nginx, module, transport):
    topic = kafka.create_topic()
    kafka.send(topic, {"n": 1}, key="a")
    kafka.send(topic, {"n": 2}, key="b")
    n = nginx(kafka=kafka, http_conf=feed(topic), server_conf=LIVE)
    r = reader(n, transport)
    r.wait_snapshot("f")
    assert r.rooms["f"].values == {"a": {"n": 1}, "b": {"n": 2}}
    assert r.rooms["f"].complete is True
    kafka.send(topic, {"n": 3}, key="a")
    r.wait_value("f", "a", {"n": 3})
    kafka.send(topic, None, key="b")
    r.wait_type("delete")
    assert r.rooms["f"].values == {"a": {"n": 3}}
    assert r.cursor
