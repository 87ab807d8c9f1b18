"""Keys, values, headers and pointers as producers write them; topics that
go, come back and forget, for readers that wait in a poll."""

import threading
import time

import pytest

from harness.load import check_no_reset, drop
from harness.process import wait_for

LIVE = "location = /live { flux_stream f; }"
ROOMS = "location ~ ^/live/(.+)$ { flux_stream f/$1; }"


def feed(topic, more=""):
    return f"flux_feed f {{ topic {topic}; {more} }}"


def skipped(n):
    return n.status()["feeds"]["f"]["skipped"]


class Poll(threading.Thread):
    """A poll that waits."""

    def __init__(self, n, cursor, wait="20s"):
        super().__init__(daemon=True)
        self.n, self.cursor, self.time = n, cursor, wait
        self.start()
        wait_for(lambda: n.status()["readers"]["poll"] >= 1, 5,
                 "the poll waits")

    def run(self):
        self.answer = self.n.poll("/live", cursor=self.cursor, wait=self.time)

    def result(self, timeout=20):
        self.join(timeout)
        assert not self.is_alive(), "the poll was not answered"
        return self.answer


# --- what producers write ------------------------------------------------------

@pytest.mark.parametrize("key", [b"\xff\xfe", b"a\xc3", b"\xed\xa0\x80",
                                 b"\xc0\xaf", b"\x00\x01\x1f"])
def test_a_key_of_any_bytes_is_a_key(kafka, nginx, module, key):
    topic = kafka.create_topic()
    n = nginx(kafka=kafka, http_conf=feed(topic), server_conf=LIVE)
    reader = n.sse("/live")
    reader.wait_snapshot("f")
    kafka.send(topic, {"n": 1}, key=key)
    kafka.send(topic, {"n": 2}, key="last")
    reader.wait_value("f", "last", {"n": 2})
    told = [m for m in reader.updates() if m["key"] != "last"]
    if told:                    # shown as well as JSON can, and as itself
        kafka.send(topic, None, key=key)
        assert reader.wait_type("delete", "f")["key"] == told[0]["key"]
        assert reader.rooms["f"].values == {"last": {"n": 2}}
    else:
        assert sum(skipped(n).values()) == 1


@pytest.mark.parametrize("name", [b"\xff\xfe", b"a\xc3", b"\xed\xa0\x80", b"",
                                  b"a\nb", b"x" * 256])
def test_a_header_that_names_no_room_is_counted(kafka, nginx, module, name):
    topic = kafka.create_topic()
    n = nginx(kafka=kafka, server_conf=ROOMS,
              http_conf=feed(topic, "room header:r;"))
    kafka.send(topic, {"n": 1}, key="k", headers=[("r", name)])
    kafka.send(topic, {"n": 2}, key="k", headers=[("other", b"one")])
    kafka.send(topic, {"n": 3}, key="k", headers=[("r", None)])
    kafka.send(topic, {"n": 4}, key="k",
               headers=[("x", b"two"), ("r", "\u00e4/b".encode())])
    reader = n.sse("/live/%C3%A4/b")
    reader.wait_value("f/\u00e4/b", "k", {"n": 4})
    assert skipped(n)["room"] == 3


@pytest.mark.parametrize("pointer,value,room", [
    ("/a~1b/m~0n", {"a/b": {"m~n": "one"}}, "one"),
    ("/list/1", {"list": ["zero", "one"]}, "one"),
    ("/", {"": "one"}, "one"),
    ("/n", {"n": 12}, None), ("/n", {"n": None}, None),
    ("/n", {"n": {"a": "one"}}, None), ("/n", [1], None),
    ("/n", {"n": ""}, None), ("/list/7", {"list": ["one"]}, None),
    ("/n", {"n": "a\u0000b"}, None)])
def test_a_pointer_finds_its_room_or_the_record_is_counted(
        kafka, nginx, module, pointer, value, room):
    topic = kafka.create_topic()
    n = nginx(kafka=kafka, server_conf=ROOMS,
              http_conf=feed(topic, f"room json:{pointer};"))
    kafka.send(topic, value, key="k")
    if room is not None:
        n.sse("/live/" + room).wait_value(f"f/{room}", "k", value)
        return
    wait_for(lambda: n.status()["feeds"]["f"]["partitions"][0]["offset"] == 1,
             10)
    # a number may be a room by its text; what has none is counted
    status = n.status()["feeds"]["f"]
    assert (status["rooms"], skipped(n)["room"]) in ((0, 1), (1, 0))
    if not isinstance(value, dict) or value.get("n") != 12:
        assert skipped(n)["room"] == 1


