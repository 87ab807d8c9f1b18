"""Several rooms on one connection, keys, and changes under way."""

import json
import time

import pytest

from harness.process import wait_for


@pytest.fixture
def rooms(kafka, nginx, module):
    """Feeds a, b (not split) and s (rooms by key; keys are the rooms)."""
    def make(server=None, **settings):
        topics = {name: kafka.create_topic() for name in "abs"}
        for name in "ab":
            kafka.produce(topics[name], {"n": name}, key="k")
        for room in ("x", "y", "z", "with/slash", "q\"uote", "ä b"):
            kafka.produce(topics["s"], {"room": room}, key=room)
        kafka.flush()
        n = nginx(kafka=kafka, http_conf=f"""
            flux_feed a {{ topic {topics['a']}; }}
            flux_feed b {{ topic {topics['b']}; }}
            flux_feed s {{ topic {topics['s']}; room key; }}
            flux_feed hidden {{ topic {topics['a']}; room key; }}""",
                  server_conf=server or """
            location = /live { flux_stream a;
                               flux_subscribe b s/*; flux_subscribe hidden/k; }
            location = /two { flux_stream a b s/x; flux_subscribe s/*; }
            location = /fixed { flux_stream a b; }""",
                  **{"workers": 1, **settings})
        n.topics = topics
        n.send = lambda feed, value, key="k": kafka.send(
            topics[feed], value, key=key)
        return n
    return make


@pytest.fixture(params=["sse", "ws"])
def transport(request):
    return request.param


def reader(n, transport, path, **kw):
    return getattr(n, transport)(path, **kw)


def snapshots(r):
    return sorted(m["room"] for m in r.of_type("snapshot"))


def test_several_rooms_on_one_stream(rooms, transport):
    n = rooms()
    r = reader(n, transport, "/two")
    for room in ("a", "b", "s/x"):
        r.wait_snapshot(room)
    assert snapshots(r) == ["a", "b", "s/x"] and len(r.frames) == 1
    n.send("b", {"n": 2})
    r.wait_value("b", "k", {"n": 2})
    n.send("s", {"n": 3}, "x")
    n.send("s", {"n": 4}, "y")
    n.send("a", {"n": 5})
    r.wait_value("a", "k", {"n": 5})
    r.wait_value("s/x", "x", {"n": 3})
    assert "s/y" not in r.rooms
    polled = n.poll("/two")
    assert sorted(m["room"] for m in polled.messages) == ["a", "b", "s/x"]


def test_rooms_in_the_query(rooms, transport):
    n = rooms()
    r = reader(n, transport, "/live", room=["s/x", "b", "s/with/slash",
                                            's/q"uote', "s/ä b", "hidden/k",
                                            "s/x"])
    for room in ("a", "b", "s/x", "s/with/slash", 's/q"uote', "s/ä b",
                 "hidden/k"):
        r.wait_snapshot(room)
    assert len(snapshots(r)) == 7
    assert r.rooms["s/ä b"].values == {"ä b": {"room": "ä b"}}
    n.send("s", {"n": 1}, 'q"uote')
    r.wait_value('s/q"uote', 'q"uote', {"n": 1})


@pytest.mark.parametrize("room", ["no", "no/x", "s", "s/", "b/x", "a", "",
                                  "/", "hidden/other", "*", "s/\x01",
                                  "hidden/*"])
def test_rooms_that_are_not_allowed(rooms, room):
    n = rooms()
    for name in ("%01", "%ff", "r" * 256):
        assert n.get("/live?room=s/" + name).status == 403
    assert n.poll("/live", room=[room]).status == 403
    assert n.poll("/fixed", room=["s/x"]).status == 403
    assert n.poll("/live", room=["s/x", room]).status == 403


def test_an_asterisk_as_a_room_name(rooms):
    """In a pattern it stands for any room name; in an address for itself."""
    n = rooms()
    assert n.poll("/live", room=["s/*"]).status == 200


def test_one_wake_up_is_one_frame(rooms, kafka, transport):
    n = rooms()
    r = reader(n, transport, "/two")
    r.wait_snapshot("a")
    for i in range(50):
        kafka.produce(n.topics["a"], {"i": i}, key="k")
        kafka.produce(n.topics["b"], {"i": i}, key="k")
    kafka.flush()
    r.wait_value("a", "k", {"i": 49})
    r.wait_value("b", "k", {"i": 49})
    assert r.data("a", "k") and [d["i"] for d in r.data("b", "k")
                                 if "i" in d] == list(range(50))
    # records that came together go together
    assert len(r.frames) < 80


