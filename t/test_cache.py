"""flux_cache: a snapshot to start from, with a real Redis."""

import socket
import subprocess

import pytest

from harness.process import (
    free_port, let_workers_in, listens, spawn, stop, wait_for)


class Redis:
    def __init__(self, directory, *options):
        self.directory, self.options = directory, options
        self.port = free_port()
        self.process = None

    def start(self):
        self.process = spawn(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1",
             "--dir", str(self.directory), "--save", "", "--appendonly", "no",
             *self.options])
        wait_for(lambda: listens(self.port), 10, "redis listens")
        return self

    def __call__(self, *command, password=None, db=0):
        auth = ["-a", password, "--no-auth-warning"] if password else []
        done = subprocess.run(
            ["redis-cli", "-p", str(self.port), "-n", str(db), *auth,
             *command], capture_output=True, timeout=10)
        text = done.stdout.decode(errors="replace").strip("\n")
        return text.split("\n") if text else []

    def fields(self, **options):
        return {field: key for key in self("KEYS", "flux:*", **options)
                for field in self("HKEYS", key, **options)}

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(18)        # SIGCONT
            stop(self.process)


@pytest.fixture
def make_redis(tmp_path):
    made = []

    def make(*options):
        made.append(Redis(tmp_path, *options))
        return made[-1].start()

    yield make
    for one in made:
        one.close()


@pytest.fixture
def redis(make_redis):
    return make_redis()


def settings(kafka, topic, url, feed="", path="/live", stream="f", **more):
    return dict(kafka=kafka, http_conf=f"""
        flux_cache {url};
        flux_feed f {{ topic {topic}; {feed} }}""", server_conf=f"""
        location {path} {{ flux_stream {stream}; flux_subscribe {
            "f/*" if "/" in stream else "f"}; }}""", **more)


def url(redis):
    return f"redis://127.0.0.1:{redis.port}"


def snapshot(answer, room="f"):
    """({key: newest data}, complete) of a poll's snapshot."""
    parts = [m for m in answer.messages
             if m["type"] == "snapshot" and m["room"] == room]
    assert parts, answer.messages
    return ({i["key"]: i["data"] for part in parts for i in part["items"]},
            parts[-1]["complete"])


def cold(nginx, **more):
    """An nginx that starts while Kafka is down."""
    n = nginx(ready=False, **more)
    wait_for(lambda: n.status()["clusters"]["main"]["error"], 30)
    return n


def test_without_kafka_the_snapshot_comes_from_the_cache(
        own_kafka, nginx, module, redis):
    topic = own_kafka.create_topic(partitions=2)
    for i in range(5):
        own_kafka.send(topic, {"n": i}, key="a")
        own_kafka.send(topic, {"m": i}, key='"b"\\')
    own_kafka.send(topic, 1, key="gone")
    args = settings(own_kafka, topic, url(redis), "retain 3;")
    n = nginx(**args)
    wait_for(lambda: redis.fields(), 10)
    own_kafka.send(topic, {"n": "last"}, key="a")
    own_kafka.send(topic, None, key="gone")
    key = list(redis.fields().values())[0]
    wait_for(lambda: "last" in "".join(redis("HGET", key, "f"))
             and "gone" not in "".join(redis("HGET", key, "f")), 10)
    assert 0 < int(redis("TTL", key)[0]) <= 7 * 86400
    n.quit()
    own_kafka.stop()

    n = cold(nginx, **args)
    n.wait_log("flux_cache gave 6 records", 20)
    r = n.sse("/live")
    r.wait_snapshot("f")
    room = r.rooms["f"]
    assert room.complete is False
    assert room.values == {"a": {"n": "last"}, '"b"\\': {"m": 4}}
    items = [i for m in r.of_type("snapshot") for i in m["items"]]
    assert [i["data"] for i in items if i["key"] == "a"] \
        == [{"n": 3}, {"n": 4}, {"n": "last"}]

    own_kafka.start()
    n.wait_ready(60)
    own_kafka.send(topic, {"n": "new"}, key="a")
    r.wait_value("f", "a", {"n": "new"}, timeout=30)
    r.wait(lambda r: r.rooms["f"].values
           == {"a": {"n": "new"}, '"b"\\': {"m": 4}})
    assert snapshot(n.poll("/live")) == (r.rooms["f"].values, True)
    again = n.again(r)
    own_kafka.send(topic, {"n": "newer"}, key="a")
    again.wait_value("f", "a", {"n": "newer"})


def test_rooms_of_a_split_feed_and_a_password_and_a_database(
        own_kafka, nginx, module, make_redis):
    redis = make_redis("--requirepass", "secret")
    topic = own_kafka.create_topic()
    for city in ("paris", "a/b \u00e9"):
        own_kafka.send(topic, {"c": city}, key=city)
    args = settings(own_kafka, topic,
                    f"redis://:secret@127.0.0.1:{redis.port}/3", "room key;",
                    stream="f/paris")
    n = nginx(**args)
    wait_for(lambda: len(redis.fields(password="secret", db=3)) == 2, 10)
    n.terminate()
    own_kafka.kill()
    n = cold(nginx, **args)
    n.wait_log("flux_cache gave 2 records", 20)
    frame = n.poll("/live?room=f/a/b%20%C3%A9")
    assert snapshot(frame, "f/paris")[0] == {"paris": {"c": "paris"}}
    assert snapshot(frame, "f/a/b \u00e9")[0] \
        == {"a/b \u00e9": {"c": "a/b \u00e9"}}