def test_empty_values_and_null_keys_harm_nobody(kafka, nginx, module):
    topic = kafka.create_topic()
    n = nginx(kafka=kafka, http_conf=feed(topic), server_conf=LIVE)
    reader = n.sse("/live")
    reader.wait_snapshot("f")
    kafka.send(topic, {"n": 1}, key="k")
    kafka.send(topic, b"", key="k")             # no tombstone: it is empty
    kafka.send(topic, b" \n", key="k")
    kafka.send(topic, b"\xff", key="k")
    kafka.send(topic, b'"\xc3"', key="k")
    kafka.send(topic, None, key="never was")
    kafka.send(topic, b"null", key=None)
    reader.wait(lambda s: "" in s.rooms["f"].values)
    assert reader.rooms["f"].values == {"k": {"n": 1}, "": None}
    assert skipped(n)["json"] == 4


# --- waiting polls --------------------------------------------------------------

def test_a_waiting_poll_is_told_that_its_topic_was_made_anew(
        kafka, nginx, module):
    topic = kafka.create_topic()
    kafka.send(topic, {"n": 1}, key="old")
    n = nginx(kafka=kafka, http_conf=feed(topic), server_conf=LIVE)
    first = n.poll("/live")
    poll = Poll(n, first.cursor)
    kafka.delete_topic(topic)
    kafka.create_topic(topic)
    kafka.send(topic, {"n": 2}, key="new")
    seen, cursor = [], first.cursor
    answer = poll.result()
    deadline = time.monotonic() + 20
    while True:
        seen += answer.messages
        cursor = answer.cursor or cursor
        if "'new'" in str(seen):
            break
        assert time.monotonic() < deadline, seen
        answer = n.poll("/live", cursor=cursor, wait="3s")
    kinds = [m["type"] for m in seen if m["type"] != "status"]
    assert kinds[:2] == ["reset", "snapshot"]
    assert kinds.count("reset") == 1
    assert seen[[m["type"] for m in seen].index("reset")]["reason"] \
        == "recreated"
    assert "old" not in str(seen)


def test_a_waiting_poll_is_told_that_its_cluster_is_down(
        own_kafka, nginx, module):
    topic = own_kafka.create_topic()
    own_kafka.send(topic, {"n": 1}, key="k")
    n = nginx(kafka=own_kafka, http_conf=feed(topic), server_conf=LIVE)
    first = n.poll("/live")
    poll = Poll(n, first.cursor)
    own_kafka.kill()
    [message] = poll.result().messages
    assert (message["type"], message["state"]) == ("status", "down")


def test_a_cluster_that_was_never_there_is_told_as_down(nginx, module):
    n = nginx(brokers="127.0.0.1:9", http_conf=feed("t"), server_conf=LIVE,
              ready=False)
    for reader in n.sse("/live"), n.ws("/live"):
        reader.wait(lambda s: "f" in s.rooms and s.rooms["f"].state == "down",
                    15)
        assert reader.rooms["f"].complete is False
        [message] = reader.of_type("status")
        assert message["since"] > 1e12
    late = n.poll("/live")
    assert [m["type"] for m in late.messages] == ["snapshot", "status"]


# --- retention ------------------------------------------------------------------

def test_retention_takes_nothing_from_who_reads_on(kafka, nginx, module):
    topic = kafka.create_topic()
    n = nginx(kafka=kafka, http_conf=feed(topic), server_conf=LIVE)
    reader, away = n.sse("/live"), n.ws("/live")
    kafka.send(topic, {"n": 0}, key="k")
    for one in reader, away:
        one.wait_value("f", "k", {"n": 0})
    drop(away)
    for i in range(1, 6):
        kafka.send(topic, {"n": i}, key="k")
    reader.wait_value("f", "k", {"n": 5})
    kafka.delete_records(topic, before=6)
    kafka.send(topic, {"n": 6}, key="k")
    back = n.again(away)
    for one in reader, back:
        one.wait_value("f", "k", {"n": 6})
        check_no_reset(one.messages)
    assert [d["n"] for d in back.data()] == [1, 2, 3, 4, 5, 6]


def test_retention_while_nginx_was_stopped_is_told_as_expired(
        kafka, nginx, module):
    topic = kafka.create_topic()
    n = nginx(kafka=kafka, http_conf=feed(topic), server_conf=LIVE)
    kafka.send(topic, {"n": 0}, key="gone")
    reader = n.sse("/live")
    reader.wait_value("f", "gone", {"n": 0})
    drop(reader)
    n.quit()
    for i in range(1, 6):
        kafka.send(topic, {"n": i}, key="k")
    kafka.delete_records(topic, before=4)
    n.start()
    back = n.again(reader)
    assert back.wait_type("reset")["reason"] == "expired"
    back.wait(lambda s: s.rooms["f"].values == {"k": {"n": 5}})
