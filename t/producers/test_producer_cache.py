"""Good replies in a real Redis or Valkey: a restart asks nobody; a cache
that is absent, slow, broken or lies changes nothing else."""

import shutil
import socket
import subprocess
import threading
import time

import pytest

from program import wait_for
from test_weather import AIR, FORECAST, PLACE

SERVER = shutil.which("valkey-server") or shutil.which("redis-server")


@pytest.fixture
def meteo(stub):
    stub.route("/v1/search", PLACE)
    stub.route("/v1/forecast", FORECAST)
    stub.route("/v1/air-quality", AIR)
    return stub


class Cache:
    def __init__(self, folder):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.folder = folder
        self.url = f"redis://127.0.0.1:{self.port}"

    def start(self):
        self.process = subprocess.Popen(
            [SERVER, "--port", str(self.port), "--bind", "127.0.0.1",
             "--save", "", "--dir", str(self.folder)],
            stdout=subprocess.DEVNULL)
        wait_for(lambda: self.command("PING") == "+PONG")
        return self

    def command(self, *words):
        request = f"*{len(words)}\r\n" + "".join(
            f"${len(w.encode())}\r\n{w}\r\n" for w in words)
        try:
            with socket.create_connection(("127.0.0.1", self.port), 2) as s:
                s.sendall(request.encode())
                return s.recv(65536).decode(errors="replace").split("\r\n")[0]
        except OSError:
            return None

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


@pytest.fixture
def cache(tmp_path):
    if SERVER is None:
        pytest.skip("no valkey-server or redis-server")
    server = Cache(tmp_path).start()
    yield server
    server.stop()


def weather(run, stub, url, *options):
    return run("weather", "--provider", "open-meteo", "--city", "Paris",
               "--forecast-url", stub.url, "--air-url", stub.url,
               "--geocoding-url", stub.url, "--print", "--cache", url,
               *options)


def test_restart_asks_no_provider_again(run, meteo, cache):
    program = weather(run, meteo, cache.url)
    program.wait_records(1)
    wait_for(lambda: cache.command("DBSIZE") == ":3")
    program.stop()

    meteo.requests.clear()
    program = weather(run, meteo, cache.url)
    wait_for(lambda: program.records and program.records[-1]["aqi"] == 42)
    assert program.records[-1]["temperature_c"] == 13.4
    time.sleep(1)
    assert meteo.requests == []


def test_lies_in_the_cache_are_refused(run, meteo, cache):
    for key in ("open-meteo-geocoding", "open-meteo", "open-meteo-air"):
        cache.command("SET", f"flux:{key}:paris",
                      '{"at":1,"body":"{\\"results\\":[{}]}"}')
    cache.command("SET", "flux:open-meteo:paris", "\x00nonsense")
    program = weather(run, meteo, cache.url, "--once")
    assert program.wait() == 0, program.err
    assert program.records[0]["temperature_c"] == 13.4


def test_absent_cache_changes_nothing(run, meteo):
    program = weather(run, meteo, "redis://127.0.0.1:9", "--once")
    assert program.wait() == 0, program.err
    assert len(program.records) == 1
    assert "going on without" in program.err


@pytest.mark.parametrize("answer", [None, b"!!!!\r\n", b"$-5\r\n",
                                    b"$999999999\r\nx"],
                         ids=["silent", "garbage", "negative", "huge"])
def test_slow_or_broken_cache_changes_nothing(run, meteo, answer):
    server = socket.create_server(("127.0.0.1", 0))
    held = []

    def serve():
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            held.append(connection)
            if answer is not None:
                try:
                    connection.recv(1000)
                    connection.sendall(answer)
                except OSError:
                    pass

    threading.Thread(target=serve, daemon=True).start()
    began = time.monotonic()
    program = weather(run, meteo,
                      f"redis://127.0.0.1:{server.getsockname()[1]}",
                      "--once")
    assert program.wait() == 0, program.err
    assert program.records[0]["temperature_c"] == 13.4
    assert time.monotonic() - began < 8
    server.shutdown(socket.SHUT_RDWR)
    server.close()


def test_cache_that_dies_and_returns_is_used_again(run, meteo, cache):
    program = weather(run, meteo, cache.url, "--interval", "1s")
    wait_for(lambda: cache.command("DBSIZE") == ":3")
    cache.stop()
    program.wait_log("going on without")
    seen = len(program.records)
    program.wait_records(seen + 2)
    cache.start()
    wait_for(lambda: cache.command("DBSIZE") not in (":0", None), 30)


def test_wrong_url_is_told(run):
    program = run("weather", "--cache", "http://x", "--city", "Paris",
                  "--print")
    assert program.wait() == 2 and "redis://" in program.err
