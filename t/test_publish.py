"""Records from clients: POST and WebSocket publish, with a real Kafka."""

import json
import time

import pytest

from harness.process import wait_for

BIG = "x" * 20000


def start(nginx, kafka, topic, more="", feed=True, args="", **settings):
    """A feed on the topic, and /publish and /both that write to it."""
    http = settings.pop("http", f"flux_feed f {{ topic {topic}; {more} }}"
                        if feed else "")
    return nginx(kafka=kafka, http_conf=http, server_conf=f"""
        location = /publish {{ flux_publish main {topic} {args};
            {settings.pop("location", "")} }}
        """ + (f"""location = /both {{ flux_publish main {topic} {args};
                                       flux_stream f; }}
                   location = /live {{ flux_stream f; }}""" if feed else ""),
                 **settings)


def test_a_post_becomes_a_record_and_is_answered_with_its_place(
        kafka, nginx, module):
    topic = kafka.create_topic(partitions=3)
    n = start(nginx, kafka, topic)
    for value in ('{"n": 1}', "[1,\n2]", '"text"'):
        answer = n.post("/publish?key=a+b%2Fc", value)
        assert answer.status == 200, answer.body
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-store"
        place = answer.json()
        record = [r for r in kafka.records(topic)
                  if (r.partition, r.offset)
                  == (place["partition"], place["offset"])][0]
        assert place["topic"] == topic
        assert record.key == b"a b/c"
        assert record.value == value.encode()


def test_what_is_published_reaches_readers(kafka, nginx, module):
    topic = kafka.create_topic()
    n = start(nginx, kafka, topic)
    r = n.sse("/live")
    r.wait_snapshot("f")
    n.post("/both?key=k", '{"n":1}')
    r.wait_value("f", "k", {"n": 1})


def test_a_topic_that_no_feed_reads_takes_anything(kafka, nginx, module):
    topic = kafka.create_topic()
    n = start(nginx, kafka, topic, feed=False)
    for value in (b"", b"\xff\x00 not json"):
        assert n.post("/publish", value).status == 200
    records = kafka.records(topic)
    assert [(r.key, r.value) for r in records] \
        == [(None, b""), (None, b"\xff\x00 not json")]


def test_publishing_needs_no_zone(kafka, nginx, module):
    topic = kafka.create_topic()
    n = nginx(status=False,
              http_conf=f"flux_kafka main {{ brokers {kafka.brokers}; }}",
              server_conf=f"location /p {{ flux_publish main {topic}; }}")
    assert n.post("/p?key=k", "1").status == 200
    assert kafka.records(topic)[0].key == b"k"


@pytest.mark.parametrize("value", ["", "not json", "{\"a\":", "\xff", "1 2"])
def test_what_the_feed_would_skip_is_refused(kafka, nginx, module, value):
    topic = kafka.create_topic()
    n = start(nginx, kafka, topic)
    assert n.post("/publish", value.encode("latin1")).status == 400
    assert kafka.records(topic) == []


def test_a_record_without_a_room_is_refused(kafka, nginx, module):
    by_key, by_json = kafka.create_topic(), kafka.create_topic()
    n = nginx(kafka=kafka, http_conf=f"""
        flux_feed k {{ topic {by_key}; room key; }}
        flux_feed j {{ topic {by_json}; room json:/city; }}""",
              server_conf=f"""
        location = /k {{ flux_publish main {by_key}; }}
        location = /j {{ flux_publish main {by_json}; }}""")
    assert n.post("/k", "1").status == 400
    assert n.post("/k?key=%01", "1").status == 400
    assert n.post("/k?key=paris", "1").status == 200
    assert n.post("/j", '{"town":"x"}').status == 400
    assert n.post("/j", '{"city":"x"}').status == 200


def test_too_large_is_413_also_without_a_length(kafka, nginx, module):
    topic = kafka.create_topic()
    n = start(nginx, kafka, topic)
    assert n.post("/publish", json.dumps(BIG)).status == 413
    s = n.socket()
    body = json.dumps(BIG).encode()
    s.sendall(b"POST /publish HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
              b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"
              % (len(body), body))
    assert s.recv(100).startswith(b"HTTP/1.1 413 ")
    assert kafka.records(topic) == []


@pytest.mark.parametrize("pieces", [[b'{"n":1}'], [b'{"n"', b":1", b"}"]],
                         ids=["one", "three"])
@pytest.mark.parametrize("location", [
    "", "client_body_in_file_only on;", "client_body_in_single_buffer on;"])
def test_a_body_in_chunks_is_a_value(kafka, nginx, module, pieces, location):
    topic = kafka.create_topic()
    n = start(nginx, kafka, topic, location=location)
    assert n.post("/publish", iter(pieces)).status == 200
    assert [r.value for r in kafka.records(topic)] == [b'{"n":1}']
    assert n.post("/publish", iter([])).status == 400


