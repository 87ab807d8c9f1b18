"""flux-weather serves the cities that readers are in: demand records in a
real Kafka, shared by a consumer group, one instance killed."""

import json
import signal
import time

import pytest

from program import wait_for
from test_kafka import records_of
from test_weather import AIR, FORECAST, PLACE

pytest.importorskip("harness", reason="no Kafka harness here")

TOPIC = "flux.demand.weather"


@pytest.fixture
def meteo(stub):
    stub.route("/v1/search", PLACE)
    stub.route("/v1/forecast", FORECAST)
    stub.route("/v1/air-quality", AIR)
    return stub


@pytest.fixture
def weather(run, own_kafka, meteo):
    def start(*options, name="w1", provider="open-meteo"):
        program = run("weather", "--brokers", own_kafka.brokers,
                      "--provider", provider, "--forecast-url", meteo.url,
                      "--air-url", meteo.url, "--geocoding-url", meteo.url,
                      "--forecast-rate", "100", "--instance", name, *options)
        program.wait_log("shares are this instance's", 60)
        return program

    return start


def want(kafka, room, node="n1", seconds=60):
    kafka.send(TOPIC, {"node": node, "room": room, "readers": 1, "expires":
                       int((time.time() + seconds) * 1000)},
               key=f"{node}/{room}")


def cities(kafka):
    return {r.key.decode() for r in records_of(kafka, "flux.weather")}


def asked(stub):
    return {q["name"][0] for _, q, _, _ in stub.asked("/v1/search")}


def test_only_demanded_and_configured_cities_are_served(
        weather, own_kafka, meteo):
    weather("--city", "Oslo")
    want(own_kafka, "paris")
    want(own_kafka, "new-york", node="n2")
    want(own_kafka, "Not A Slug")
    want(own_kafka, "late", seconds=-5)
    own_kafka.send(TOPIC, "nonsense", key="n1/x")
    own_kafka.send(TOPIC, {"node": "n1", "room": 7}, key="n1/7")
    own_kafka.send(TOPIC, None, key="n1/never-there")

    wait_for(lambda: cities(own_kafka) == {"oslo", "paris", "new-york"}, 30)
    assert asked(meteo) == {"oslo", "paris", "new york"}


def test_leases_end_by_time_and_by_tombstone(weather, own_kafka, meteo):
    weather("--interval", "1s")
    want(own_kafka, "short", seconds=3)
    want(own_kafka, "gone", seconds=60)
    want(own_kafka, "kept", seconds=60)
    want(own_kafka, "kept", node="n2", seconds=3)
    wait_for(lambda: cities(own_kafka) == {"short", "gone", "kept"}, 30)
    own_kafka.send(TOPIC, None, key="n1/gone")
    time.sleep(4)

    end = own_kafka.end_offsets("flux.weather")[0]
    wait_for(lambda: own_kafka.end_offsets("flux.weather")[0] > end + 3, 20)
    late = records_of(own_kafka, "flux.weather")[end:]
    assert {r.key for r in late} == {b"kept"}


def test_demanded_city_is_simulated_at_once_when_no_provider_answers(
        run, own_kafka):
    program = run("weather", "--brokers", own_kafka.brokers, "--provider",
                  "auto", "--grace", "500ms", "--forecast-url",
                  "http://127.0.0.1:9", "--air-url", "http://127.0.0.1:9",
                  "--geocoding-url", "http://127.0.0.1:9")
    program.wait_log("shares are this instance's", 60)
    want(own_kafka, "paris")
    wait_for(lambda: cities(own_kafka) == {"paris"}, 30)
    value = json.loads(records_of(own_kafka, "flux.weather")[0].value)
    assert value["source"] == "simulated" and value["city"] == "Paris"


def test_instances_share_the_cities_and_take_over_a_dead_ones(
        weather, own_kafka, meteo):
    first = weather(name="w1")
    second = weather(name="w2")
    names = [f"city-{i}" for i in range(40)]
    wait_for(lambda: "6 of 12 shares" in first.err
             and "6 of 12 shares" in second.err, 60)

    for name in names:
        want(own_kafka, name, seconds=90)
    wait_for(lambda: cities(own_kafka) == set(names), 60)

    # each city was asked for by one of them
    searches = meteo.asked("/v1/search")
    assert len(searches) == len(names)

    meteo.requests.clear()
    first.stop(signal.SIGKILL)
    killed = time.monotonic()
    for name in names:
        want(own_kafka, name, seconds=90)
    second.wait_log("12 of 12 shares", 60)
    wait_for(lambda: len(asked(meteo)) > 5, 30)
    assert time.monotonic() - killed < 60


def test_thousand_cities_stay_within_the_providers_rate(
        run, own_kafka, meteo):
    program = run("weather", "--brokers", own_kafka.brokers, "--provider",
                  "open-meteo", "--forecast-url", meteo.url, "--air-url",
                  meteo.url, "--geocoding-url", meteo.url)
    program.wait_log("shares are this instance's", 60)
    for i in range(1000):
        own_kafka.produce(TOPIC, {
            "node": "n1", "room": f"city-{i}", "readers": 1,
            "expires": int((time.time() + 100) * 1000)}, key=f"n1/city-{i}")
    own_kafka.flush()

    wait_for(lambda: len(meteo.asked("/v1/search")) >= 40, 60)
    with meteo.lock:
        times = sorted(r[3] for r in meteo.requests)
    seconds = times[-1] - times[0]
    # 3 per second and host, 4 at once: below 600 a minute
    assert len(times) <= 3 * (3 * seconds + 4) + 3
    assert program.stop() == 0
