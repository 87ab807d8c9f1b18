"""What a reader of any transport has received (PROTOCOL.md's frames)."""

import json
import threading
import time
from collections import namedtuple

# at: time.monotonic() of the arrival
Frame = namedtuple("Frame", "messages cursor raw at")


def parse_frame(raw, at=None):
    messages = json.loads(raw)
    assert isinstance(messages, list), f"a frame is an array: {raw!r}"
    cursor = None
    for place, message in enumerate(messages):
        if message["type"] == "cursor":
            assert place == len(messages) - 1, f"cursor not last: {raw!r}"
            cursor = message["cursor"]
    return Frame(messages, cursor, raw, at or time.monotonic())


class Room:
    """One room as a page would hold it: the items of each key, in order."""

    def __init__(self):
        self.items = {}        # key -> its items, oldest first
        self.complete = None   # of the last snapshot, None before one
        self.more = False      # a part of a snapshot is still to come
        self.state = "live"

    @property
    def values(self):
        """{key: data of its newest item}"""
        return {key: items[-1]["data"] for key, items in self.items.items()}

    def apply(self, message):
        kind = message["type"]
        if kind == "snapshot":
            if not self.more:
                self.items = {}
            self.more = message.get("more", False)
            self.complete = message.get("complete", self.complete)
            for item in message["items"]:
                self.items.setdefault(item.get("key", ""), []).append(item)
        elif kind == "update":
            self.items.setdefault(message.get("key", ""), []).append(message)
        elif kind == "delete":
            self.items.pop(message.get("key", ""), None)
        elif kind == "status":
            self.state = message["state"]


class Stream:
    """Collects frames; wait() blocks until what they amount to is enough.

    A thread of the transport calls take() and finish(); tests read.
    """

    def __init__(self):
        self.frames = []
        self.messages = []     # of all frames, cursors left out
        self.rooms = {}        # address -> Room
        self.cursor = None     # the newest
        self.closed = False
        self.error = None      # what ended it, other than the server's close
        self._changed = threading.Condition()

    def take(self, raw):
        frame = parse_frame(raw)
        with self._changed:
            self.frames.append(frame)
            if frame.cursor is not None:
                self.cursor = frame.cursor
            for message in frame.messages:
                if message["type"] == "cursor":
                    continue
                self.messages.append(message)
                if "room" in message and message["type"] != "error":
                    self.rooms.setdefault(message["room"],
                                          Room()).apply(message)
            self._changed.notify_all()

    def finish(self, error=None):
        with self._changed:
            self.closed = True
            self.error = self.error or error
            self._changed.notify_all()

    def touch(self):
        """Something other than a frame changed."""
        with self._changed:
            self._changed.notify_all()

    def wait(self, condition, timeout=10, what="what the test waits for"):
        """Waits until condition(self) is true and returns what it returned."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                result = condition(self)
                if result:
                    return result
                left = deadline - time.monotonic()
                if left <= 0 or (self.closed and self._settled()):
                    raise AssertionError(f"{what}: {self}")
                self._changed.wait(min(left, 0.5))

    def _settled(self):
        return True

    # the usual questions

    def of_type(self, kind, room=None, key=None):
        return [m for m in list(self.messages) if m["type"] == kind
                and (room is None or m.get("room") == room)
                and (key is None or m.get("key") == key)]

    def updates(self, room=None, key=None):
        return self.of_type("update", room, key)

    def data(self, room=None, key=None):
        """The data of all updates."""
        return [m["data"] for m in self.updates(room, key)]

    def wait_snapshot(self, room, timeout=10):
        """Waits for the whole snapshot of a room; returns its Room."""
        self.wait(lambda s: room in s.rooms and not s.rooms[room].more
                  and s.rooms[room].complete is not None
                  and s.cursor is not None,
                  timeout, f"the snapshot of {room}")
        return self.rooms[room]

    def wait_updates(self, count, room=None, key=None, timeout=10):
        """Waits until count updates have come in all; returns them."""
        self.wait(lambda s: len(s.updates(room, key)) >= count, timeout,
                  f"{count} updates")
        return self.updates(room, key)

    def wait_type(self, kind, room=None, timeout=10):
        """Waits for a message of this type; returns the first."""
        return self.wait(lambda s: s.of_type(kind, room), timeout,
                         f"a message of type {kind}")[0]

    def wait_value(self, room, key, data, timeout=10):
        """Waits until the newest data of a key in a room are these."""
        self.wait(lambda s: room in s.rooms
                  and s.rooms[room].values.get(key) == data, timeout,
                  f"{key} of {room} is {data!r}")

    def wait_closed(self, timeout=10):
        self.wait(lambda s: s.closed, timeout, "the end of the stream")

    def __str__(self):
        last = self.frames[-1].raw[:300] if self.frames else None
        return (f"{len(self.frames)} frames, {len(self.messages)} messages, "
                f"{'closed' if self.closed else 'open'}, error {self.error}, "
                f"last frame {last!r}")