def test_too_many_rooms(rooms):
    n = rooms(events_conf="", server="""
        large_client_header_buffers 4 64k;
        location = /live { flux_stream a; flux_subscribe s/*; }""")
    many = "&".join(f"room=s/{i}" for i in range(255))
    assert n.get(f"/live?{many}").status == 200
    assert n.get(f"/live?{many}&room=s/255").status == 400
    assert n.get("/live?" + "room=s/1&" * 3000).status == 400


# --- WebSocket


def test_subscribe_sends_only_the_new_snapshot(rooms):
    n = rooms()
    r = n.ws("/live")
    r.wait_snapshot("a")
    r.subscribe("s/x", "b")
    r.wait_snapshot("s/x")
    r.wait_snapshot("b")
    assert snapshots(r) == ["a", "b", "s/x"]
    n.send("s", {"n": 1}, "x")
    n.send("a", {"n": 2})
    r.wait_value("s/x", "x", {"n": 1})
    r.wait_value("a", "k", {"n": 2})
    r.unsubscribe("s/x")
    r.send({"op": "ping"})
    r.wait_type("pong")
    n.send("s", {"n": 3}, "x")
    n.send("a", {"n": 4})
    r.wait_value("a", "k", {"n": 4})
    assert [m["data"] for m in r.updates("s/x")] == [{"n": 1}]
    # and again
    r.subscribe("s/x")
    r.wait(lambda s: len(s.of_type("snapshot", "s/x")) == 2)
    assert r.rooms["s/x"].values == {"x": {"n": 3}}
    assert snapshots(r) == ["a", "b", "s/x", "s/x"]
    # what it has already
    r.subscribe("a", "s/x")
    r.send({"op": "ping"})
    r.wait(lambda s: len(s.of_type("pong")) == 2)
    assert snapshots(r) == ["a", "b", "s/x", "s/x"]


def test_subscribing_loses_and_repeats_nothing(rooms, kafka):
    """While records pour in, rooms come and go: no gap in the room that
    stays."""
    n = rooms()
    r = n.ws("/live")
    r.wait_snapshot("a")
    for i in range(400):
        kafka.produce(n.topics["a"], {"i": i}, key="k")
        kafka.produce(n.topics["s"], {"i": i}, key="y")
        if i % 10 == 0:
            kafka.flush()
            if i % 20:
                r.unsubscribe("s/y")
            else:
                r.subscribe("s/y")
    r.subscribe("s/y")
    kafka.flush()
    r.wait_value("a", "k", {"i": 399})
    r.wait_value("s/y", "y", {"i": 399})
    got = [m["data"]["i"] for m in r.updates("a")]
    assert got == list(range(400))
    y = [m["data"]["i"] for m in r.updates("s/y") if "i" in m["data"]]
    assert y == sorted(set(y))
    # and its cursor is worth something
    again = n.ws("/live", cursor=r.cursor, room=["s/y"])
    n.send("a", {"i": 400})
    again.wait_updates(1, "a")
    assert [m["data"]["i"] for m in again.updates("a")] == [400]
    assert again.of_type("snapshot") == []


def test_subscribe_with_a_cursor_resumes_that_room(rooms):
    n = rooms()
    first = n.ws("/live", room=["s/x"])
    first.wait_snapshot("s/x")
    cursor = first.cursor
    n.send("s", {"n": 1}, "x")
    first.wait_value("s/x", "x", {"n": 1})
    second = n.ws("/live")
    second.wait_snapshot("a")
    second.subscribe("s/x", cursor=cursor)
    second.wait_updates(1, "s/x")
    assert [m["data"] for m in second.updates("s/x")] == [{"n": 1}]
    assert snapshots(second) == ["a"]
    n.send("s", {"n": 2}, "x")
    second.wait_value("s/x", "x", {"n": 2})
    assert [m["data"] for m in second.updates("s/x")] == [{"n": 1}, {"n": 2}]


@pytest.mark.parametrize("cursor", ["garbage", 7, {}, "A" * 1000])
def test_subscribe_with_a_bad_cursor_is_a_reset(rooms, cursor):
    n = rooms()
    r = n.ws("/live")
    r.wait_snapshot("a")
    r.subscribe("s/x", cursor=cursor)
    r.wait_snapshot("s/x")
    reset, = r.of_type("reset")
    assert (reset["room"], reset["reason"]) == ("s/x", "invalid")
    assert snapshots(r) == ["a", "s/x"]


