"""The container image, built without a container engine."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from harness.http import request
from harness.process import (
    ROOT, alive, cmdline, descendants, free_port, spawn, stop, wait_for)

pytestmark = [
    pytest.mark.image, pytest.mark.slow, pytest.mark.timeout(900),
    pytest.mark.skipif(os.getuid() != 0, reason="a chroot needs root"),
    pytest.mark.skipif(not (ROOT / "config").exists(), reason="no module yet")]

CACHE = Path(os.environ.get("FLUX_CACHE") or Path(os.environ.get(
    "XDG_CACHE_HOME") or Path.home() / ".cache") / "flux")


@pytest.fixture(scope="module")
def buildah(tmp_path_factory):
    storage = tmp_path_factory.mktemp("containers")
    environment = {**os.environ, "BUILDAH_ISOLATION": "chroot",
                   "STORAGE_DRIVER": "vfs"}
    options = ["buildah", "--root", storage / "root",
               "--runroot", storage / "run"]

    def run(*arguments):
        done = subprocess.run([*options, *arguments], env=environment,
                              capture_output=True, text=True)
        assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
        return done.stdout.strip()

    run.argv = options
    run.environment = environment
    yield run
    run("rm", "--all")
    run("rmi", "--all", "--force")


def debian():
    """A folder with Debian's smallest system, made once."""
    folder = CACHE / "bookworm"
    if not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        made = CACHE / f"bookworm.{os.getpid()}"
        done = subprocess.run(["debootstrap", "--variant=minbase", "bookworm",
                               made], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-2000:]
        made.rename(folder)
    return folder


@pytest.fixture(scope="module")
def image(buildah):
    base = buildah("from", "scratch")
    buildah("add", base, debian())
    buildah("commit", "--rm", base, "docker.io/library/debian:bookworm-slim")
    # the build finds there what it would fetch
    subprocess.run([ROOT / "tools/uplot"], check=True, capture_output=True)
    buildah("bud", "--isolation", "chroot", "--pull=never", "--volume",
            f"{CACHE}:/root/.cache/flux:ro", "-t", "flux", str(ROOT))
    return "flux"


def test_image_serves_an_existing_kafka_as_an_ordinary_user(
        buildah, image, kafka):
    port = free_port()
    container = buildah("from", "--pull=never", image)
    # buildah run does not take the image's CMD
    running = spawn([*buildah.argv, "run", "--env", f"PORT={port}", "--env",
                     f"BROKERS={kafka.brokers}", container, "/usr/bin/flux"],
                    env=buildah.environment)
    try:
        wait_for(lambda: running.poll() is None and serves(port), 60,
                 "the container serves")
        url = f"http://127.0.0.1:{port}/flux/status"
        wait_for(lambda: request("GET", url).json()["clusters"]["main"][
            "state"] == "up", 30, "Kafka is seen from the container")
        assert buildah("run", container, "id", "-un") == "flux"
        for name in ("uPlot.esm.js", "uPlot.min.css"):
            chart = request("GET", f"http://127.0.0.1:{port}/vendor/uplot/"
                                   f"{name}")
            assert chart.status == 200 and len(chart.body) > 1000
        inside = descendants(running.pid)
        # as an engine does: to the container's own first process
        first, = [p for p in inside if cmdline(p) == "/bin/bash /usr/bin/flux"]
        os.kill(first, signal.SIGTERM)
        wait_for(lambda: not any(alive(p) for p in inside), 20,
                 "the container has ended")
    finally:
        stop(running)


def serves(port):
    try:
        request("GET", f"http://127.0.0.1:{port}/", timeout=5)
        return True
    except OSError:
        return False
