"""flux-crypto against a stub that answers as Coinbase Exchange does."""

import json
import time

import pytest

from program import wait_for
from stub import (bomb, chunked, cut, gzipped, redirect, reply, silence)

TICKER = {"ask": "93381.01", "bid": "93381.00", "volume": "8436.04940154",
          "trade_id": 726522, "price": "93381.00", "size": "0.00698254",
          "time": "2026-11-20T00:22:57.833Z", "rfq_volume": "12.5"}
STATS = {"open": "92000.10000000", "high": "94001.37000000",
         "low": "91050.00000000", "last": "93381.00",
         "volume": "8436.04940154", "volume_30day": "286763.72930864"}


def serve(stub, ticker=TICKER, stats=STATS, product="BTC-USD"):
    stub.route(f"/products/{product}/ticker", ticker)
    stub.route(f"/products/{product}/stats", stats)


def live(run, stub, *options, product="BTC-USD", **settings):
    return run("crypto", "--provider", "coinbase", "--coinbase-url", stub.url,
               "--product", product, "--print", "--no-websocket",
               "--no-movers", *options, **settings)


def test_record_holds_the_providers_own_text(run, stub):
    serve(stub)
    program = live(run, stub, "--once")

    assert program.wait() == 0, program.err
    assert program.records == [{
        "symbol": "BTC-USD", "name": "Bitcoin", "price": "93381.00",
        "open": "92000.10000000", "high": "94001.37000000",
        "low": "91050.00000000", "volume": "8436.04940154",
        "change": "1.50", "time": "2026-11-20T00:22:57.833Z",
        "provider": "coinbase", "source": "live"}]
    for _, _, headers, _ in stub.requests:
        assert headers["User-Agent"].startswith("flux/")


@pytest.mark.parametrize("price", ["0.00000001", "1e-8", "123456789012.50",
                                   "7", "0.10", "99999999999999999999.9999"])
def test_no_value_changes_on_its_way(run, stub, price):
    serve(stub, {**TICKER, "price": price})
    program = live(run, stub, "--once")

    assert program.wait() == 0, program.err
    assert f'"price":"{price}"' in program.out


def test_gzip_is_understood(run, stub):
    serve(stub, gzipped(TICKER), gzipped(STATS))
    program = live(run, stub, "--once")

    assert program.wait() == 0, program.err
    assert len(program.records) == 1


@pytest.mark.parametrize("bad", [
    {**TICKER, "price": 93381.0}, {**TICKER, "price": "NaN"},
    {**TICKER, "price": "-1"}, {**TICKER, "price": "0"},
    {**TICKER, "price": ""}, {**TICKER, "price": None},
    {**TICKER, "price": "9" * 400}, {**TICKER, "price": ["1"]},
    {"time": TICKER["time"]}, {**TICKER, "time": 5}, {**TICKER, "time": ""},
    [], "[1,2", "", "null", "<html>oops</html>",
    {"message": "something is wrong"}],
    ids=lambda bad: json.dumps(bad)[:40])
def test_wrong_reply_never_replaces_good_data(run, stub, bad):
    good = {**TICKER, "price": "2"}
    serve(stub)
    stub.route("/products/BTC-USD/ticker", TICKER,
               reply(bad) if bad != "" else reply(b""), good)
    program = live(run, stub, "--interval", "100ms")

    records = program.wait_records(2)
    assert [r["price"] for r in records[:2]] == ["93381.00", "2"]
    wait_for(lambda: "coinbase: ticker/BTC-USD" in program.err)


@pytest.mark.parametrize("trouble", [
    reply({"message": "Internal error"}, 500), reply(b"", 502), cut("{"),
    chunked(), bomb(), reply(b"x" * (3 << 20)), redirect("/elsewhere"),
    reply({"message": "Forbidden"}, 403)],
    ids=["500", "502", "cut", "chunked", "bomb", "huge", "redirect", "403"])
def test_trouble_is_retried_until_it_is_over(run, stub, trouble):
    serve(stub)
    stub.route("/products/BTC-USD/ticker", trouble, TICKER)
    stub.route("/elsewhere", TICKER)
    program = live(run, stub)

    program.wait_records(1)
    assert len(stub.asked("/products/BTC-USD/ticker")) >= 2
    assert stub.asked("/elsewhere") == []


def test_large_bodies_do_not_cost_their_size(run, stub):
    serve(stub)
    stub.route("/products/BTC-USD/ticker", bomb(), chunked(count=2000),
               TICKER)
    program = live(run, stub)
    program.wait_records(1)

    status = open(f"/proc/{program.process.pid}/status").read()
    peak = int(status.split("VmHWM:")[1].split()[0])
    if "Sanitizer" not in open(f"/proc/{program.process.pid}/maps").read() \
            and "libasan" not in open(
                f"/proc/{program.process.pid}/maps").read():
        assert peak < 40 * 1024


