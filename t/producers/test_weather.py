"""flux-weather against a stub that answers as Open-Meteo does."""

import json
import time
from urllib.parse import quote

import pytest

from program import wait_for
from stub import reply, silence

PLACE = {"results": [{
    "id": 2988507, "name": "Paris", "latitude": 48.85341,
    "longitude": 2.3488, "elevation": 42.0, "feature_code": "PPLC",
    "country_code": "FR", "timezone": "Europe/Paris", "population": 2138551,
    "country": "France", "admin1": "\u00cele-de-France"}],
    "generationtime_ms": 0.58}

HOURS = [f"2026-11-25T{h:02}:00" for h in range(24)] \
    + [f"2026-11-26T{h:02}:00" for h in range(24)]

# as text: what a program would make of the numbers does not count
FORECAST = """{"latitude":48.86,"longitude":2.3599997,
"generationtime_ms":0.1,"utc_offset_seconds":3600,
"timezone":"Europe/Paris","timezone_abbreviation":"GMT+1","elevation":43.0,
"current_units":{"time":"iso8601","temperature_2m":"\u00b0C"},
"current":{"time":"2026-11-25T13:15","interval":900,"temperature_2m":13.40,
"apparent_temperature":-0.5,"relative_humidity_2m":76,"is_day":1,
"precipitation":0.00,"weather_code":61,"cloud_cover":100,
"pressure_msl":1013.2,"visibility":24140.00,"wind_speed_10m":12.3,
"wind_direction_10m":210,"wind_gusts_10m":30.2},
"hourly":{"time":%s,"temperature_2m":%s,"weather_code":%s,
"precipitation_probability":%s},
"daily":{"time":["2026-11-25","2026-11-26"],
"sunrise":["2026-11-25T08:15","2026-11-26T08:16"],
"sunset":["2026-11-25T16:58","2026-11-26T16:57"],
"temperature_2m_max":[14.0,12.1],"temperature_2m_min":[7.9,6.0]}}""" % (
    json.dumps(HOURS), [h / 2 for h in range(48)], [3] * 48, [20] * 48)

AIR = {"latitude": 48.9, "longitude": 2.4, "generationtime_ms": 0.2,
       "current": {"time": "2026-11-25T13:00", "interval": 3600,
                   "us_aqi": 42, "european_aqi": 31, "pm2_5": 7.4,
                   "pm10": 11.2}}

ERROR = {"error": True, "reason": "Latitude must be in range of -90 to 90"}


def serve(stub, place=PLACE, forecast=FORECAST, air=AIR):
    stub.route("/v1/search", place)
    stub.route("/v1/forecast", forecast)
    stub.route("/v1/air-quality", air)


def weather(run, stub, *options, city="Paris", **settings):
    return run("weather", "--provider", "open-meteo", "--city", city,
               "--forecast-url", stub.url, "--air-url", stub.url,
               "--geocoding-url", stub.url, "--forecast-rate", "100",
               "--print", *options, **settings)


def test_record_holds_the_providers_numbers_as_text(run, stub):
    serve(stub)
    program = weather(run, stub, "--once")

    assert program.wait() == 0, program.err
    text, = program.out.splitlines()
    for part in ['"latitude":48.85341', '"temperature_c":13.40',
                 '"temperature_f":56.1', '"feels_like_c":-0.5',
                 '"feels_like_f":31.1', '"precipitation_mm":0.00',
                 '"visibility_m":24140.00', '"high_c":14.0', '"low_f":46.2']:
        assert part in text, part

    record = json.loads(text)
    hours = record.pop("hours")
    assert hours[0] == {"time": "2026-11-25T14:00", "temperature_c": 7.0,
                        "temperature_f": 44.6, "code": 3,
                        "condition": "Overcast",
                        "precipitation_probability": 20}
    assert len(hours) == 12 and hours[-1]["time"] == "2026-11-26T01:00"
    assert record == {
        "city": "Paris", "slug": "paris", "country": "France",
        "country_code": "FR", "timezone": "Europe/Paris",
        "latitude": 48.85341, "longitude": 2.3488,
        "time": "2026-11-25T13:15", "utc_offset_seconds": 3600,
        "temperature_c": 13.4, "temperature_f": 56.1, "feels_like_c": -0.5,
        "feels_like_f": 31.1, "humidity": 76, "wind_kmh": 12.3,
        "wind_direction": 210, "gusts_kmh": 30.2, "pressure_hpa": 1013.2,
        "visibility_m": 24140.0, "cloud_cover": 100, "precipitation_mm": 0.0,
        "is_day": True, "code": 61, "condition": "Light rain",
        "high_c": 14.0, "high_f": 57.2, "low_c": 7.9, "low_f": 46.2,
        "sunrise": "2026-11-25T08:15", "sunset": "2026-11-25T16:58",
        "aqi": 42, "european_aqi": 31, "pm2_5": 7.4, "pm10": 11.2,
        "provider": "open-meteo", "source": "live"}

    query = stub.asked("/v1/forecast")[0][1]
    assert query["latitude"] == ["48.85341"]


