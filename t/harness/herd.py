"""A thousand readers that come back with their cursor (herd.c), in a process
of its own: Python would be the slowest of all."""

import json
import os
import subprocess
from pathlib import Path

from .process import BUILD, hang_up, spawn

SOURCE = Path(__file__).with_suffix(".c")
FLAGS = "-std=c11 -O2 -g -Wall -Wextra -Werror".split()


def program():
    made = BUILD / "herd"
    if not made.exists() or made.stat().st_mtime < SOURCE.stat().st_mtime:
        fresh = made.with_suffix(f".{os.getpid()}")
        subprocess.run(["cc", *FLAGS, "-o", fresh, SOURCE], check=True)
        fresh.rename(made)
    return made


class Herd:
    """Entered once all have their snapshot.  Records are those of Load, with
    its keys: n modulo `keys`."""

    def __init__(self, port, path, readers, keys=40):
        self.readers = readers
        self.process = spawn([program(), port, path, readers, keys],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             text=True)

    def __enter__(self):
        assert self._line() == "ready\n"
        return self

    def __exit__(self, *_):
        hang_up(self.process)

    def cut(self):
        """Every connection is lost."""
        self._say("cut")

    def state(self):
        self._say("state")
        return json.loads(self._line())

    def until(self, count):
        """Waits until each has so many records; what they saw."""
        self._say(f"until {count}")
        return json.loads(self._line())

    def _say(self, order):
        print(order, file=self.process.stdin, flush=True)

    def _line(self):
        line = self.process.stdout.readline()
        assert line, f"the readers ended with {self.process.wait(5)}"
        return line


def check_exactly_once(seen, count):
    assert (seen["least"], seen["most"]) == (count, count), seen
    assert seen["twice"] == seen["disorder"] == seen["resets"] \
        == seen["snapshots"] == seen["answers"] == 0, seen