def test_silent_provider_is_left_after_the_timeout(run, stub):
    serve(stub)
    stub.route("/products/BTC-USD/ticker", silence(), TICKER)
    began = time.monotonic()
    program = live(run, stub, "--timeout", "500ms")

    program.wait_records(1)
    assert time.monotonic() - began < 8
    first, second = stub.asked("/products/BTC-USD/ticker")[:2]
    assert second[3] - first[3] >= 0.5


def test_retry_after_is_kept(run, stub):
    serve(stub)
    stub.route("/products/BTC-USD/ticker",
               reply({"message": "Too many"}, 429, {"Retry-After": "2"}),
               TICKER)
    program = live(run, stub)

    program.wait_records(1)
    first, second = stub.asked("/products/BTC-USD/ticker")[:2]
    assert 1.9 <= second[3] - first[3] < 6


def test_rate_holds_for_all_requests_together(run, stub):
    products = [f"C{n}-USD" for n in range(8)]
    for product in products:
        serve(stub, product=product)
    live(run, stub, "--coinbase-rate", "20", "--interval", "100ms",
         product=",".join(products))

    wait_for(lambda: len(stub.requests) >= 50)
    times = sorted(r[3] for r in stub.requests)
    # a burst of ten, then twenty a second
    assert times[49] - times[0] >= 39 / 20 * 0.9


def test_breaker_opens_and_one_probe_closes_it(run, stub):
    serve(stub)
    stub.route("/products/BTC-USD/ticker", reply(b"", 500))
    stub.route("/products/BTC-USD/stats", reply(b"", 500))
    program = live(run, stub, "--log-level", "debug", "--interval", "100ms")

    def quiet():
        with stub.lock:
            last = stub.requests[-1][3] if stub.requests else None
            return last and len(stub.requests) >= 5 \
                and time.monotonic() - last > 3.5

    wait_for(quiet, 40, "a pause of the breaker")
    asked = len(stub.requests)
    serve(stub)
    program.wait_records(1, 20)
    assert len(stub.requests) >= asked + 2


def test_product_that_is_refused_does_not_stop_the_others(run, stub):
    serve(stub)
    program = live(run, stub, "--interval", "100ms", "--once",
                   product="BTC-USD,XX-USD")

    assert program.wait() == 1
    assert [r["symbol"] for r in program.records][0] == "BTC-USD"


def test_tls_is_checked(run, tls_stub):
    serve(tls_stub)
    program = live(run, tls_stub)
    program.wait_log("certificate")
    assert program.stop() == 0
    assert program.records == [] and tls_stub.requests == []

    program = live(run, tls_stub, "--once", "--ca-file",
                   tls_stub.certificate)
    assert program.wait() == 0, program.err


def test_auto_falls_back_to_simulation_and_returns_to_live(run, stub):
    stub.default = [reply(b"", 500)]
    program = run("crypto", "--provider", "auto", "--coinbase-url", stub.url,
                  "--product", "BTC-USD,ETH-USD", "--print", "--grace",
                  "300ms", "--rate", "50", "--interval", "100ms",
                  "--no-websocket", "--no-movers")

    records = program.wait_records(20)
    assert {r["source"] for r in records} == {"simulated"}
    assert {r["symbol"] for r in records} == {"BTC-USD", "ETH-USD"}

    serve(stub)
    serve(stub, product="ETH-USD")
    wait_for(lambda: program.records[-1]["source"] == "live", 30)
    seen = len(program.records)
    records = program.wait_records(seen + 10, 30)
    assert {r["source"] for r in records[seen:]} == {"live"}

    # good data that grow old are better than invented ones
    stub.routes.clear()
    seen = len(program.records)
    time.sleep(1)
    assert {r["source"] for r in program.records[seen:]} <= {"live"}


def test_simulation_is_repeatable_and_keeps_its_rate(run):
    def prices(seed, count=40):
        program = run("crypto", "--provider", "simulated", "--print",
                      "--seed", seed, "--rate", "100", "--no-movers")
        return [(r["symbol"], r["price"])
                for r in program.wait_records(count)[:count]]

    assert prices(5) == prices(5) != prices(6)

    program = run("crypto", "--provider", "simulated", "--print", "--rate",
                  "20")
    program.wait_records(1)
    began, seen = time.monotonic(), len(program.records)
    program.wait_records(seen + 40)
    assert 1.5 < time.monotonic() - began < 6


def test_replay_repeats_what_was_recorded(run, stub, tmp_path):
    serve(stub)
    stub.route("/products/BTC-USD/ticker", TICKER, {**TICKER, "price": "7"},
               {**TICKER, "price": "8"})
    program = live(run, stub, "--record", tmp_path / "tape", "--interval",
                   "100ms")
    recorded = program.wait_records(3)[:3]
    program.stop()

    program = run("crypto", "--provider", "replay", "--replay", tmp_path / "tape", "--product",
                  "BTC-USD", "--print", "--once")
    assert program.wait() == 0, program.err
    assert program.records[:3] == [{**r, "source": "replay"}
                                   for r in recorded]

    line = json.loads((tmp_path / "tape/coinbase.jsonl").open().readline())
    assert line["provider"] == "coinbase" and line["status"] == 200