@pytest.mark.parametrize("name, slug, asked", [
    ("New York", "new-york", "new york"), ("São Paulo", "são-paulo",
                                           "são paulo"),
    ("a&b=c#d", "a&b=c#d", "a&b=c#d"), ("50% off", "50%-off", "50% off")])
def test_names_become_slugs_and_are_escaped(run, stub, name, slug, asked):
    serve(stub)
    program = weather(run, stub, "--once", city=name)
    assert program.wait() == 0, program.err
    assert program.records[0]["slug"] == slug
    assert stub.asked("/v1/search")[0][1]["name"] == [asked]
    assert quote(asked)


def test_unknown_city_is_told_and_exits_with_1(run, stub):
    serve(stub, place={"generationtime_ms": 0.6})
    program = weather(run, stub, "--once", city="Xyzzy")
    assert program.wait() == 1
    assert "no such city" in program.err and program.out == ""


@pytest.mark.parametrize("bad", [
    ERROR, {**ERROR, "reason": "Minutely API request limit exceeded."},
    {}, [], "[", {"current": {"time": "2026-11-25T13:15"}},
    {"current": {"time": 5, "temperature_2m": 1, "weather_code": 3}},
    FORECAST.replace("13.40", '"13.40"'), FORECAST.replace(
        '"weather_code":61', '"weather_code":null'), FORECAST[:-1]],
    ids=lambda bad: str(bad)[:30])
def test_wrong_forecast_never_replaces_good_data(run, stub, bad):
    serve(stub)
    stub.route("/v1/forecast", FORECAST, bad,
               FORECAST.replace("13.40", "20.5"))
    program = weather(run, stub, "--interval", "1s")

    wait_for(lambda: [r for r in program.records
                      if r["temperature_c"] == 20.5], 30)
    assert {r["temperature_c"] for r in program.records} == {13.4, 20.5}
    wait_for(lambda: "open-meteo: paris:" in program.err)


def test_air_that_is_missing_delays_no_forecast(run, stub):
    serve(stub, air=silence())
    began = time.monotonic()
    program = weather(run, stub)
    record = program.wait_records(1)[0]
    assert time.monotonic() - began < 5
    assert record["aqi"] is None and record["temperature_c"] == 13.4


def test_made_up_air_is_in_no_live_record(run, stub):
    """The provider comes back, and its air does not, or later."""
    dead = reply(b"", 500)
    serve(stub, place=dead, forecast=dead, air=dead)
    program = weather(run, stub, "--provider", "auto", "--grace", "500ms",
                      "--interval", "1s")
    made_up = program.wait_records(1, 20)[0]
    assert made_up["source"] == "simulated" and made_up["aqi"] is not None
    serve(stub, air=dead)
    wait_for(lambda: [r for r in program.records if r["source"] == "live"],
             60)
    live, = [r for r in program.records if r["source"] == "live"][:1]
    assert live["temperature_c"] == 13.4
    assert live["aqi"] is None and live["pm2_5"] is None


def test_polar_day_without_sunrise_is_still_weather(run, stub):
    serve(stub, forecast=FORECAST.replace(
        '"sunrise":["2026-11-25T08:15","2026-11-26T08:16"],', ""))
    program = weather(run, stub, "--once")
    assert program.wait() == 0, program.err
    assert program.records[0]["sunrise"] is None


def test_key_goes_into_the_request_and_nowhere_else(run, stub, tmp_path):
    serve(stub)
    program = weather(run, stub, "--once", "--log-level", "debug",
                      "--record", tmp_path, env={"OPEN_METEO_KEY": "s3cr3t"})
    assert program.wait() == 0, program.err
    assert stub.asked("/v1/forecast")[0][1]["apikey"] == ["s3cr3t"]
    assert "s3cr3t" not in program.err + program.out
    for file in tmp_path.iterdir():
        assert "s3cr3t" not in file.read_text()


def test_simulation_serves_the_configured_cities(run):
    program = run("weather", "--provider", "simulated", "--city",
                  "Paris,Oslo", "--print", "--rate", "50")
    records = program.wait_records(10)
    assert {r["slug"] for r in records} == {"paris", "oslo"}
    assert {r["source"] for r in records} == {"simulated"}


def test_replay_needs_no_city(run, stub, tmp_path):
    serve(stub)
    program = weather(run, stub, "--record", tmp_path)
    program.wait_records(1)
    wait_for(lambda: len(list(tmp_path.iterdir())) == 3)
    program.stop()

    program = run("weather", "--provider", "replay", "--replay", tmp_path, "--print", "--once")
    assert program.wait() == 0, program.err
    assert program.records[-1]["temperature_c"] == 13.4
    assert program.records[-1]["source"] == "replay"


def test_answers_are_bounded_in_size(run, stub):
    hours = [f"2026-11-25T{h:02}:00" for h in range(24)] * 400
    serve(stub)
    stub.route("/v1/forecast", reply(FORECAST.replace(
        json.dumps(HOURS), json.dumps(hours))))
    program = weather(run, stub, "--once")
    assert program.wait() == 0, program.err
    assert len(program.records[0]["hours"]) == 12