def test_subscribe_errors(rooms):
    n = rooms()
    r = n.ws("/live")
    r.wait_snapshot("a")

    def error(message, op, code, room=None):
        before = len(r.of_type("error"))
        r.send(message)
        r.wait(lambda s: len(s.of_type("error")) > before)
        last = r.of_type("error")[-1]
        assert (last.get("op"), last["code"], last.get("room")) == \
            (op, code, room), last
        assert isinstance(last["message"], str)

    for room in ("no", "no/x", "s", "b/x", "hidden/other", "", "/"):
        error({"op": "subscribe", "rooms": [room]}, "subscribe", "forbidden",
              room)
    error({"op": "subscribe"}, "subscribe", "bad_request")
    error({"op": "subscribe", "rooms": "s/x"}, "subscribe", "bad_request")
    error({"op": "subscribe", "rooms": [7]}, "subscribe", "bad_request", 7)
    error({"op": "unsubscribe", "rooms": 1}, "unsubscribe", "bad_request")
    error({"op": "unsubscribe", "rooms": ["s/y"]}, "unsubscribe", "unknown",
          "s/y")
    error({"op": "unsubscribe", "rooms": ["no"]}, "unsubscribe", "unknown",
          "no")
    error({"op": "dance"}, "dance", "bad_request")
    error({"op": "publish", "data": 1, "id": 1}, "publish", "forbidden")
    error({"op": 5}, None, "bad_request")
    error({}, None, "bad_request")
    error([], None, "bad_request")
    error("", None, "bad_request")
    error("{", None, "bad_request")
    error("null", None, "bad_request")
    error('{"op":"ping","op":"ping"}', None, "bad_request")
    error('{"op":"ping"} x', None, "bad_request")
    error("[" * 5000, None, "bad_request")
    error('{"op":"\\ud800"}', None, "bad_request")
    error('{"op":"\\u0000"}', None, "bad_request")
    # and the stream lives on
    n.send("a", {"n": 1})
    r.wait_value("a", "k", {"n": 1})
    assert snapshots(r) == ["a"]


def test_subscribe_to_too_many_rooms(rooms):
    n = rooms()
    r = n.ws("/live")
    r.wait_snapshot("a")
    r.subscribe(*[f"s/{i}" for i in range(300)])
    r.wait(lambda s: len(s.of_type("error")) == 45)
    assert {m["code"] for m in r.of_type("error")} == {"too_large"}
    r.wait(lambda s: len(s.of_type("snapshot")) == 256)
    r.unsubscribe(*[f"s/{i}" for i in range(255)])
    r.subscribe("s/x")
    r.wait_value("s/x", "x", {"room": "x"})
    n.send("a", {"n": 1})
    r.wait_value("a", "k", {"n": 1})


def test_unsubscribing_from_all_and_back(rooms):
    n = rooms()
    r = n.ws("/live")
    r.wait_snapshot("a")
    r.unsubscribe("a")
    r.send({"op": "ping"})
    r.wait_type("pong")
    n.send("a", {"n": 1})
    r.subscribe("b")
    r.wait_snapshot("b")
    assert r.updates("a") == []
    n.send("b", {"n": 2})
    r.wait_value("b", "k", {"n": 2})
    r.close()
    wait_for(lambda: n.status()["readers"]["websocket"] == 0, 5, "gone")


@pytest.mark.parametrize("again", ["b", "s/x"])
def test_after_unsubscribing_from_all_a_room_begins_with_its_snapshot(
        rooms, again):
    """One that was read before as one that never was."""
    n = rooms()
    r = n.ws("/live", room="b")
    for room in ("a", "b"):
        r.wait_snapshot(room)
    r.unsubscribe("a", "b")
    r.subscribe(again)
    r.wait(lambda s: snapshots(s).count(again) == 1 + (again == "b"), 5)
    n.send(again[0], {"n": 2}, again[2:] or "k")
    r.wait_value(again, again[2:] or "k", {"n": 2})
    assert not r.of_type("reset") and not r.of_type("error")


def test_a_blocked_reader_that_leaves_a_room_gets_its_snapshot_anew(rooms):
    """Nothing says in between where it stands, but that was of the room."""
    n = rooms()
    r = n.ws("/live", room=["b", "s/x"])
    for room in ("a", "b", "s/x"):
        r.wait_snapshot(room)
    r.pause()
    text = "x" * 500_000
    for i in range(30):
        n.send("a", {"text": text, "i": i})
    wait_for(lambda: n.status()["feeds"]["a"]["records"] > 30, 10, "read")
    r.unsubscribe("b")
    r.subscribe("b")
    r.resume()
    r.wait(lambda s: snapshots(s).count("b") == 2, 10)
    r.wait(lambda s: s.rooms["a"].values["k"]["i"] == 29, 10)
    assert not r.of_type("reset") and not r.of_type("error")


def test_a_room_of_the_location_may_be_left_and_taken_again(rooms):
    """Only what a pattern allows can be taken again."""
    n = rooms()
    r = n.ws("/live")
    r.wait_snapshot("a")
    r.unsubscribe("a")
    r.subscribe("a")
    r.wait(lambda s: s.of_type("error") or len(s.of_type("snapshot")) == 2)


# --- keys


