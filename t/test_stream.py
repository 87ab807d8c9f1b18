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


def test_a_cursor_is_understood_while_a_partition_has_no_record_yet(
        kafka, nginx, module):
    topic = kafka.create_topic(partitions=2)
    n = nginx(kafka=kafka, http_conf=f"flux_feed f {{ topic {topic}; }}",
              server_conf="location = /f { flux_stream f; }")
    empty = n.poll("/f").cursor
    kafka.send(topic, {"n": 1}, key="a", partition=0)
    one = n.poll("/f", cursor=empty, wait="10s")
    kafka.send(topic, {"n": 2}, key="b", partition=1)
    two = n.poll("/f", cursor=one.cursor, wait="10s")
    again = n.poll("/f", cursor=empty)

    for answer, expected in ((one, [1]), (two, [2]), (again, [1, 2])):
        assert [m["type"] for m in answer.messages] \
            == ["update"] * len(expected)
        assert sorted(m["data"]["n"] for m in answer.messages) == expected


def test_streams_with_nginx_telling_all_it_does(kafka, nginx, module):
    topic = kafka.create_topic()
    kafka.send(topic, {"n": 1}, key="a")
    n = nginx(kafka=kafka, log_level="debug",
              http_conf=f"flux_feed f {{ topic {topic}; stale 2s; }}",
              server_conf="location = /live { flux_stream f; }")
    r = n.sse("/live")
    assert r.wait_snapshot("f").values == {"a": {"n": 1}}
    kafka.send(topic, {"n": 2}, key="a")
    r.wait_value("f", "a", {"n": 2})
