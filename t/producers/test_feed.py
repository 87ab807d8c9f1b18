"""flux-crypto on Coinbase's WebSocket feed, and CoinGecko's movers."""

import json
import time

import pytest

from program import wait_for
from stub import reply, websocket

TICK = {"type": "ticker", "sequence": 37475248783, "product_id": "BTC-USD",
        "price": "1285.22", "open_24h": "1310.79",
        "volume_24h": "245532.79269678", "low_24h": "1280.52",
        "high_24h": "1313.8", "volume_30d": "9788783.60117027",
        "best_bid": "1285.04", "best_bid_size": "0.46688654",
        "best_ask": "1285.27", "best_ask_size": "1.56637040", "side": "buy",
        "time": "2022-10-19T23:28:22.061769Z", "trade_id": 370843401,
        "last_size": "11.4396987"}

COIN = {"id": "bitcoin", "symbol": "btc", "name": "Bitcoin",
        "image": "https://example.org/btc.png", "current_price": 70187.5,
        "market_cap": 1381651251183, "market_cap_rank": 1,
        "total_volume": 20154184933, "high_24h": 70215, "low_24h": 68060,
        "price_change_24h": 2126.88, "price_change_percentage_24h": 3.12502,
        "max_supply": None, "roi": None,
        "last_updated": "2024-04-07T16:49:31.736Z"}


def feed(run, stub, *options):
    return run("crypto", "--provider", "coinbase", "--coinbase-url", stub.url,
               "--coinbase-ws-url", stub.url.replace("http", "ws") + "/feed",
               "--product", "BTC-USD", "--print", "--no-movers",
               "--interval", "500ms", *options)


def ticks(*prices, hold=True, before=None):
    def session(ws):
        opcode, text = ws.receive()
        ws.subscription = json.loads(text)
        assert opcode == 1
        ws.handler.server.stub.subscriptions.append(ws.subscription)
        ws.send({"type": "subscriptions", "channels": []})
        if before is not None:
            before(ws)
        for price in prices:
            ws.send({**TICK, "price": price})
        while hold and not ws.closed.is_set():
            opcode, text = ws.receive()
            if opcode in (None, 8):
                return
            if opcode == 9:
                ws.send(text, opcode=10)

    return websocket(session)


@pytest.fixture(autouse=True)
def subscriptions(stub):
    stub.subscriptions = []


def prices(program):
    return [r["price"] for r in program.records]


def test_feed_is_subscribed_and_its_texts_arrive_unchanged(run, stub):
    stub.route("/feed", ticks("1285.22"))
    program = feed(run, stub)

    record = program.wait_records(1)[0]
    assert record == {
        "symbol": "BTC-USD", "name": "Bitcoin", "price": "1285.22",
        "open": "1310.79", "high": "1313.8", "low": "1280.52",
        "volume": "245532.79269678", "change": "-1.95",
        "time": "2022-10-19T23:28:22.061769Z", "provider": "coinbase",
        "source": "live"}
    assert stub.subscriptions == [{
        "type": "subscribe", "product_ids": ["BTC-USD"],
        "channels": ["ticker"]}]


def test_feed_reconnects_and_subscribes_again(run, stub):
    stub.route("/feed", ticks("1", hold=False), ticks("2", hold=False),
               reply(b"", 503), reply(b"no", 200), ticks("3"))
    program = feed(run, stub)

    wait_for(lambda: prices(program) == ["1", "2", "3"], 40,
             "three prices: " + program.err)
    assert len(stub.subscriptions) == 3


def test_silent_feed_is_left(run, stub):
    def nothing(ws):
        ws.closed.wait(60)      # answers no ping either

    stub.route("/feed", websocket(nothing), ticks("2"))
    program = feed(run, stub, "--feed-silence", "1s")
    wait_for(lambda: prices(program) == ["2"], 20)
    assert "silence" in program.err


def test_feed_that_answers_pings_but_brings_no_prices_is_left(run, stub):
    stub.route("/feed", ticks(), ticks("2"))
    program = feed(run, stub, "--feed-silence", "1s")
    wait_for(lambda: prices(program) == ["2"], 20)
    assert "no prices" in program.err


@pytest.mark.parametrize("spoil", [
    lambda ws: ws.raw(b"\x81\x85abcd12345"),                # masked
    lambda ws: ws.raw(b"\xc1\x00"),                         # RSV1
    lambda ws: ws.raw(b"\x83\x00"),                         # unknown opcode
    lambda ws: ws.raw(b"\x80\x00"),                         # no fragment
    lambda ws: ws.raw(b"\x89\x7e\x00\x80" + b"x" * 128),    # long ping
    lambda ws: ws.raw(b"\x81\x7f" + b"\xff" * 8),           # 2^64 bytes
    lambda ws: ws.send(b"", opcode=8)],
    ids=["masked", "rsv", "opcode", "fragment", "ping", "huge", "close"])