def test_keys_narrow_a_stream(rooms, kafka, transport):
    n = rooms()
    for key in ("k", "l", "m", "ü", "a b"):
        n.send("b", {"n": key}, key)
    n.reload(server_conf="location = /only { flux_stream b; }\n"
             "location = /live { flux_stream a b; }")
    r = reader(n, transport, "/only", key=["k", "ü", "a b"])
    r.wait_snapshot("b")
    assert set(r.rooms["b"].values) == {"k", "ü", "a b"}
    for key in ("l", "m", "k", "ü"):
        n.send("b", {"n": 1}, key)
    r.wait_value("b", "ü", {"n": 1})
    assert [m["key"] for m in r.updates("b")] == ["k", "ü"]
    kafka.send(n.topics["b"], None, key="l")
    kafka.send(n.topics["b"], None, key="k")
    r.wait_type("delete")
    assert [m["key"] for m in r.of_type("delete")] == ["k"]
    # resumed: what it missed of its keys
    cursor = r.cursor
    r.close()
    n.send("b", {"n": 2}, "m")
    n.send("b", {"n": 2}, "ü")
    polled = n.poll("/only", cursor=cursor, key=["k", "ü", "a b"], wait="5s")
    assert [m["key"] for m in polled.messages] == ["ü"]
    assert n.poll("/live", key=["k"]).status == 400


def test_a_stream_narrowed_to_keys_takes_no_rooms(rooms):
    n = rooms()
    r = n.ws("/live", key=["k"])
    r.wait_snapshot("a")
    r.subscribe("s/x")
    r.wait_type("error")
    assert r.of_type("error")[0]["code"] == "bad_request"


def test_too_many_keys(rooms):
    n = rooms()
    assert n.get("/live?" + "&".join(f"key={i}" for i in range(257))).status \
        == 400
    assert n.get("/live?" + "&".join(f"key={i}" for i in range(256))).status \
        == 200
    # bytes that are no text are no key of a record that is
    assert n.get("/live?key=%ff&key=%00&key=").status == 200


def test_pace_by_the_client(rooms, kafka, transport):
    n = rooms()
    r = reader(n, transport, "/live", query={"pace": "300ms"})
    r.wait_snapshot("a")
    for i in range(60):
        n.send("a", {"i": i})
        time.sleep(0.01)
    r.wait_value("a", "k", {"i": 59})
    got = [m["data"]["i"] for m in r.updates("a")]
    assert got == sorted(set(got)) and len(got) < 20
    times = [f.at for f in r.frames]
    # the first may come late and the last in time
    assert times[-1] - times[0] > 0.3 * (len(times) - 3)


def test_a_cursor_of_some_keys_knows_nothing_of_others(rooms):
    """Else the records of the others would never come."""
    n = rooms()
    for key in ("p", "q"):
        n.send("a", {"key": key}, key=key)
    n.sse("/live").wait_value("a", "q", {"key": "q"})

    def keys(answer):
        return [[i["key"] for i in m["items"]] for m in answer.messages
                if m["type"] == "snapshot"]

    some = n.poll("/live", key=["p", "q"])
    assert keys(some) == [["p", "q"]]
    for same in (["p", "q"], ["q", "p"]):
        again = n.poll("/live", key=same, cursor=some.cursor, wait="1s")
        assert again.messages == [] and again.cursor == some.cursor
    for other, found in ((), ["k", "p", "q"]), (["p"], ["p"]), (["k"], ["k"]):
        answer = n.poll("/live", key=other, cursor=some.cursor, wait="1s")
        assert keys(answer) == [found] and len(answer.messages) == 1
        again = n.poll("/live", key=other, cursor=answer.cursor, wait="1s")
        assert again.messages == []


def test_a_stream_of_some_keys_stays_one(rooms):
    """Also when it names no rooms to leave, or leaves the one it has."""
    n = rooms()
    for key in ("k", "l"):
        n.send("b", {"n": key}, key)
    n.reload(server_conf="location = /only { flux_stream b; "
                         "flux_subscribe a b; }")
    r = n.ws("/only", key=["k"])
    r.wait_snapshot("b")
    assert set(r.rooms["b"].values) == {"k"}
    for rooms_left in [], ["a"], ["b"]:
        r.send({"op": "unsubscribe", "rooms": rooms_left})
        r.send({"op": "ping"})
        r.wait(lambda s: len(s.of_type("pong")) >= 1)
        if rooms_left == ["b"]:
            r.send({"op": "subscribe", "rooms": ["b"]})
            r.wait(lambda s: s.of_type("error")[-1:]
                   and s.of_type("error")[-1]["code"] == "bad_request")
        else:
            n.send("b", {"n": 1}, "l")
            n.send("b", {"n": len(rooms_left)}, "k")
            r.wait_value("b", "k", {"n": len(rooms_left)})
    assert {m["key"] for m in r.updates()} == {"k"}
