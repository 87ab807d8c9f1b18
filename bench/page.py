#!/usr/bin/env python3
"""The page in Debian's Chromium: `make bench-page`, or page.py [--rounds N]
[--seconds N].

The shipped nginx.conf and html/ on a real Kafka, all on this machine: how
soon the first price is painted, what that takes from the network, and what
the page costs while 50 records a second change 100 rows.
"""

import argparse
import contextlib
import gzip
import os
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "t"))

from playwright.sync_api import sync_playwright         # noqa: E402

from harness.demo import Demo                           # noqa: E402
from harness.kafka import Kafka                         # noqa: E402
from harness.nginx import Nginx                         # noqa: E402
from harness.process import (                            # noqa: E402
    cmdline, descendants, wait_for)

ROWS, RATE = 100, 50
COINS, HISTORY = 10, 60         # what the demo has of crypto
TICK = os.sysconf("SC_CLK_TCK")

# A price is painted when the frame after its text was made is done.
WATCH = """
    new MutationObserver((_, observer) => {
        if (document.querySelector('.crypto .price span')?.textContent) {
            observer.disconnect();
            requestAnimationFrame(() => {
                const { port1, port2 } = new MessageChannel();
                port1.onmessage = () => {
                    window.firstPrice = performance.now();
                };
                port2.postMessage(0);
            });
        }
    }).observe(document, { childList: true, subtree: true });
    window.long = [];
    new PerformanceObserver((list) => long.push(...list.getEntries().map(
        ({ duration }) => duration))).observe({ type: 'longtask' });
"""
SIZE = """
    [...performance.getEntriesByType('resource'),
     ...performance.getEntriesByType('navigation')]
        .reduce((sum, one) => sum + one.transferSize, 0)
"""


@contextlib.contextmanager
def demo():
    with contextlib.ExitStack() as stack:
        kafka = Kafka()
        stack.callback(kafka.close)
        kafka.start()

        def nginx(**settings):
            one = Nginx(**settings)
            stack.callback(one.close)
            return one.start()

        yield Demo(nginx, kafka)


def fill(one):
    for n in range(COINS):
        for price in range(HISTORY):
            one.coin(f"C{n:03}-USD", f"{price}.00", queued=True)
    for n in range(40):
        one.headline(f"https://example.org/{n}", f"Headline {n} of a day")
        one.stock(f"S{n:02}", "10.00", f"{n / 10:.2f}")
    one.weather("london", "London")
    for producer in ("crypto", "weather", "news", "stocks"):
        one.heartbeat(f"flux-{producer}")
    one.kafka.flush()


def opened(browser, one):
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.add_init_script(WATCH)
    page.goto(one.url())
    wait_for(lambda: page.evaluate("window.firstPrice"), 30, "a price")
    return page


def first_price(browser, one, rounds):
    """ms from the HTML's end to the first price, and the bytes till then"""
    times, sizes = [], []
    for _ in range(rounds):
        page = opened(browser, one)
        times.append(page.evaluate(
            "firstPrice - performance.getEntriesByType('navigation')[0]"
            ".responseEnd"))
        page.locator("#connection", has_text="Connected").wait_for()
        page.locator(".news li").first.wait_for()
        sizes.append(page.evaluate(SIZE))
        page.context.close()
    return times, sizes


class Usage:
    """CPU seconds of the page's main thread, and of its whole process."""

    def __init__(self, page):
        self.session = page.context.new_cdp_session(page)
        self.session.send("Performance.enable",
                          {"timeDomain": "threadTicks"})
        self.session.send("HeapProfiler.enable")

    def metrics(self):
        return {m["name"]: m["value"] for m in self.session.send(
            "Performance.getMetrics")["metrics"]}

    def heap(self):
        self.session.send("HeapProfiler.collectGarbage")
        return self.metrics()["JSHeapUsedSize"]

    def cpu(self):
        process = 0
        for pid in descendants(os.getpid()):
            if "--type=renderer" in cmdline(pid):
                fields = Path(f"/proc/{pid}/stat").read_text()
                user, system = fields.rpartition(")")[2].split()[11:13]
                process += (int(user) + int(system)) / TICK
        return time.monotonic(), self.metrics()["TaskDuration"], process


def busy(browser, one, seconds):
    for n in range(COINS, ROWS):
        one.coin(f"C{n:03}-USD", "1.00", queued=True)
    one.kafka.flush()
    page = opened(browser, one)
    page.locator(f".crypto tr.row >> nth={ROWS - 1}").wait_for()
    page.wait_for_timeout(2000)
    page.evaluate("long.length = 0")
    usage = Usage(page)
    heap = usage.heap()
    before = usage.cpu()
    start = time.monotonic()
    for n in range(seconds * RATE):
        one.coin(f"C{n % ROWS:03}-USD", f"{n}.50", queued=True)
        time.sleep(max(0, start + n / RATE - time.monotonic()))
    one.kafka.flush()
    after = usage.cpu()
    wall = after[0] - before[0]
    result = {"main": (after[1] - before[1]) / wall,
              "process": (after[2] - before[2]) / wall,
              "long": page.evaluate("long"),
              "heap": (heap, usage.heap())}
    page.context.close()
    return result


def spread(values, digits=0):
    return (f"{statistics.median(values):.{digits}f} "
            f"({min(values):.{digits}f}-{max(values):.{digits}f})")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=int, default=20)
    asked = parser.parse_args()
    options = ["--disable-gpu", "--no-first-run", "--disable-sync",
               "--disable-background-networking"]
    if os.getuid() == 0:
        options.append("--no-sandbox")

    with demo() as one, sync_playwright() as playwright:
        fill(one)
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=options)
        opened(browser, one).context.close()            # warm
        times, sizes = first_price(browser, one, asked.rounds)
        load = busy(browser, one, asked.seconds)
        browser.close()

    client = len(gzip.compress((ROOT / "html/flux.js").read_bytes(), 9))
    rows = [
        ("first price painted, ms after the HTML", spread(times)),
        ("bytes transferred till then, headers included",
         f"{statistics.median(sizes):,.0f}"),
        ("flux.js, gzip -9, bytes", f"{client:,}"),
        (f"main thread at {RATE} updates/s on {ROWS} rows, % of a core",
         f"{load['main']:.1%}"),
        ("the page's whole process, % of a core", f"{load['process']:.1%}"),
        ("tasks over 50 ms in that time, the longest",
         f"{len(load['long'])}, {max(load['long'], default=0):.0f} ms"),
        ("JavaScript heap before and after, MB",
         " and ".join(f"{size / 1e6:.1f}" for size in load["heap"])),
    ]
    print(f"{asked.rounds} rounds, {asked.seconds} s; load of this machine "
          f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    print("| the page | |\n|---|---|")
    for what, value in rows:
        print(f"| {what} | {value} |")


if __name__ == "__main__":
    main()
