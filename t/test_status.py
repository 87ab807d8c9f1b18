"""/flux/status and /flux/metrics."""

import shutil
import subprocess
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from harness.process import free_port, wait_for

TYPES = {
    "flux_node_info": ("gauge", {"node", "version"}),
    "flux_records": ("counter", {"feed"}),
    "flux_record_bytes": ("counter", {"feed"}),
    "flux_records_skipped": ("counter", {"feed", "reason"}),
    "flux_keys_evicted": ("counter", {"feed"}),
    "flux_feed_ready": ("gauge", {"feed"}),
    "flux_partition_offset": ("gauge", {"feed", "topic", "partition"}),
    "flux_partition_lag": ("gauge", {"feed", "topic", "partition"}),
    "flux_cluster_up": ("gauge", {"cluster"}),
    "flux_readers": ("gauge", {"feed", "transport"}),
    "flux_sent_frames": ("counter", {"transport"}),
    "flux_sent_messages": ("counter", {"transport"}),
    "flux_sent_bytes": ("counter", {"transport"}),
    "flux_conflated": ("counter", set()),
    "flux_demand_refused": ("counter", set()),
    "flux_readers_ended": ("counter", {"reason"}),
    "flux_zone_bytes": ("gauge", {"state"}),
}

NO_SKIPS = {"json": 0, "room": 0, "size": 0, "expired": 0}


def families(n):
    answer = n.get("/flux/metrics")
    return list(text_string_to_metric_families(answer.body.decode()))


def wait_feed(n, feed, **fields):
    """Waits until these fields of a feed have these values."""
    def as_wanted():
        found = n.status()["feeds"][feed]
        return found if fields.items() <= found.items() else None

    return wait_for(as_wanted, 10, f"{fields} in the status of {feed}")


# --- what there is before anything has come ----------------------------------

def test_status_has_every_field_before_the_first_record(kafka, nginx, module):
    topic = kafka.create_topic()
    n = nginx(kafka=kafka,
              http_conf=f"flux_node edge-1; flux_feed f {{ topic {topic}; }}")
    status = n.status()

    zone = status.pop("zone")
    assert (zone.pop("name"), zone.pop("size")) == ("flux", 16 * 1024 ** 2)
    assert set(zone) == {"used", "live", "records"}
    assert zone["live"] == 0
    assert status.pop("writer")["pid"] in n.workers()
    assert status.pop("version")
    assert status == {
        "node": "edge-1",
        "clusters": {"main": {"state": "up", "error": None}},
        "feeds": {"f": {
            "ready": True, "rooms": 0, "keys": 0, "readers": 0, "records": 0,
            "bytes": 0, "evicted": 0, "skipped": NO_SKIPS,
            "partitions": [{"topic": topic, "partition": 0, "offset": 0,
                            "high_watermark": 0, "lag": 0, "error": None}]}},
        "readers": {"sse": 0, "websocket": 0, "poll": 0},
        "sent": {"frames": 0, "messages": 0, "bytes": 0},
        "conflated": 0,
        "ended": {"slow": 0, "reload": 0, "expired": 0, "quit": 0},
        "demand": {"refused": 0}}


def test_metrics_have_type_help_and_rows_at_zero_from_the_start(
        kafka, nginx, module):
    topic = kafka.create_topic()
    n = nginx(kafka=kafka, http_conf=f"flux_feed f {{ topic {topic}; }}")

    found = families(n)
    assert {f.name: (f.type, set(f.samples[0].labels))
            for f in found} == TYPES
    assert all(f.documentation for f in found)

    values = n.metrics()
    where = f'feed="f",topic="{topic}",partition="0"'
    for row in ('flux_records_total{feed="f"}',
                'flux_record_bytes_total{feed="f"}',
                'flux_keys_evicted_total{feed="f"}',
                f"flux_partition_offset{{{where}}}",
                f"flux_partition_lag{{{where}}}",
                "flux_conflated_total", "flux_demand_refused_total"):
        assert values[row] == 0
    for reason in NO_SKIPS:
        row = f'flux_records_skipped_total{{feed="f",reason="{reason}"}}'
        assert values[row] == 0
    for transport in ("sse", "websocket", "poll"):
        assert values[
            f'flux_readers{{feed="f",transport="{transport}"}}'] == 0
        for what in ("frames", "messages", "bytes"):
            assert values[
                f'flux_sent_{what}_total{{transport="{transport}"}}'] == 0
    for reason in ("slow", "reload", "expired", "quit"):
        assert values[f'flux_readers_ended_total{{reason="{reason}"}}'] == 0
    assert values['flux_feed_ready{feed="f"}'] == 1
    assert values['flux_cluster_up{cluster="main"}'] == 1
    assert values['flux_zone_bytes{state="size"}'] == 16 * 1024 ** 2