def test_a_unix_socket(kafka, nginx, module, tmp_path, make_redis):
    let_workers_in(tmp_path)
    redis = make_redis("--unixsocket", str(tmp_path / "s"),
                       "--unixsocketperm", "777")
    topic = kafka.create_topic()
    kafka.send(topic, 1, key="a")
    nginx(**settings(kafka, topic, f"unix:{tmp_path}/s"))
    wait_for(lambda: redis.fields(), 10)


@pytest.mark.parametrize("garbage", [
    b"", b"flux1", b"flux1 %s\n", b"flux1 %s\n1 1", b"flux1 %s\n1 1 99999\nx",
    b"flux1 %s\n1 1 2\n{}\n", b"flux1 %s\n99999999999999999999 1 2\n{}\n",
    b'flux1 %s\n1 1 56\n{"type":"update","room":"f","key":"a","ts":2,'
    b'"data":1}\n',
    b'flux1 %s\n1 9 64\n{"type":"update","room":"f","key":"a","x":"b",'
    b'"ts":1,"data":1}\n',
    b'flux1 %s\n1 1 55\n{"type":"update","room":"g","key":"a","ts":1,'
    b'"data":1}\n',
    b"\x00\xff" * 1000])
def test_garbage_in_the_cache_is_refused(
        nginx, module, redis, garbage):
    port = free_port()
    args = settings(None, "t", url(redis), brokers=f"127.0.0.1:{port}")
    # which key it reads is in the command that it sends
    with subprocess.Popen(["redis-cli", "-p", str(redis.port), "MONITOR"],
                          stdout=subprocess.PIPE) as monitor:
        n = cold(nginx, **args)
        signature = None
        for line in monitor.stdout:
            if b"HSCAN" in line:
                signature = line.split(b'"flux:')[1].split(b'"')[0]
                break
        monitor.kill()
    n.terminate()
    value = garbage.replace(b"%s", signature)
    subprocess.run(["redis-cli", "-p", str(redis.port), "-x", "HSET",
                    "flux:" + signature.decode(), "f"], input=value,
                   check=True, capture_output=True)
    n = cold(nginx, **args)
    n.wait_log("flux_cache gave 0 records", 20)
    assert snapshot(n.poll("/live")) == ({}, False)


def test_what_is_quiet_is_kept_as_long_as_nginx_runs(
        kafka, nginx, module, redis):
    topic = kafka.create_topic()
    nginx(**settings(kafka, topic, url(redis)))
    kafka.send(topic, 1, key="a")
    wait_for(lambda: redis.fields(), 10)
    key = list(redis.fields().values())[0]
    wait_for(lambda: int(redis("TTL", key)[0]) > 600000, 10)
    redis("EXPIRE", key, "300")
    wait_for(lambda: int(redis("TTL", key)[0]) > 600000, 20)


def test_a_cache_of_the_wrong_type_changes_nothing(
        kafka, nginx, module, redis):
    topic = kafka.create_topic()
    n = nginx(**settings(kafka, topic, url(redis)))
    kafka.send(topic, 1, key="a")
    wait_for(lambda: redis.fields(), 10)
    key = list(redis.fields().values())[0]
    redis("DEL", key)
    redis("SET", key, "text")
    r = n.sse("/live")
    kafka.send(topic, 2, key="a")
    r.wait_value("f", "a", 2)
    n.wait_log("flux_cache says: WRONGTYPE")


def test_a_cache_that_comes_late_dies_hangs_and_returns_changes_nothing(
        kafka, nginx, module, make_redis):
    redis = make_redis()
    stop(redis.process)
    topic = kafka.create_topic()
    kafka.send(topic, 0, key="a")
    n = nginx(**settings(kafka, topic, url(redis)))
    r = n.sse("/live")
    n.wait_log("flux_cache (cannot be used|is away)")
    redis.start()
    wait_for(lambda: redis.fields(), 15)
    redis.process.kill()
    kafka.send(topic, 1, key="a")
    r.wait_value("f", "a", 1)
    redis.process.wait()
    redis.start()
    wait_for(lambda: redis.fields(), 15)
    redis.process.send_signal(19)               # SIGSTOP
    for i in range(2, 12):
        kafka.send(topic, i, key="a")
        r.wait_value("f", "a", i)
    n.wait_log("it does not answer", 20)
    redis.process.send_signal(18)
    key = list(redis.fields().values())[0]
    wait_for(lambda: '"data":11}' in "".join(redis("HGET", key, "f")), 15)
    n.reload()
    kafka.send(topic, 12, key="a")
    wait_for(lambda: '"data":12}' in "".join(redis("HGET", key, "f")), 15)


def test_a_server_that_is_no_redis_changes_nothing(kafka, nginx, module):
    with socket.create_server(("127.0.0.1", 0)) as server:
        topic = kafka.create_topic()
        kafka.send(topic, 1, key="a")
        port = server.getsockname()[1]
        n = nginx(**settings(kafka, topic, f"redis://127.0.0.1:{port}"))
        server.settimeout(20)
        connection, _ = server.accept()
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" * 100)
        second, _ = server.accept()
        second.sendall(b"*2\r\n*1000000\r\n")
        second.close()
        connection.close()
        assert snapshot(n.poll("/live")) == ({"a": 1}, True)


@pytest.mark.parametrize("line", [
    "http://x", "redis://", "redis://user@h", "redis://h/x", "redis://h:99999",
    "unix:"])
def test_mistakes_are_found_by_nginx_t(nginx, module, line):
    accepted, output = nginx.test(
        brokers="127.0.0.1:1",
        http_conf="flux_cache %s; flux_feed f { topic t; }" % line)
    assert not accepted
    assert "test.conf:" in output