def test_flux_max_message_allows_more(kafka, nginx, module):
    topic = kafka.create_topic()
    n = start(nginx, kafka, topic, location="flux_max_message 64k;")
    assert n.post("/publish", json.dumps(BIG)).status == 200
    assert json.loads(kafka.records(topic)[0].value) == BIG


def test_the_directives_key_cannot_be_overridden(kafka, nginx, module):
    topic = kafka.create_topic()
    n = start(nginx, kafka, topic, args="key=user-$http_x_user")
    n.post("/publish?key=evil", "1", {"X-User": "ann"})
    w = n.ws("/both", headers={"X-User": "bob"})
    w.send({"op": "publish", "id": 1, "key": "evil", "data": 2})
    w.wait_type("ack")
    assert [r.key for r in kafka.records(topic)] == [b"user-ann", b"user-bob"]


def test_methods_and_origins(kafka, nginx, module):
    topic = kafka.create_topic()
    n = start(nginx, kafka, topic, location="flux_origin https://ok.test;")
    answer = n.get("/publish")
    assert answer.status == 405
    assert answer.headers["allow"] == "POST, OPTIONS"
    assert n.request("PUT", "/both", body="1").headers["allow"] \
        == "GET, POST, OPTIONS"
    origin = {"Origin": "https://ok.test"}
    answer = n.request("OPTIONS", "/publish", origin)
    assert answer.status == 204
    assert answer.headers["access-control-allow-methods"] == "POST, OPTIONS"
    answer = n.post("/publish", "1", origin)
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == "https://ok.test"
    assert n.post("/publish", "1",
                  {"Origin": "https://no.test"}).status == 403
    assert n.post("/publish", "1").status == 200
    assert n.poll("/both").status == 200
    assert len(kafka.records(topic)) == 2


def test_websocket_publish_is_acknowledged(kafka, nginx, module):
    topic = kafka.create_topic()
    n = start(nginx, kafka, topic)
    w = n.ws("/both")
    w.wait_snapshot("f")
    w.send('{"op":"publish","id":7,"key":"a","data": {"n":1.10, "m":[1]} }')
    ack = w.wait_type("ack")
    ack = w.of_type("ack")[0]
    assert ack == {"type": "ack", "id": 7, "topic": topic, "partition": 0,
                   "offset": 0}
    record = kafka.records(topic)[0]
    assert (record.key, record.value) == (b"a", b'{"n":1.10, "m":[1]}')
    w.wait_value("f", "a", {"n": 1.10, "m": [1]})


def test_websocket_publish_errors_leave_the_stream_alive(
        kafka, nginx, module):
    topic = kafka.create_topic()
    n = start(nginx, kafka, topic)
    w = n.ws("/both")
    w.wait_snapshot("f")
    for message in ({"op": "publish", "id": "x"},
                    {"op": "publish", "id": 2, "key": 1, "data": 1},
                    {"op": "publish", "id": [3], "data": 1}):
        w.send(message)
    w.wait(lambda w: len(w.of_type("error")) == 3)
    assert [(e["op"], e["code"], e.get("id")) for e in w.of_type("error")] \
        == [("publish", "bad_request", "x"), ("publish", "bad_request", 2),
            ("publish", "bad_request", None)]
    w.send({"op": "publish", "data": None})
    w.wait_type("ack")
    assert "id" not in w.of_type("ack")[0]
    assert kafka.records(topic)[0].value == b"null"

    only = n.ws("/live")
    only.wait_snapshot("f")
    only.send({"op": "publish", "id": 1, "data": 1})
    only.wait_type("error")
    assert only.of_type("error")[0]["code"] == "forbidden"


def test_websocket_publish_to_feeds_of_text_and_bytes(kafka, nginx, module):
    text, binary = kafka.create_topic(), kafka.create_topic()
    n = nginx(kafka=kafka, http_conf=f"""
        flux_feed t {{ topic {text}; format text; }}
        flux_feed b {{ topic {binary}; format binary; }}""",
              server_conf=f"""
        location = /t {{ flux_stream t; flux_publish main {text}; }}
        location = /b {{ flux_publish main {binary}; flux_stream b; }}""")
    for path, feed, data, topic, value in (
            ("/t", "t", "h\u00e9", text, "h\u00e9".encode()),
            ("/b", "b", "AP8=", binary, b"\x00\xff")):
        w = n.ws(path)
        w.send({"op": "publish", "key": "k", "data": data})
        w.wait_value(feed, "k", data)
        assert kafka.records(topic)[0].value == value
        w.send({"op": "publish", "data": 1})
        w.wait_type("error")


