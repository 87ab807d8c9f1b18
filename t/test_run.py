"""make run: the demo as a person meets it."""

import os
import re
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from harness.http import request
from harness.process import (
    ROOT, alive, descendants, free_port, let_workers_in, spawn, wait_for)
from harness.sse import Sse

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not (ROOT / "config").exists(), reason="no module yet")]


class Demo:
    def __init__(self, directory, **variables):
        self.port = variables.get("PORT") or free_port()
        self.temporary = directory / "tmp"
        self.temporary.mkdir(exist_ok=True)
        self.temporary.chmod(0o755)
        self.log = directory / f"output-{self.port}"
        # as from a shell of its own, not from make test's
        environment = {k: v for k, v in os.environ.items()
                       if k not in ("BUILD", "SANITIZE", "BROKERS", "PORT",
                                    "MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
        arguments = {**variables, "PORT": self.port}
        with open(self.log, "w") as output:
            self.make = spawn(
                ["make", "run", *(f"{k}={v}" for k, v in arguments.items())],
                cwd=ROOT, stdout=output, stderr=output,
                env={**environment, "TMPDIR": str(self.temporary)})

    @property
    def output(self):
        return self.log.read_text()

    @property
    def state(self):
        return self.temporary / f"flux-run-{os.getuid()}-{self.port}"

    def url(self, path="/"):
        return f"http://127.0.0.1:{self.port}{path}"

    def wait_up(self):
        def up():
            assert self.make.poll() is None, self.output
            return f"Flux is at http://localhost:{self.port}/" in self.output

        wait_for(up, 200, "make run prints its address")
        return self

    def wait_refused(self):
        """The one sentence that it says before it ends with an error."""
        assert self.make.wait(120) != 0
        lines = [line for line in self.output.splitlines()
                 if line.startswith("flux: ")]
        assert len(lines) == 1, self.output
        return lines[0]

    def tree(self):
        return descendants(self.make.pid)

    def close(self):
        if self.make.poll() is None:
            self.make.terminate()
            self.make.wait(30)


@pytest.fixture
def demo(tmp_path_factory):
    directory = tmp_path_factory.mktemp("demo")
    let_workers_in(directory)
    running = []

    def make(**variables):
        running.append(Demo(directory, **variables))
        return running[-1]

    yield make
    for one in running:
        one.close()


def test_the_demo_serves_the_page_its_streams_and_its_figures(demo):
    one = demo().wait_up()

    wait_for(lambda: request("GET", one.url("/flux/status")).json()[
        "clusters"]["main"]["state"] == "up", 20, "Kafka is up")
    metrics = request("GET", one.url("/flux/metrics"))
    assert b"flux_records_total{" in metrics.body
    if (ROOT / "html" / "index.html").exists():
        page = request("GET", one.url())
        assert page.status == 200 and b"<html" in page.body.lower()
    for path in ("/live", "/live/crypto", "/live/news", "/live/stocks",
                 "/live/weather/paris"):
        reader = Sse(one.url(path))
        try:
            reader.wait(lambda s: s.of_type("snapshot"), 10, path)
        finally:
            reader.close()


@pytest.mark.parametrize("end", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_the_demo_leaves_nothing_behind(demo, end):
    one = demo().wait_up()
    tree = one.tree()
    assert len(tree) > 4

    if end == "SIGINT":     # Ctrl-C: to all of the terminal's processes
        os.killpg(one.make.pid, signal.SIGINT)
    else:                   # to make alone
        one.make.send_signal(getattr(signal, end))
    one.make.wait(30)

    wait_for(lambda: not any(alive(pid) for pid in tree), 20,
             "every process of the demo is gone")
    wait_for(lambda: not one.state.exists(), 5, "its folder is gone")


def test_a_second_demo_on_the_same_port_is_refused(demo):
    one = demo().wait_up()
    assert "runs on port" in demo(PORT=one.port).wait_refused()
    assert request("GET", one.url("/flux/status")).status == 200


def test_a_taken_port_is_told_with_one_that_is_free(demo):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        told = demo(PORT=port).wait_refused()
    assert re.search(rf"port {port} is taken .* PORT=\d+", told)


def test_the_demo_uses_an_existing_kafka_and_leaves_it_alone(demo, kafka):
    one = demo(BROKERS=kafka.brokers).wait_up()
    assert f"Using the Kafka at {kafka.brokers}" in one.output
    assert not any("kafka.Kafka" in Path(f"/proc/{pid}/cmdline").read_text()
                   for pid in one.tree())
    one.make.terminate()
    one.make.wait(30)
    assert kafka.process.poll() is None


def test_install_puts_the_module_where_nginx_looks(tmp_path, module):
    subprocess.run(["make", "install", f"DESTDIR={tmp_path}", "PREFIX=/opt/x"],
                   cwd=ROOT, check=True, capture_output=True)
    assert (tmp_path / "usr/lib/nginx/modules/ngx_http_flux_module.so") \
        .read_bytes() == module.read_bytes()
