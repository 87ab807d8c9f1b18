"""flux-stocks against a stub that answers as Finnhub does."""

import pytest

from program import wait_for
from stub import reply

QUOTE = '{"c":261.740,"d":1.08,"dp":0.4143,"h":263.31,"l":260.68,' \
        '"o":261.07,"pc":259.45,"t":1582641000}'


def stocks(run, stub, *options, symbol="AAPL", env=None):
    return run("stocks", "--provider", "finnhub", "--finnhub-url", stub.url,
               "--finnhub-rate", "100", "--symbol", symbol, "--print",
               *options, env=env or {"FINNHUB_TOKEN": "t0ken"})


def test_record_holds_the_providers_own_text(run, stub):
    stub.route("/api/v1/quote", reply(QUOTE))
    program = stocks(run, stub, "--once")

    assert program.wait() == 0, program.err
    assert program.records == [{
        "symbol": "AAPL", "name": "Apple", "price": "261.740",
        "change": "0.4143", "difference": "1.08", "open": "261.07",
        "high": "263.31", "low": "260.68", "previous_close": "259.45",
        "time": "2020-02-25T14:30:00.000Z", "provider": "finnhub",
        "source": "live"}]


def test_token_is_a_header_and_never_told(run, stub, tmp_path):
    stub.route("/api/v1/quote", reply({"error": "Invalid API key"}, 401))
    token = tmp_path / "token"
    token.write_text("t0ken-from-file\n")
    program = stocks(run, stub, "--log-level", "debug",
                     "--finnhub-token-file", token, env={"X": "y"})
    wait_for(lambda: stub.asked("/api/v1/quote"))
    program.wait_log("401")
    path, query, headers, _ = stub.asked("/api/v1/quote")[0]
    assert headers["X-Finnhub-Token"] == "t0ken-from-file"
    assert "token" not in query
    assert "t0ken" not in program.err


@pytest.mark.parametrize("bad", [
    QUOTE.replace("261.740", '"261.740"'), QUOTE.replace("1.08", "null"),
    QUOTE.replace("261.740", "-3"), '{"error":"oops"}', "[]", "[", "{}",
    QUOTE.replace("1582641000", "0"), QUOTE.replace("263.31", "0")])
def test_wrong_quote_never_replaces_good_data(run, stub, bad):
    stub.route("/api/v1/quote", reply(QUOTE), reply(bad),
               reply(QUOTE.replace("261.740", "300")))
    program = stocks(run, stub, "--interval", "100ms")
    records = program.wait_records(2)
    assert [r["price"] for r in records[:2]] == ["261.740", "300"]


def test_unknown_symbol_is_all_zeros_and_refused(run, stub):
    stub.route("/api/v1/quote", reply(
        '{"c":0,"d":null,"dp":null,"h":0,"l":0,"o":0,"pc":0,"t":0}'))
    program = stocks(run, stub, "--once", symbol="NOPE")
    assert program.wait() == 1
    assert "no such symbol" in program.err


def test_without_a_token_all_is_simulated(run):
    program = run("stocks", "--print", "--once")
    assert program.wait() == 0
    records = program.records
    assert len(records) >= 50
    assert {r["source"] for r in records} == {"simulated"}
    assert len({r["symbol"] for r in records}) == len(records)


def test_finnhub_without_a_token_exits_with_2(run):
    program = run("stocks", "--provider", "finnhub", "--print")
    assert program.wait() == 2 and "FINNHUB_TOKEN" in program.err
