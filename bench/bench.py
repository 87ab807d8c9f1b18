#!/usr/bin/env python3
"""The load scenarios: `make bench`, or bench.py [SCENARIO]... [--rounds N].

Each runs a few rounds in which the servers take turns, so that what else
the machine does falls on all alike; a figure is the median of its rounds.
Results go to build/bench/results.json; --table prints them once more.
"""

import argparse
import datetime
import json
import os
import platform
import re
import signal
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import socket as sockets
from pathlib import Path

from servers import (
    BUILD, NGINX, ROOT, TOOLS, Centrifugo, Flux, FluxTls, Missing, Nchan, Raw,
    RawPair, SocketIO, WebSockets, children, free_port, wait)

RESULTS = TOOLS / "results.json"
PEERS = [WebSockets, Nchan, SocketIO, Centrifugo]
skipped = {}


def tool(*argv, check=True, **options):
    return subprocess.run([str(a) for a in argv], check=check, text=True,
                          stdout=subprocess.PIPE, **options).stdout


class Kafka:
    """A real one, for all scenarios."""

    def __init__(self):
        self.topics = 0

    def __enter__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="flux-bench-")
        self.port = free_port()
        self.brokers = f"127.0.0.1:{self.port}"
        tool(ROOT / "tools/kafka", "install")
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "--", ROOT / "tools/kafka",
             "run", self.directory.name, str(self.port)],
            env={**os.environ, "KAFKA_CONTROLLER_PORT": str(free_port())})
        tool(ROOT / "tools/kafka", "ready", self.port)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(60)
        self.directory.cleanup()

    def topic(self, partitions=1, **config):
        self.topics += 1
        name = f"bench.{self.topics}"
        tool(TOOLS / "kafka", "topic", self.brokers, name, partitions,
             *[f"{k.replace('_', '.')}={v}" for k, v in config.items()])
        return name

    def fill(self, topic, count, size=256, keys=100):
        return json.loads(tool(TOOLS / "kafka", "produce", self.brokers,
                               topic, 0, count, size, keys))