def test_many_publish_at_once_in_order(kafka, nginx, module):
    topic = kafka.create_topic()
    n = start(nginx, kafka, topic)
    w = n.ws("/both")
    for i in range(300):
        w.send({"op": "publish", "id": i, "key": "k", "data": i})
        w.wait(lambda w: len(w.of_type("ack")) + len(w.of_type("error"))
               > i - 20)
    w.wait(lambda w: len(w.of_type("ack")) == 300)
    assert [a["id"] for a in w.of_type("ack")] == list(range(300))
    assert [int(r.value) for r in kafka.records(topic)] == list(range(300))


def test_no_acknowledgement_in_five_seconds_is_503(own_kafka, nginx, module):
    topic = own_kafka.create_topic()
    n = start(nginx, own_kafka, topic)
    assert n.post("/publish", "1").status == 200
    w = n.ws("/both")
    w.wait_snapshot("f")
    own_kafka.pause()
    w.send({"op": "publish", "id": 1, "data": 2})
    started = time.monotonic()
    answer = n.post("/publish", "2")
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0
    assert 4.5 < time.monotonic() - started < 8
    w.wait_type("error")
    assert w.of_type("error")[0]["code"] == "unavailable"
    own_kafka.resume()
    wait_for(lambda: n.post("/publish", "3").status == 200, 30)


def test_a_cluster_known_to_be_down_is_503_at_once(own_kafka, nginx, module):
    topic = own_kafka.create_topic()
    n = start(nginx, own_kafka, topic)
    assert n.post("/publish", "1").status == 200
    own_kafka.kill()
    wait_for(lambda: n.status()["clusters"]["main"]["state"] == "down", 30)
    started = time.monotonic()
    answer = n.post("/publish", "2")
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0
    assert time.monotonic() - started < 4      # where no answer takes 5 s
    own_kafka.start()
    wait_for(lambda: n.post("/publish", "3").status == 200, 60)


def test_a_cluster_without_feeds_is_known_by_its_failures(
        own_kafka, nginx, module):
    topic = own_kafka.create_topic()
    n = start(nginx, own_kafka, topic, feed=False, workers=1)
    assert n.post("/publish", "1").status == 200
    own_kafka.kill()

    def at_once():
        started = time.monotonic()
        return (n.post("/publish", "2").status == 503
                and time.monotonic() - started < 1)

    wait_for(at_once, 30)
    own_kafka.start()
    wait_for(lambda: n.post("/publish", "3").status == 200, 60)


def test_a_client_that_leaves_before_the_ack_does_no_harm(
        own_kafka, nginx, module):
    topic = own_kafka.create_topic()
    n = start(nginx, own_kafka, topic, workers=1)
    assert n.post("/publish", "0").status == 200
    own_kafka.pause()
    for i in range(20):
        s = n.socket()
        s.sendall(b"POST /publish HTTP/1.1\r\nHost: x\r\n"
                  b"Content-Length: 1\r\n\r\n1")
        if i % 2:
            s.close()
    w = n.ws("/both")
    w.send({"op": "publish", "id": 1, "data": 1})
    w.send({"op": "ping"})
    w.wait_type("pong")
    w.drop()
    own_kafka.resume()
    wait_for(lambda: len(own_kafka.records(topic)) == 22, 30)
    assert n.post("/publish", "2").status == 200


def test_a_reload_lets_a_post_be_answered(own_kafka, nginx, module):
    topic = own_kafka.create_topic()
    n = start(nginx, own_kafka, topic, workers=1)
    assert n.post("/publish", "0").status == 200
    own_kafka.pause()
    s = n.socket()
    s.sendall(b"POST /publish HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
              b"Content-Length: 1\r\n\r\n1")
    wait_for(lambda: n.get("/nothing").status == 404, 10)
    n.reload()
    own_kafka.resume()
    assert s.recv(100).startswith(b"HTTP/1.1 200 ")
    n.wait_old_workers_gone()


@pytest.mark.parametrize("line, expected", [
    ("flux_publish nobody t;", 'unknown flux_kafka "nobody"'),
    ("flux_publish main a/b;", 'invalid topic "a/b"'),
    ("flux_publish main t kye=x;", 'invalid parameter "kye=x"'),
    ("flux_publish main;", 'invalid number of arguments'),
    ("flux_publish main t; flux_publish main u;", "is duplicate"),
])
def test_mistakes_are_found_by_nginx_t(nginx, module, line, expected):
    accepted, output = nginx.test(
        brokers="127.0.0.1:1", http_conf="flux_feed f { topic t; }",
        server_conf="location = /p { %s }" % line)
    assert not accepted
    assert expected in output
    assert "test.conf:" in output
