"""Promise 2 over TLS, HTTP/2 and compression: what goes through nginx's filters
and OpenSSL, and what has a context, is cut off by kills as anything else."""

import itertools
import random
import ssl
import subprocess

import pytest

from harness.h2sse import Http2Sse
from harness.http import request
from harness.load import (
    Load, Returning, Returnings, check_exactly_once, check_no_reset, drop,
    truth)
from harness.process import alive, free_port, let_workers_in, wait_for
from harness.sse import Sse
from harness.ws import WebSocket

TLS = ssl._create_unverified_context()


@pytest.fixture
def secure(kafka, nginx, module, tmp_path):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
         "/CN=localhost", "-keyout", tmp_path / "key.pem", "-out",
         tmp_path / "cert.pem"], check=True, capture_output=True)
    let_workers_in(tmp_path)
    topic = kafka.create_topic(partitions=3)
    port = free_port()
    n = nginx(kafka=kafka, listen="ssl http2 reuseport", status=False,
              ready=False, http_conf=f"""
              flux_drain 500ms;
              flux_feed f {{ topic {topic}; }}
              ssl_certificate {tmp_path}/cert.pem;
              ssl_certificate_key {tmp_path}/key.pem;""",
              server_conf="""location = /live { flux_stream f;
                                                flux_buffer 16m; }""",
              more_http=f"""server {{ listen 127.0.0.1:{port};
                            location /flux/status {{ flux_status; }} }}""")
    n.topic = topic
    n.status = lambda: request(
        "GET", f"http://127.0.0.1:{port}/flux/status").json()
    n.wait_ready()
    return n


def opener(n, first):
    """open() for Returning: another transport each time."""
    turn = itertools.count(first)

    def open(cursor):
        kind = next(turn) % 3
        if kind == 0:
            return n._keep(Http2Sse(n.url("/live", "https"), cursor=cursor))
        if kind == 1:
            return n._keep(Sse(n.url("/live", "https"), cursor=cursor,
                               compress=True))
        return n._keep(WebSocket(n.url("/live", "https"), cursor=cursor,
                                 compress=True, ssl=TLS))

    return open


@pytest.mark.parametrize("what", ["kill", "reload"])
def test_tls_http2_and_compression_cost_no_record(secure, kafka, what):
    n = secure
    readers = [Returning(opener(n, i)) for i in range(3)]
    for reader in readers:
        reader.stream.wait_snapshot("f")
    with Load(kafka, n.topic, 1000, padding=100) as load, \
            Returnings(*readers):
        for i in range(12):
            drop(readers[i % 3].stream)
            load.wait(random.randrange(50, 300))
            if what == "reload":
                n.reload()
            else:
                pid = random.choice(n.workers())
                n.kill(pid)
                wait_for(lambda: not alive(pid) and len(n.workers()) == 2, 10)
    records = truth(kafka, n.topic)
    for reader in readers:
        reader.wait_updates(len(records))
        check_no_reset(reader.messages)
        check_exactly_once(records, reader.messages)
        assert {type(s).__name__ for s in reader.streams} \
            == {"Http2Sse", "Sse", "WebSocket"}
    assert sum(len(reader.streams) for reader in readers) > 18
