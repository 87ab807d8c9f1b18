"""A thousand readers at once: over reloads, and beside some that never read."""

import os
import re

import pytest

from harness.herd import Herd, check_exactly_once
from harness.load import Load
from harness.process import wait_for

LIVE = "location = /live { flux_stream f; flux_buffer 16m; }"


def connections(pid):
    found = 0
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found += os.readlink(f"/proc/{pid}/fd/{fd}").startswith("socket:")
        except OSError:
            pass
    return found


@pytest.mark.slow
def test_1000_readers_through_20_reloads_miss_nothing_and_see_nothing_twice(
        kafka, nginx, module):
    topic = kafka.create_topic(partitions=3)
    n = nginx(kafka=kafka, listen="reuseport backlog=4096", server_conf=LIVE,
              connections=4096, zone="32m", log_level="notice",
              http_conf=f"""flux_drain 500ms;
                            flux_feed f {{ topic {topic}; }}""")
    with Herd(n.port, "/live", 1000) as herd:
        # SSE and WebSocket by half, and every reader on the other after each
        assert all(connections(pid) > 300 for pid in n.workers())
        with Load(kafka, topic, 100) as load:
            for _ in range(20):
                load.wait(20)
                n.reload()
                n.wait_old_workers_gone()
            load.wait(20)
        seen = herd.until(load.n)
    print(f"{load.n} records, {seen}")
    check_exactly_once(seen, load.n)
    # who is still on its way back when the next one begins is spared it
    assert seen["ends"] > 15 * 1000
    # nobody was cut off without a word, or found nobody to serve it
    assert seen["cuts"] == seen["ends"] and seen["refused"] == 0
    assert n.status()["ended"]["reload"] == seen["ends"]
    assert not re.findall(r"\[(?:error|crit|alert|emerg)\].*", n.error_log)
