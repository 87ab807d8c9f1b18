"""Records at a steady rate, readers that come back, and the truth."""

import json
import random
import threading
import time
from collections import Counter, defaultdict

from confluent_kafka import Producer

from .kafka import encode


class Load:
    """Produces {"n": 1}, {"n": 2}, ... from a thread while it is entered.

    key(n) and headers(n) say of which record they are.
    """

    def __init__(self, kafka, topic, rate, key=lambda n: f"k{n % 40}",
                 headers=None, padding=0, value=None):
        self.topic, self.rate, self.key = topic, rate, key
        self.headers = headers
        self.value = value or (lambda n: {"n": n, "p": "x" * padding})
        self.n = 0
        self.failed = []
        self._end = threading.Event()
        self._producer = Producer({
            "bootstrap.servers": kafka.brokers, "linger.ms": 2,
            "enable.idempotence": True, "log_level": 0})
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._end.set()
        self._thread.join(10)
        left = self._producer.flush(30)
        if exception == (None, None, None):
            assert not left and not self.failed, (left, self.failed[:3])

    def wait(self, more, timeout=20):
        """Waits until so many more records were produced."""
        goal, deadline = self.n + more, time.monotonic() + timeout
        while self.n < goal:
            assert time.monotonic() < deadline, "nothing is produced"
            time.sleep(0.002)

    def _run(self):
        begin = time.monotonic()
        while not self._end.wait(0.005):
            due = int((time.monotonic() - begin) * self.rate)
            while self.n < due:
                self._produce(self.n + 1)
                self.n += 1
            self._producer.poll(0)

    def _produce(self, n):
        options = {"headers": self.headers(n)} if self.headers else {}
        while True:
            try:
                self._producer.produce(
                    self.topic, encode(self.value(n)), encode(self.key(n)),
                    on_delivery=self._done, **options)
                return
            except BufferError:
                self._producer.poll(0.05)

    def _done(self, error, message):
        if error is not None:
            self.failed.append(error)


class Returning:
    """A reader that comes back with its cursor whenever it is cut off.

    open(cursor) makes each of its streams.  All that any of them was sent is
    in .messages; cut() drops the one that is.
    """

    def __init__(self, open, timeout=20):
        self.open, self.timeout = open, timeout
        self.streams = []
        self.cursor = None
        self._go_on()

    def _go_on(self):
        """Nginx may be about to respawn who would answer."""
        deadline = time.monotonic() + self.timeout
        while True:
            try:
                self.streams.append(self.open(self.cursor))
                return
            except Exception:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    @property
    def stream(self):
        return self.streams[-1]

    @property
    def messages(self):
        return [m for s in self.streams for m in list(s.messages)]

    @property
    def updates(self):
        return [m for m in self.messages if m["type"] == "update"]

    def look(self):
        """Comes back if it was cut off."""
        if self.stream.closed:
            self.cursor = self.stream.cursor or self.cursor
            self._go_on()

    def cut(self):
        drop(self.stream)
        self.look()

    def wait_updates(self, count, timeout=20):
        deadline = time.monotonic() + timeout
        while len(self.updates) < count:
            assert time.monotonic() < deadline, \
                f"{len(self.updates)} of {count} updates; {self.stream}"
            self.look()
            time.sleep(0.02)


class Returnings:
    """Several of them, looked after by a thread while it is entered."""

    def __init__(self, *readers):
        self.readers = readers
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.error = None

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._end.set()
        self._thread.join(30)
        if exception == (None, None, None) and self.error:
            raise self.error

    def _run(self):
        try:
            while not self._end.wait(0.01):
                for reader in self.readers:
                    reader.look()
        except Exception as error:
            self.error = error


def drop(stream):
    """The stream is cut, without a word."""
    stream.drop() if hasattr(stream, "drop") else stream.close()
    stream.wait(lambda s: s.closed, 5, "the stream is cut")


def alternating(n, path="/live", **options):
    """open() for Returning: SSE and WebSocket in turn, by chance first."""
    turn = [random.random() < 0.5]

    def open(cursor):
        turn[0] = not turn[0]
        return (n.sse if turn[0] else n.ws)(path, cursor=cursor, **options)

    return open


# --- the truth ---------------------------------------------------------------

def truth(kafka, topic, wanted=lambda record: True):
    """[(key, n)] of all records, as an independent consumer sees them."""
    return [((r.key or b"").decode(), json.loads(r.value)["n"])
            for r in kafka.records(topic)
            if r.value is not None and wanted(r)]


def check_exactly_once(records, messages):
    """The updates are these records, each once, in the order of each key."""
    updates = [(m["key"], m["data"]["n"]) for m in messages
               if m["type"] == "update"]
    missed = Counter(records) - Counter(updates)
    twice = Counter(updates) - Counter(records)
    assert not missed and not twice, \
        f"missed {len(missed)} {sorted(missed)[:5]}, " \
        f"too often {len(twice)} {sorted(twice)[:5]}"
    check_order(messages)


def check_order(messages):
    """No older record of a key after a newer one."""
    newest = defaultdict(int)
    for message in messages:
        items = message["items"] if message["type"] == "snapshot" \
            else [message] if message["type"] == "update" else []
        for item in items:
            key, n = (message["room"], item["key"]), item["data"]["n"]
            assert n > newest[key] or message["type"] == "snapshot", \
                f"{key}: {n} after {newest[key]}"
            newest[key] = max(n, newest[key])


def check_no_reset(messages, transport=None):
    resets = [m for m in messages if m["type"] == "reset"]
    assert not resets, resets