class Producer:
    """Records at a steady rate, while the scenario looks."""

    def __init__(self, kafka, topic, rate, size=256, keys=10, how=None):
        self.process = subprocess.Popen(
            [str(a) for a in (TOOLS / "kafka", "produce", kafka.brokers,
                              topic, rate, 0, size, keys,
                              *([how] if how else []))],
            stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.communicate()


class Load:
    """The load client: started, ready, and its result."""

    def __init__(self, mode, server, transport="ws", **options):
        argv = [TOOLS / "load", mode, "--port", server.port,
                "--transport", transport, *server.reading(transport)]
        for pid in server.pids():
            argv += ["--pid", pid]
        for name, value in options.items():
            name = "--" + name
            argv += [name] if value is True else [name, value]
        self.process = subprocess.Popen([str(a) for a in argv],
                                        stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            raise RuntimeError("the load client failed")

    def result(self):
        return json.loads(self.process.communicate()[0])


# --- scenarios: each returns {column: value} for one server ----------------

def fan_out(kafka, server, transport, rate, readers=2000, secs=5):
    with server:
        if getattr(server, "produces", False):
            return Load("stream", server, transport, readers=readers,
                        secs=secs).result()
        with Producer(kafka, server.topic, rate, how="room"):
            return Load("stream", server, transport, readers=readers,
                        secs=secs).result()


def attempt(options, kind, row, run):
    """What run() measured; None: the server is not wanted, is not here, or
    failed."""
    if kind.name in skipped or (
            options.only and kind.name.lower() not in options.only):
        return None
    try:
        return run()
    except Missing as e:
        skipped[kind.name] = str(e).strip()
    except (RuntimeError, OSError, ValueError) as e:
        say(f"  {row}: {e}")
    return None


def rounds_of(kafka, options, rate, name):
    """One room, all servers in turn."""
    contenders = [(Raw, "ws"), (Raw, "sse"), (RawPair, "ws"),
                  (Flux, "ws"), (Flux, "sse")]
    for peer in PEERS:
        contenders += [(peer, t) for t in peer.transports]
    rows = {}

    def run(kind, transport):
        server = kind(rate=rate) if issubclass(kind, Raw) else \
            kind(kafka.brokers, kafka.topic(), rate=rate)
        return fan_out(kafka, server, transport, rate, secs=options.secs)

    # a broker's first seconds are slow, which is nobody's merit
    attempt(options, Flux, "the first, not counted", lambda: run(Flux, "ws"))

    for _ in range(options.rounds):
        for kind, transport in contenders:
            row = f"{kind.name} {transport}"
            result = attempt(options, kind, row, lambda: run(kind, transport))
            if result is None:
                continue
            result["delivered"] = 100 * result["messages"] / max(
                1, result["expected"])
            rows.setdefault(row, []).append(result)
            say(f"  {name} {row}: {result['cpu_us']:.2f} us, "
                f"{result['delivered']:.1f} %, p50 {result['p50_ms']:.1f} "
                f"p99 {result['p99_ms']:.1f} ms, gaps {result['gaps']}")
    return rows


def p1(kafka, options):
    """2,000 readers of one room, 20 records/s of 256 B"""
    return rounds_of(kafka, options, 20, "P1")


def p2(kafka, options):
    """2,000 readers of one room, 200 records/s of 256 B"""
    return rounds_of(kafka, options, 200, "P2")


def p3(kafka, options):
    """memory of an idle reader, of 10,000"""
    readers = 10000
    rows = {}
    topic = kafka.topic()
    kafka.fill(topic, 100)
    whole = {"http": "limit_conn_zone $binary_remote_addr zone=all:10m;",
             "server": "access_log access.log; limit_conn all 20000;"}
    lean = {"server": "access_log access.log; flux_detach on;"}
    contenders = [
        (kind, transport, more)
        for kind, transports, more in [
            (Flux, "ws sse", whole), (Flux, "ws sse", lean),
            (FluxTls, "ws sse", whole), (FluxTls, "ws sse", lean),
            (Nchan, "ws sse", {}), (WebSockets, "ws", {}),
            (SocketIO, "ws", {}), (Centrifugo, "ws sse", {})]
        for transport in transports.split()]
    for _ in range(options.rounds):
        for kind, transport, more in contenders:
            if kind.name in skipped or (
                    options.only and kind.name.lower() not in options.only):
                continue
            row = " ".join([kind.name, transport,
                            *(["TLS 1.3"] if kind is FluxTls else []),
                            *(["flux_detach"] if more is lean else [])])
            try:
                with kind(kafka.brokers, topic, **more) as server:
                    if kind is FluxTls:
                        result = idle_tls(server, transport, readers // 5)
                    else:
                        result = Load("stream", server, transport,
                                      readers=readers, warm=1, secs=.2,
                                      grace=0).result()
            except Missing as e:
                skipped[kind.name] = str(e).strip()
                continue
            rows.setdefault(row, []).append(result)
            say(f"  P3 {row}: {result['kb_per_reader']:.2f} KB, opening "
                f"{result['open_cpu_us']:.0f} us")
    return rows


HANDSHAKE = {
    "sse": "Accept: text/event-stream\r\n",
    "ws": "Upgrade: websocket\r\nConnection: Upgrade\r\n"
          "Sec-WebSocket-Version: 13\r\n"
          "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"}


def idle_tls(server, transport, count):
    """What the load client does for P3, over TLS."""
    def pss():
        return sum(int(re.search(r"^Pss: *(\d+)", Path(
            f"/proc/{pid}/smaps_rollup").read_text(), re.M)[1])
            for pid in server.pids())

    context = ssl._create_unverified_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    hello = (f"GET {server.path} HTTP/1.1\r\nHost: localhost\r\n"
             f"{HANDSHAKE[transport]}\r\n").encode()
    before, cpu = pss(), sum(cpu_of(pid) for pid in server.pids())
    readers = []
    for _ in range(count):
        s = context.wrap_socket(sockets.create_connection(
            ("127.0.0.1", server.port)))
        s.sendall(hello)
        readers.append(s)
    for s in readers:
        got = b""
        while b'"type":"cursor"' not in got:
            got += s.recv(1 << 16)
    time.sleep(1)
    result = {
        "kb_per_reader": (pss() - before) / count,
        "open_cpu_us": 1e6 / count * (
            sum(cpu_of(pid) for pid in server.pids()) - cpu)}
    for s in readers:
        s.close()
    return result


def p4(kafka, options):
    """2,000 readers come back at once, to a snapshot of 100 keys"""
    rows = {}
    contenders = [(RawPair, "ws", False), (RawPair, "sse", False),
                  (Flux, "ws", False), (Flux, "sse", False),
                  (Flux, "ws", True), (Flux, "sse", True)]
    # Centrifugo's one-way transports have no snapshot to give
    for peer in (WebSockets, Nchan, SocketIO):
        contenders += [(peer, t, False) for t in peer.transports]
    for _ in range(options.rounds):
        for kind, transport, killed in contenders:
            row = f"{kind.name} {transport}" + (
                ", workers killed" if killed else "")
            result = attempt(options, kind, row, lambda: storm(
                kafka, kind, transport, killed))
            if result is None:
                continue
            rows.setdefault(row, []).append(result)
            say(f"  P4 {row}: {result['all_ms']:.0f} ms, "
                f"{result.get('cpu_us', 0):.0f} us each, "
                f"{result['retries']} refused")
    return rows


def storm(kafka, kind, transport, killed, keys=100, size=256):
    """A reader is back when it has the bytes of all values."""
    if kind is RawPair:
        server = kind(rate=.1, first=keys)
    else:
        server = kind(kafka.brokers, kafka.topic(), kept=keys)
    with server:
        if kind is not RawPair:
            # some consumers are not there yet when they say so
            time.sleep(2)
            kafka.fill(server.topic, keys, size)
            time.sleep(1)
        load = Load("storm", server, transport, readers=2000, plain=True,
                    first=keys * size, **({"wait": True} if killed else {}))
        if killed:
            for pid in server.pids():
                os.kill(pid, signal.SIGKILL)
        result = load.result()
    if result["served"] != 2000:
        raise RuntimeError(f"served {result['served']}")
    if killed:
        del result["cpu_us"]    # they took their clocks along
    return result


TICK = ('{"at":%d,"seq":%d,"symbol":"%s","price":"%.2f","bid":"%.2f",'
        '"ask":"%.2f","volume_24h":"%.4f","change_24h":"%.3f",'
        '"open_24h":"%.2f","high_24h":"%.2f","low_24h":"%.2f",'
        '"source":"coinbase","lot":8}')
COINS = dict(zip(("BTC-USD", "ETH-USD", "SOL-USD", "XRP-USD", "ADA-USD",
                  "DOGE-USD", "LTC-USD", "LINK-USD", "AVAX-USD", "DOT-USD"),
                 (61234.1, 3312.4, 151.2, 2.5312, 1.4121, .1312, 71.23,
                  13.42, 27.13, 5.41)))


def ticks(ended):
    """Records like those of a ticker, on a walk that is always the same."""
    import random
    r = random.Random(7)
    price, opened = dict(COINS), dict(COINS)
    low, high, change = dict(COINS), dict(COINS), dict.fromkeys(COINS, 1.5)
    volume = dict.fromkeys(COINS, 15234.)
    seq = 10 ** 9
    while not ended.is_set():
        seq += 1
        s = r.choice(list(COINS))
        price[s] *= 1 + r.gauss(0, .0004)
        p = price[s]
        low[s], high[s] = min(low[s], p), max(high[s], p)
        change[s] += r.gauss(0, .02)
        volume[s] += r.random()
        yield s, TICK % (time.time_ns(), seq, s, p, p * .9999, p * 1.0001,
                         volume[s], change[s], opened[s], high[s], low[s])


def feed(kafka, topic, rate, ended):
    """Ticks until it ends."""
    process = subprocess.Popen([TOOLS / "kafka", "lines", kafka.brokers,
                                topic], stdin=subprocess.PIPE, text=True,
                               stdout=subprocess.DEVNULL)
    began = time.monotonic()
    for n, (key, value) in enumerate(ticks(ended)):
        process.stdin.write(f"{key}\t{value}\n")
        process.stdin.flush()
        time.sleep(max(0, began + (n + 1) / rate - time.monotonic()))
    process.stdin.close()
    process.wait()


def ticker(kafka, kind, transport, readers, rate, secs, compress=True,
           churn=0):
    server = kind(kafka.brokers, kafka.topic(),
                  compress="on" if compress else "off")
    ended = threading.Event()
    with server:
        feeder = threading.Thread(target=feed, args=(kafka, server.topic,
                                                     rate, ended))
        feeder.start()
        time.sleep(2)
        try:
            # as if they had come long ago: the first restart is behind them
            load = Load("stream", server, transport, readers=readers,
                        warm=100 / rate, secs=secs, compress=True,
                        churn=churn)
            result = load.result()
        finally:
            ended.set()
            feeder.join()
    if result["broken"] or kind is Flux and (
            result["gaps"] or result["repeats"]):
        raise RuntimeError(f"not what was sent: {result}")
    return result


def p5(kafka, options):
    """a ticker of ten keys, 313 bytes a message, compressed"""
    rows = {}
    for number in range(options.rounds):
        # what a message takes is the same each time, what it costs is not
        for rate, secs in ((50, 10), (10, 20))[:1 if number else 2]:
            for readers, churn, compress in (
                    (1, 0, False), (1, 0, True), (100, 0, True),
                    (1000, 0, False), (1000, 0, True), (1000, 10, True)):
                for transport in ("ws", "sse"):
                    row = ticker_row(transport, rate, readers, churn, compress)
                    result = ticker(kafka, Flux, transport, readers, rate,
                                    secs, compress, churn)
                    rows.setdefault(row, []).append(result)
                    say(f"  P5 {row}: {result['frame_bytes']:.1f} B, "
                        f"{result['cpu_us']:.2f} us, "
                        f"{result['messages']} messages inflated")
    for kind in (WebSockets, Nchan, SocketIO):
        if kind.name in skipped:
            continue
        try:
            result = ticker(kafka, kind, "ws", 1000, 50, 10)
        except Missing as e:
            skipped[kind.name] = str(e).strip()
            continue
        rows[f"{kind.name} ws, 50/s, 1000 readers"] = [result]
        say(f"  P5 {kind.name}: {result['frame_bytes']:.1f} B, "
            f"{result['cpu_us']:.2f} us")
    return rows


def ticker_row(transport, rate, readers, churn, compress):
    name = f"Flux {transport}, {rate}/s, {readers} reader{'s'[:readers - 1]}"
    if churn:
        name += f", {churn} come and go a second"
    return name if compress else name + ", not compressed"


def cold(kafka, options, name, topic, count, place=None, **settings):
    """From a start on nothing to all records read, against a bare loop, and
    one that puts each record into a place of so many bytes."""
    rows = {}
    plain = {"bare consumer": []}
    if place:
        plain["bare consumer that keeps them"] = [place]
    for _ in range(options.rounds):
        for row, more in plain.items():
            bare = json.loads(tool(TOOLS / "kafka", "consume", kafka.brokers,
                                   topic, count, *more))
            rows.setdefault(row, []).append(
                {"secs": bare["secs"], "rate": count / bare["secs"],
                 "cpu_s": bare["cpu_s"]})
        server = Flux(kafka.brokers, topic, workers=1, connections=1000,
                      **settings)
        try:
            began = time.monotonic()
            server.start(ready=False)
            launched = time.monotonic()
            while not server.complete():
                time.sleep(.005)
            took = time.monotonic() - began
            state = server.status()["feeds"]["room"]
            cpu = sum(cpu_of(pid) for pid in server.pids())
        finally:
            server.stop()
        rows.setdefault("Flux", []).append(
            {"secs": took, "rate": count / took, "cpu_s": cpu,
             "records": state["records"], "keys": state["keys"],
             "evicted": state["evicted"]})
        say(f"  {name}: Flux {took:.2f} s (nginx {launched - began:.2f}), "
            f"bare {bare['secs']:.2f} s; CPU {cpu:.2f} and "
            f"{bare['cpu_s']:.2f} s; {state['keys']} keys, "
            f"{state['evicted']} evicted")
    return rows


def cpu_of(pid):
    return time.clock_gettime(~pid << 3 | 2)


def p6(kafka, options):
    """ingest of records of 256 B from Kafka into the log"""
    count = options.ingest
    topic = kafka.topic(4)
    kafka.fill(topic, count, keys=1000)
    rows = cold(kafka, options, "P6", topic, count)
    return rows


def p7(kafka, options):
    """from the producer to one reader, 100 records/s"""
    rows = {}

    def add(row, result):
        rows.setdefault(row, []).append(result)
        say(f"  P7 {row}: p50 {result['p50_ms']:.2f} "
            f"p99 {result['p99_ms']:.2f} ms")

    for _ in range(options.rounds):
        topic = kafka.topic()
        with Producer(kafka, topic, 100):
            add("bare consumer", json.loads(tool(
                TOOLS / "kafka", "latency", kafka.brokers, topic,
                options.secs)))
        for kind in (Flux, *PEERS):
            for transport in kind.transports:
                row = f"{kind.name} {transport}"
                result = attempt(options, kind, row, lambda: fan_out(
                    kafka, kind(kafka.brokers, kafka.topic()), transport,
                    100, readers=1, secs=options.secs))
                if result is not None:
                    add(row, result)
    return rows


def p8(kafka, options):
    """cost of a delivery as readers and rooms grow"""
    rows = {}
    for _ in range(options.rounds):
        for readers, rate in ((100, 200), (500, 40), (2000, 20), (5000, 8),
                              (15000, 3)):
            raw = fan_out(kafka, RawPair(rate=rate), "ws", rate,
                          readers=readers, secs=options.secs)
            result = fan_out(kafka, Flux(kafka.brokers, kafka.topic()), "ws",
                             rate, readers=readers, secs=options.secs)
            result["of_raw"] = result["cpu_us"] / raw["cpu_us"]
            rows.setdefault(f"{readers} readers", []).append(result)
            say(f"  P8 {readers} readers: {result['cpu_us']:.2f} us, "
                f"raw {raw['cpu_us']:.2f}")
        for rooms in (10, 1000, 10000, 100000):
            rows.setdefault(f"{rooms} rooms", []).append(
                many_rooms(kafka, options, rooms))
    return rows


def many_rooms(kafka, options, rooms, readers=2000, read=10, rate=100):
    """So many rooms are there, 2,000 readers in ten of them."""
    topic = kafka.topic()
    kafka.fill(topic, rooms, keys=rooms)
    server = Flux(kafka.brokers, topic, zone="256m", feed="room key;",
                  stream="room/$arg_r")
    server.path = "/live?r=k%d"
    with server:
        with Producer(kafka, topic, rate, keys=read, how="each"):
            result = Load("stream", server, "ws", readers=readers,
                          rooms=read, secs=options.secs).result()
    say(f"  P8 {rooms} rooms: {result['cpu_us']:.2f} us, "
        f"gaps {result['gaps']}")
    return result


def p9(kafka, options):
    """cold start on a compacted topic of many keys"""
    count = options.keys
    topic = kafka.topic(4, cleanup_policy="compact")
    kafka.fill(topic, count, keys=count)
    # an entry of the log, a node of the index and its share of a bucket
    return cold(kafka, options, "P9", topic, count, place=516, zone="2000m")


def slow(kafka, options):
    """500 readers, 1,000 records/s, without and beside 500 that never read"""
    rows = {}
    for _ in range(options.rounds):
        for transport in ("ws", "sse"):
            for deaf in (0, 500):
                # what the kernel would hold for the deaf takes 10 s to fill
                server = Flux(kafka.brokers, kafka.topic(),
                              server="flux_send_timeout 1h;")
                server.listen = "reuseport sndbuf=64k"
                with server:
                    with Producer(kafka, server.topic, 1000, how="room"):
                        result = Load("stream", server, transport,
                                      readers=500, deaf=deaf, warm=3,
                                      secs=options.secs).result()
                result["grown_kb"] = result["pss_end_kb"] - \
                    result["pss_open_kb"]
                row = f"Flux {transport}, {deaf} deaf"
                rows.setdefault(row, []).append(result)
                say(f"  SLOW {row}: p50 {result['p50_ms']:.1f} "
                    f"p99 {result['p99_ms']:.1f} ms, gaps {result['gaps']}, "
                    f"{result['cpu_us']:.2f} us, memory "
                    f"+{result['grown_kb']:.0f} KB in {options.secs} s")
    return rows


SCENARIOS = {f.__name__: f for f in (p1, p2, p3, p4, p5, p6, p7, p8, p9,
                                     slow)}


# --- results ----------------------------------------------------------------

def say(*words):
    print(*words, file=sys.stderr, flush=True)


def median(runs, column):
    return statistics.median(r[column] for r in runs)


def machine():
    model = next((line.split(":", 1)[1].strip()
                  for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    nginx = subprocess.run([NGINX, "-v"], capture_output=True,
                           text=True).stderr.strip().split("/")[-1] \
        if NGINX else "none"
    return {"date": datetime.date.today().isoformat(),
            "cpu": model, "cores": os.cpu_count(),
            "kernel": platform.release(), "nginx": nginx,
            "load": os.getloadavg()[0]}


def spread(runs, column, digits=2):
    values = [r[column] for r in runs]
    text = f"{statistics.median(values):.{digits}f}"
    if len(values) > 1:
        text += f" ({min(values):.{digits}f}-{max(values):.{digits}f})"
    return text


def print_table(title, head, lines):
    print(f"\n{title}\n")
    print("| " + " | ".join(head) + " |")
    print("|---" * len(head) + "|")
    for line in lines:
        print("| " + " | ".join(line) + " |")


def table_fan_out(title, rows):
    floor = {t: median(rows[f"raw {t}"], "cpu_us")
             for t in ("ws", "sse") if f"raw {t}" in rows}
    lines = []
    for name, runs in rows.items():
        base = floor.get(name.split()[-1], 0)
        cpu = median(runs, "cpu_us")
        lines.append([
            name, spread(runs, "cpu_us"),
            f"{cpu / base:.2f}" if base else "-",
            spread(runs, "delivered", 1),
            spread(runs, "p50_ms", 1), spread(runs, "p99_ms", 1),
            f"{max(r['gaps'] for r in runs)}"])
    print_table(title, ["server", "CPU us per message", "of raw",
                        "delivered %", "p50 ms", "p99 ms", "gaps"], lines)


def table_plain(title, rows, columns):
    lines = [[name, *(spread(runs, c, d) if c in runs[0] else "-"
                      for c, _, d in columns)]
             for name, runs in rows.items()]
    print_table(title, ["", *(label for _, label, _ in columns)], lines)


COLUMNS = {
    "p3": [("kb_per_reader", "KB per reader", 2),
           ("open_cpu_us", "CPU us to open", 0)],
    "p4": [("all_ms", "all have it after, ms", 0),
           ("cpu_us", "CPU us each", 0)],
    "p5": [("frame_bytes", "bytes per message", 1),
           ("per_frame", "messages per frame", 2),
           ("cpu_us", "CPU us per message", 2),
           ("messages", "messages, all inflated", 0)],
    "p6": [("secs", "s", 2), ("rate", "records/s", 0), ("cpu_s", "CPU s", 2)],
    "p7": [("p50_ms", "p50 ms", 2), ("p99_ms", "p99 ms", 2)],
    "p8": [("cpu_us", "CPU us per message", 2),
           ("of_raw", "of two raw processes", 2), ("p50_ms", "p50 ms", 1),
           ("p99_ms", "p99 ms", 1), ("gaps", "gaps", 0)],
    "p9": [("secs", "s", 2), ("rate", "records/s", 0), ("cpu_s", "CPU s", 2)],
    "slow": [("p50_ms", "p50 ms", 1), ("p99_ms", "p99 ms", 1),
             ("cpu_us", "CPU us per message", 2), ("gaps", "gaps", 0),
             ("grown_kb", "memory grown, KB", 0)],
}


def print_tables(results):
    about = results["machine"]
    print(f"{about['date']}, {about['cores']} cores of {about['cpu']}, "
          f"Linux {about['kernel']}, nginx {about['nginx']}")
    for name, found in results["scenarios"].items():
        title = f"{name.upper()}: {SCENARIOS[name].__doc__}"
        if name in ("p1", "p2"):
            table_fan_out(title, found)
        else:
            table_plain(title, found, COLUMNS[name])
    for name, why in results["skipped"].items():
        print(f"\nWithout {name}: {why}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", nargs="*", default=[])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--secs", type=float, default=5)
    parser.add_argument("--only", action="append",
                        help="a server's name, in lower case")
    parser.add_argument("--ingest", type=int, default=5000000,
                        help="records of P6")
    parser.add_argument("--keys", type=int, default=1000000,
                        help="keys of P9")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()

    results = {"machine": machine(), "scenarios": {}, "skipped": {}}
    if RESULTS.exists() and (options.table or options.scenario):
        results = {**json.loads(RESULTS.read_text())}
    if not options.table:
        results["machine"] = machine()
        with Kafka() as kafka:
            for name in options.scenario or SCENARIOS:
                say(f"{name.upper()}: {SCENARIOS[name].__doc__}")
                results["scenarios"][name] = SCENARIOS[name](kafka, options)
                results["skipped"] = skipped
                # who stops it keeps what has been measured
                RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    results["scenarios"] = dict(sorted(results["scenarios"].items()))
    print_tables(results)


if __name__ == "__main__":
    main()