@pytest.mark.skipif(not shutil.which("promtool"), reason="no promtool")
def test_promtool_finds_no_fault(kafka, nginx, module):
    topic = kafka.create_topic()
    n = nginx(kafka=kafka, http_conf=f"flux_feed f {{ topic {topic}; }}")
    done = subprocess.run(["promtool", "check", "metrics"],
                          input=n.get("/flux/metrics").body,
                          capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_without_a_zone_there_is_nothing_but_the_frame(nginx, module):
    n = nginx()
    status = n.status()
    assert status["zone"] is None
    assert status["writer"]["pid"] is None
    assert status["feeds"] == {} and status["clusters"] == {}
    assert n.metrics()['flux_zone_bytes{state="size"}'] == 0
    assert families(n)


# --- over HTTP ----------------------------------------------------------------

@pytest.mark.parametrize("path, content_type", [
    ("/flux/status", "application/json"),
    ("/flux/metrics", "text/plain; version=0.0.4; charset=utf-8")])
def test_get_and_head_are_answered_and_nothing_else(
        nginx, module, path, content_type):
    n = nginx(server_conf="charset utf-8;")     # no second charset

    get = n.get(path)
    assert get.status == 200
    assert get.headers["cache-control"] == "no-store"
    assert get.headers["content-type"] == content_type
    assert int(get.headers["content-length"]) == len(get.body)

    head = n.request("HEAD", path)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"]
    assert head.headers["cache-control"] == "no-store"

    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        refused = n.request(method, path, body=b"x" * 1000)
        assert refused.status == 405
        assert refused.headers["allow"] == "GET, HEAD"
        assert refused.headers["cache-control"] == "no-store"


def test_the_name_of_a_node_is_escaped(nginx, module):
    n = nginx(http_conf=r'flux_node "a\"b\\c\n";')
    assert n.status()["node"] == 'a"b\\c\n'
    info = next(f for f in families(n) if f.name == "flux_node_info")
    assert info.samples[0].labels["node"] == 'a"b\\c\n'


def test_a_name_that_is_no_utf_8_leaves_both_readable(nginx, module):
    # nginx.conf is written as UTF-8 here, so the wrong byte is the host's
    n = nginx(http_conf="flux_node CAFE;", start=False)
    config = n.prefix / "nginx.conf"
    config.write_bytes(config.read_bytes().replace(b"CAFE", b"caf\xe9"))
    n.start()
    assert n.status()["node"] == "caf\ufffd"
    info = next(f for f in families(n) if f.name == "flux_node_info")
    assert info.samples[0].labels["node"] == "caf\ufffd"


# --- feeds --------------------------------------------------------------------

def test_records_keys_rooms_and_skips_are_counted(kafka, nginx, module):
    topic = kafka.create_topic()
    n = nginx(kafka=kafka, http_conf=f"""
        flux_feed f {{ topic {topic}; room json:/city; expire 1h; }}""")

    old = int((time.time() - 7200) * 1000)
    for key, value in [("a", {"city": "x", "v": 1}), ("b", {"city": "x"}),
                       ("c", {"city": "y"}), ("a", {"city": "x", "v": 2})]:
        kafka.produce(topic, value, key=key)
    kafka.produce(topic, b"{no", key="a")
    kafka.produce(topic, b"", key="a")
    kafka.produce(topic, {"v": 1}, key="a")
    kafka.produce(topic, {"city": "x"}, key="d", timestamp=old)
    kafka.flush()

    feed = wait_feed(n, "f", records=4, skipped={
        "json": 2, "room": 1, "size": 0, "expired": 1})
    assert (feed["rooms"], feed["keys"]) == (2, 3)
    assert feed["bytes"] > 0
    assert feed["partitions"][0]["offset"] == 8
    assert feed["partitions"][0]["lag"] == 0

    values = n.metrics()
    assert values['flux_records_total{feed="f"}'] == 4
    assert values['flux_record_bytes_total{feed="f"}'] == feed["bytes"]
    assert values['flux_records_skipped_total{feed="f",reason="json"}'] == 2
    assert values['flux_records_skipped_total{feed="f",reason="room"}'] == 1

    zone = n.status()["zone"]
    assert 0 < zone["live"] <= zone["used"] <= zone["size"]
    assert zone["records"] >= 4


def test_partitions_stand_by_topic_as_configured_then_by_number(
        kafka, nginx, module):
    later = kafka.create_topic(partitions=12)
    first = kafka.create_topic(partitions=2)
    n = nginx(kafka=kafka, http_conf=f"""
        flux_feed z {{ topic {first} {later}; }}
        flux_feed a {{ topic {later}; }}
        flux_feed m {{ topic {first}; }}""")

    for partition in (11, 1, 1):
        kafka.produce(later, {"n": 1}, key="k", partition=partition)
    kafka.flush()
    wait_feed(n, "z", records=3)
    wait_feed(n, "a", records=3)

    feeds = n.status()["feeds"]
    assert list(feeds) == ["z", "a", "m"]
    assert [(p["topic"], p["partition"]) for p in feeds["z"]["partitions"]] \
        == [(first, i) for i in range(2)] + [(later, i) for i in range(12)]
    assert [p["offset"] for p in feeds["a"]["partitions"]] \
        == [0, 2] + [0] * 9 + [1]

    values = n.metrics()
    for feed in ("z", "a"):
        assert values[f'flux_partition_offset{{feed="{feed}",topic="{later}",'
                      f'partition="1"}}'] == 2


def test_a_topic_that_is_missing_says_so_in_its_partition(
        kafka, nginx, module):
    topic = kafka.create_topic()
    n = nginx(kafka=kafka, ready=False, http_conf=f"""
        flux_feed good {{ topic {topic}; }}
        flux_feed bad {{ topic {topic}-missing; }}""")

    wait_feed(n, "good", ready=True)
    n.wait_log('flux feed "good" is complete: 0 rooms, 0 keys')
    wait_for(lambda: [p for p in n.status()["feeds"]["bad"]["partitions"]
                      if p["error"]], 15, "an error of the missing topic")

    bad = n.status()["feeds"]["bad"]
    assert bad["ready"] is False
    assert '"bad" is complete' not in n.error_log
    assert bad["partitions"][0]["lag"] is None
    assert bad["partitions"][0]["high_watermark"] is None
    values = n.metrics()
    assert values['flux_feed_ready{feed="bad"}'] == 0
    assert values['flux_feed_ready{feed="good"}'] == 1


def test_a_cluster_that_cannot_be_reached_is_down_and_says_why(nginx, module):
    n = nginx(brokers=f"127.0.0.1:{free_port()}", ready=False,
              http_conf="flux_feed f { topic t; }")

    wait_for(lambda: n.status()["clusters"]["main"]["error"], 15,
             "the cluster's error")
    status = n.status()
    assert status["clusters"]["main"]["state"] == "down"
    assert status["feeds"]["f"]["ready"] is False
    values = n.metrics()
    assert values['flux_cluster_up{cluster="main"}'] == 0
    assert values['flux_records_total{feed="f"}'] == 0


def test_a_cluster_goes_down_and_comes_up_again(own_kafka, nginx, module):
    topic = own_kafka.create_topic()
    n = nginx(kafka=own_kafka, http_conf=f"flux_feed f {{ topic {topic}; }}")
    own_kafka.send(topic, {"n": 1}, key="k")
    wait_feed(n, "f", records=1)

    def state():
        return n.status()["clusters"]["main"]

    own_kafka.stop()
    wait_for(lambda: state()["state"] == "down" and state()["error"], 20,
             "the cluster is down")
    assert n.status()["feeds"]["f"]["keys"] == 1
    assert n.metrics()['flux_cluster_up{cluster="main"}'] == 0

    own_kafka.start()
    wait_for(lambda: state() == {"state": "up", "error": None}, 30,
             "the cluster is up")
    assert n.metrics()['flux_cluster_up{cluster="main"}'] == 1


@pytest.mark.parametrize("zone", [True, False])
def test_a_cluster_that_is_only_published_to_has_its_real_state(
        own_kafka, nginx, module, zone):
    """And nobody has to publish for it."""
    brokers = own_kafka.brokers
    n = nginx(kafka=own_kafka if zone else None, workers=1, http_conf=f"""
              flux_kafka only {{ brokers {brokers}; }}""",
              server_conf="location = /p { flux_publish only t; }")

    def state():
        return n.status()["clusters"]["only"]

    wait_for(lambda: state() == {"state": "up", "error": None}, 10)
    assert n.metrics()['flux_cluster_up{cluster="only"}'] == 1
    own_kafka.kill()
    wait_for(lambda: state()["state"] == "down", 20)
    assert n.metrics()['flux_cluster_up{cluster="only"}'] == 0
    assert "onnect" in wait_for(lambda: state()["error"])
    own_kafka.start()
    wait_for(lambda: state() == {"state": "up", "error": None}, 20)
    n.reload()
    assert state() == {"state": "up", "error": None} or not zone
    wait_for(lambda: state()["state"] == "up", 10)


def test_evicted_keys_are_counted_when_the_zone_is_full(kafka, nginx, module):
    topic = kafka.create_topic()
    n = nginx(kafka=kafka, zone="1m",
              http_conf=f"flux_feed f {{ topic {topic}; }}")
    for i in range(2000):
        kafka.produce(topic, {"v": "x" * 1000}, key=f"k{i}")
    kafka.flush()

    feed = wait_feed(n, "f", records=2000)
    assert feed["evicted"] > 0
    assert feed["keys"] + feed["evicted"] == 2000
    zone = n.status()["zone"]
    assert zone["live"] <= zone["used"] <= zone["size"]
    assert n.metrics()['flux_keys_evicted_total{feed="f"}'] == feed["evicted"]


def test_a_zone_takes_no_memory_before_it_is_used(kafka, nginx, module):
    """A large zone costs what is in it, not what may come."""
    topic = kafka.create_topic()
    for i in range(1000):
        kafka.produce(topic, {"v": "x" * 1000}, key=f"k{i}")
    kafka.flush()
    n = nginx(kafka=kafka, zone="1024m",
              http_conf=f"flux_feed f {{ topic {topic}; }}")
    wait_feed(n, "f", records=1000, ready=True)

    # nginx's own table of the zone's pages takes 6 MB
    assert 1e6 < shared_memory(n) < 20e6


def shared_memory(n):
    """What the zones of this nginx take, in bytes, mapped or not."""
    maps = Path(f"/proc/{n.master}/maps").read_text()
    try:
        files = [Path(f"/proc/{n.master}/map_files/{line.split()[0]}").stat()
                 for line in maps.splitlines() if "/dev/zero" in line]
    except PermissionError:
        pytest.skip("the kernel tells it to few")
    return 512 * sum(file.st_blocks for file in files)


# --- readers ------------------------------------------------------------------

def test_readers_are_counted_by_feed_and_transport(kafka, nginx, module):
    one, two = kafka.create_topic(), kafka.create_topic()
    n = nginx(kafka=kafka,
              http_conf=f"flux_feed one {{ topic {one}; }}"
                        f"flux_feed two {{ topic {two}; }}",
              server_conf="location = /one { flux_stream one; }"
                          "location = /all { flux_stream one two; }")

    streams = [n.sse("/one"), n.sse("/all"), n.ws("/all")]
    for stream in streams:
        stream.wait_snapshot("one")

    # a reader of two feeds is one reader
    wait_for(lambda: n.status()["readers"]
             == {"sse": 2, "websocket": 1, "poll": 0}, 5, "three readers")
    feeds = n.status()["feeds"]
    assert (feeds["one"]["readers"], feeds["two"]["readers"]) == (3, 2)
    values = n.metrics()
    assert values['flux_readers{feed="one",transport="sse"}'] == 2
    assert values['flux_readers{feed="two",transport="sse"}'] == 1
    assert values['flux_readers{feed="two",transport="websocket"}'] == 1

    sent = n.status()["sent"]
    assert sent["frames"] >= 3 and sent["bytes"] > 0
    kafka.send(one, {"n": 1}, key="k")
    for stream in streams:
        stream.wait_value("one", "k", {"n": 1})
    wait_for(lambda: n.status()["sent"]["messages"] == sent["messages"] + 3,
             5, "three messages more")

    for stream in streams:
        stream.close()
    wait_for(lambda: n.status()["readers"]
             == {"sse": 0, "websocket": 0, "poll": 0}, 5, "no reader")
    feeds = n.status()["feeds"]
    assert (feeds["one"]["readers"], feeds["two"]["readers"]) == (0, 0)


def test_a_poll_is_counted_while_it_waits(kafka, nginx, module):
    topic = kafka.create_topic()
    n = nginx(kafka=kafka, http_conf=f"flux_feed f {{ topic {topic}; }}",
              server_conf="location = /f { flux_stream f; }")
    cursor = n.poll("/f").cursor

    connection = n.socket()
    connection.sendall(f"GET /f?cursor={cursor}&wait=20s HTTP/1.1\r\n"
                       "Host: x\r\nConnection: close\r\n\r\n".encode())
    wait_for(lambda: n.status()["readers"]["poll"] == 1, 5, "a poll waits")

    kafka.send(topic, {"n": 1}, key="k")
    while connection.recv(4096):
        pass
    wait_for(lambda: n.status()["readers"]["poll"] == 0, 5, "it is answered")
    assert n.metrics()['flux_sent_frames_total{transport="poll"}'] == 2


def test_the_readers_of_a_killed_worker_are_not_counted(kafka, nginx, module):
    topic = kafka.create_topic()
    n = nginx(kafka=kafka, http_conf=f"flux_feed f {{ topic {topic}; }}",
              server_conf="location = /f { flux_stream f; }")
    streams = [n.sse("/f") for _ in range(8)]
    for stream in streams:
        stream.wait_snapshot("f")
    victim = n.worker_of(streams[0])
    left = sum(n.worker_of(s) != victim for s in streams)

    n.kill(victim)
    wait_for(lambda: n.status()["readers"]["sse"] == left, 10,
             "only those of the other worker are counted")


# --- workers ------------------------------------------------------------------

def test_every_worker_gives_the_same_answer(kafka, nginx, module):
    topic = kafka.create_topic()
    n = nginx(kafka=kafka, workers=4, listen="reuseport",
              http_conf=f"flux_feed f {{ topic {topic}; }}",
              server_conf="add_header X-Pid $pid;")
    kafka.send(topic, {"n": 1}, key="k")
    wait_feed(n, "f", records=1)
    expected = n.status()
    assert expected["writer"]["pid"] in n.workers()

    answered = set()

    def all_answered():
        answer = n.get("/flux/status")
        assert answer.json() == expected
        answered.add(int(answer.headers["x-pid"]))
        return answered == set(n.workers())

    wait_for(all_answered, 20, "an answer of every worker", every=0)


def test_counters_survive_a_reload(kafka, nginx, module):
    topic = kafka.create_topic()
    n = nginx(kafka=kafka,
              http_conf=f"flux_drain 1s; flux_feed f {{ topic {topic}; }}",
              server_conf="location = /f { flux_stream f; }")
    kafka.send(topic, {"n": 1}, key="k")
    kafka.send(topic, b"{", key="k")
    wait_feed(n, "f", records=1, skipped={**NO_SKIPS, "json": 1})
    stream = n.sse("/f")
    stream.wait_snapshot("f")
    wait_for(lambda: n.status()["sent"]["frames"] == 1, 5, "a frame counted")
    before = n.status()

    n.reload()
    stream.wait_closed(20)
    n.wait_old_workers_gone()
    wait_for(lambda: n.writer in n.workers(), 10, "a new writer")
    after = n.status()

    assert after["writer"]["generation"] == before["writer"]["generation"] + 1
    assert after["feeds"]["f"]["records"] == 1
    assert after["feeds"]["f"]["skipped"]["json"] == 1
    assert after["sent"]["frames"] >= before["sent"]["frames"]
    assert after["ended"] == {"slow": 0, "reload": 1, "expired": 0, "quit": 0}
    assert after["readers"] == {"sse": 0, "websocket": 0, "poll": 0}
    assert n.metrics()['flux_readers_ended_total{reason="reload"}'] == 1


def test_a_feed_that_comes_with_a_reload_is_read_and_shown(
        kafka, nginx, module):
    one, two = kafka.create_topic(), kafka.create_topic()
    kafka.send(two, {"n": 1}, key="k")
    feed = f"flux_feed one {{ topic {one}; }}"
    n = nginx(kafka=kafka, http_conf=feed)
    assert list(n.status()["feeds"]) == ["one"]

    n.reload(http_conf=f"flux_feed two {{ topic {two}; }} {feed}")
    wait_feed(n, "two", ready=True, records=1)
    assert list(n.status()["feeds"]) == ["two", "one"]


def test_another_worker_writes_when_the_writer_was_killed(
        kafka, nginx, module):
    topic = kafka.create_topic()
    n = nginx(kafka=kafka, http_conf=f"flux_feed f {{ topic {topic}; }}")
    kafka.send(topic, {"n": 1}, key="k")
    wait_feed(n, "f", records=1)
    before = n.status()["writer"]

    n.kill(before["pid"])
    wait_for(lambda: n.writer in set(n.workers()) - {before["pid"]}, 10,
             "another writer")
    assert n.status()["writer"]["generation"] > before["generation"]

    kafka.send(topic, {"n": 2}, key="k")
    assert wait_feed(n, "f", records=2)["partitions"][0]["offset"] == 2