def test_replay_keeps_the_time_between_replies(run, tmp_path):
    with (tmp_path / "coinbase-ws.jsonl").open("w") as tape:
        for i, at in enumerate([1000, 1000, 2000, 2100]):
            body = json.dumps({
                "type": "ticker", "product_id": "BTC-USD",
                "price": str(i + 1), "open_24h": "1", "high_24h": "5",
                "low_24h": "1", "volume_24h": "9",
                "time": "2024-01-31T00:00:00Z"})
            tape.write(json.dumps({
                "at": at, "provider": "coinbase-ws", "status": 200,
                "request": "ticker/BTC-USD", "body": body}) + "\n")
        tape.write('{"at": 5, "torn')

    program = run("crypto", "--provider", "replay", "--replay", tmp_path, "--print",
                  "--replay-speed", "2")
    program.wait_records(2)
    began = time.monotonic()
    records = program.wait_records(4)
    assert 0.3 < time.monotonic() - began < 2
    assert [r["price"] for r in records[:4]] == ["1", "2", "3", "4"]
    assert program.wait_records(8)[4]["price"] == "1"       # and again


def test_tape_covers_some_products_and_the_rest_is_simulated(run, tmp_path):
    body = json.dumps({"type": "ticker", "product_id": "BTC-USD",
                       "price": "3", "open_24h": "1", "high_24h": "5",
                       "low_24h": "1", "volume_24h": "9",
                       "time": "2024-01-31T00:00:00Z"})
    (tmp_path / "coinbase-ws.jsonl").write_text(json.dumps({
        "at": 1, "provider": "coinbase-ws", "request": "ticker/BTC-USD",
        "status": 200, "body": body}) + "\n")

    program = run("crypto", "--provider", "auto", "--coinbase-url",
                  "http://127.0.0.1:9", "--grace", "200ms", "--replay",
                  tmp_path, "--product", "BTC-USD,ETH-USD", "--print",
                  "--rate", "50", "--no-websocket", "--no-movers")
    records = program.wait_records(50)
    assert {(r["symbol"], r["source"]) for r in records} == {
        ("BTC-USD", "replay"), ("ETH-USD", "simulated")}


@pytest.mark.parametrize("options, told", [
    (["--rate", "abc"], "--rate: 'abc' is not a number"),
    (["--provider", "nobody"], "--provider: 'nobody' is not one of"),
    (["--product", "btc"], "'btc' is not like BTC-USD"),
    (["--provider", "replay", "--replay", "/nonexistent"], "--replay: no tape in /nonexistent"),
    (["--provider", "replay"], "needs --replay"),
    (["--record", "/proc/nope/x"], "--record"),
    (["--coinbase-url", "https://me:secret@host/"], "--coinbase-url"),
    (["--nonsense"], "nonsense"), (["stray"], "stray")])
def test_wrong_settings_are_told_and_exit_with_2(run, options, told):
    program = run("crypto", *options, "--print")
    assert program.wait() == 2
    assert told in program.err and "flux-crypto" in program.err


@pytest.mark.parametrize("options, told", [
    (["--kafka-property", "no.such=1"], "no.such"),
    (["--kafka-property", "novalue"], "NAME=VALUE"),
    (["--kafka-property", "sasl.password=x"], "--kafka-config"),
    (["--kafka-config", "/nonexistent"], "/nonexistent"),
    (["--kafka-property", "linger.ms=lots"], "linger.ms")])
def test_wrong_kafka_settings_are_told_and_exit_with_2(run, options, told):
    program = run("crypto", "--provider", "simulated", *options)
    assert program.wait() == 2
    assert told in program.err


def test_environment_sets_what_options_do(run):
    program = run("crypto", "--print", "--once", "--no-movers", env={
        "PROVIDER": "simulated", "PRODUCT": "ETH-EUR,BTC-EUR",
        "LOG_FORMAT": "json"})
    assert program.wait() == 0, program.err
    assert [r["symbol"] for r in program.records] == ["ETH-EUR", "BTC-EUR"]
    for line in program.err.splitlines():
        assert set(json.loads(line)) == {"time", "level", "program",
                                         "message"}


def test_help_is_for_people(run):
    program = run("crypto", "--help")
    assert program.wait() == 0
    assert program.err == ""
    assert "--coinbase-url URL" in program.out
    assert max(map(len, program.out.splitlines())) <= 100


def test_closed_stdout_ends_the_program(run):
    import subprocess
    from program import BUILD, ENVIRONMENT
    process = subprocess.Popen(
        [BUILD / "flux-crypto", "--provider", "simulated", "--print",
         "--rate", "100"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env=ENVIRONMENT)
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(10) == 0