def test_broken_frames_end_the_connection_and_it_comes_back(run, stub, spoil):
    stub.route("/feed", ticks(before=spoil), ticks("2"))
    program = feed(run, stub)
    wait_for(lambda: prices(program) == ["2"], 20, program.err)


def test_fragments_pings_and_nonsense_are_taken(run, stub):
    text = json.dumps({**TICK, "price": "5"}).encode()

    def spoil(ws):
        ws.send("not JSON")
        ws.send({"type": "ticker"})
        ws.send({**TICK, "price": 7})
        ws.send({**TICK, "product_id": "ETH-USD"})
        ws.send({"type": "heartbeat"})
        ws.send(text[:20], fin=False)
        ws.send(b"are you there", opcode=9)
        ws.send(text[20:], opcode=0)
        opcode, payload = ws.receive()
        assert (opcode, payload) == (10, b"are you there")

    stub.route("/feed", ticks("6", before=spoil))
    program = feed(run, stub)
    wait_for(lambda: prices(program) == ["5", "6"], 20, program.err)


def test_rest_is_the_fallback_and_rests_while_the_feed_delivers(run, stub):
    stub.route("/products/BTC-USD/ticker",
               {"price": "9", "time": "2026-01-01T00:00:00Z"})
    stub.route("/products/BTC-USD/stats", {
        "open": "8", "high": "9", "low": "8", "volume": "1", "last": "9"})
    program = feed(run, stub)           # the feed answers 404
    wait_for(lambda: "9" in prices(program))

    def steady(ws):
        while not ws.closed.is_set():
            ws.send({**TICK, "price": "2"})
            time.sleep(0.05)

    stub.route("/feed", ticks(before=steady))
    wait_for(lambda: "2" in prices(program), 40)
    time.sleep(0.5)
    asked = len(stub.asked("/products/BTC-USD/ticker"))
    time.sleep(1.5)
    assert len(stub.asked("/products/BTC-USD/ticker")) <= asked + 1


def test_feed_over_tls_checks_the_certificate(run, tls_stub):
    tls_stub.subscriptions = []
    tls_stub.route("/feed", ticks("4"))
    program = feed(run, tls_stub)
    program.wait_log("certificate")
    assert program.stop() == 0

    program = feed(run, tls_stub, "--ca-file", tls_stub.certificate)
    wait_for(lambda: prices(program) == ["4"])


def test_feed_is_recorded_and_replayed(run, stub, tmp_path):
    stub.route("/feed", ticks("1", "2", "3"))
    program = feed(run, stub, "--record", tmp_path)
    program.wait_records(3)
    program.stop()

    program = run("crypto", "--provider", "replay", "--replay", tmp_path, "--product", "BTC-USD",
                  "--print", "--once")
    assert program.wait() == 0
    assert [(r["price"], r["source"]) for r in program.records] == [
        ("1", "replay"), ("2", "replay"), ("3", "replay")]


def movers(run, stub, *options, **settings):
    stub.route("/products/BTC-USD/ticker",
               {"price": "9", "time": "2026-01-01T00:00:00Z"})
    stub.route("/products/BTC-USD/stats", {
        "open": "8", "high": "9", "low": "8", "volume": "1", "last": "9"})
    return run("crypto", "--provider", "coinbase", "--coinbase-url", stub.url,
               "--coingecko-url", stub.url, "--product", "BTC-USD",
               "--print", "--no-websocket", *options, **settings)


def test_movers_are_ranked_by_their_decimals(run, stub):
    changes = [3.12502, -8.2e-05, 12, -4.5, None, 0.5, -11.25, 7, 1, 2]
    stub.route("/api/v3/coins/markets", [
        {**COIN, "symbol": f"c{i}", "name": f"Coin {i}",
         "price_change_percentage_24h": change}
        for i, change in enumerate(changes)])
    program = movers(run, stub, "--once", env={"COINGECKO_KEY": "k3y"})

    assert program.wait() == 0, program.err
    lists = {r["kind"]: r for r in program.records if "kind" in r}
    assert [m["symbol"] for m in lists["gainers"]["items"]] == [
        "C2", "C7", "C0", "C9", "C8"]
    assert [m["change"] for m in lists["losers"]["items"]] == [
        "-11.25", "-4.5", "-8.2e-05"]
    assert lists["gainers"]["items"][2] == {
        "symbol": "C0", "name": "Coin 0", "price": "70187.5",
        "change": "3.12502", "volume": "20154184933",
        "market_cap": "1381651251183"}

    headers = stub.asked("/api/v3/coins/markets")[0][2]
    assert headers["x-cg-demo-api-key"] == "k3y"
    assert "k3y" not in program.err


def test_error_inside_a_good_status_is_no_market(run, stub):
    stub.route("/api/v3/coins/markets",
               {"status": {"error_code": 429, "error_message": "slow down"}},
               [COIN])
    program = movers(run, stub, "--coingecko-rate", "10")
    wait_for(lambda: [r for r in program.records if "kind" in r], 20)
    assert "error inside a good status" in program.err
