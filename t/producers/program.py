"""A producer as a child process, and what tests ask of one."""

import json
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("BUILD") or ROOT / "build").resolve()

# A producer reads its settings from the environment too: not the tests'.
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/nonexistent",
               "ASAN_OPTIONS": "abort_on_error=0:detect_leaks=1",
               "UBSAN_OPTIONS": "print_stacktrace=1"}


def wait_for(condition, timeout=15, what="the condition"):
    """Calls condition until it returns something true, and returns that."""
    deadline = time.monotonic() + timeout

    while True:
        result = condition()
        if result:
            return result
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(0.02)


class Program:
    """BUILD/flux-NAME; output and log go to files that can be read while
    it runs."""

    def __init__(self, name, *options, env=None):
        self._out = tempfile.NamedTemporaryFile("w+")
        self._err = tempfile.NamedTemporaryFile("w+")
        self.process = subprocess.Popen(
            [BUILD / f"flux-{name}", *map(str, options)],
            stdin=subprocess.DEVNULL, stdout=self._out, stderr=self._err,
            env={**ENVIRONMENT, **(env or {})}, start_new_session=True)

    @property
    def out(self):
        return Path(self._out.name).read_text()

    @property
    def err(self):
        return Path(self._err.name).read_text(errors="replace")

    @property
    def records(self):
        """What --print wrote, whole lines only."""
        lines = self.out.split("\n")[:-1]
        return [json.loads(line) for line in lines]

    def wait(self, timeout=40):
        """The exit code."""
        return self.process.wait(timeout)

    def wait_records(self, count, timeout=15):
        wait_for(lambda: len(self.records) >= count, timeout,
                 f"{count} records, there are {len(self.records)}: {self.err}")
        return self.records

    def wait_log(self, text, timeout=15):
        wait_for(lambda: text in self.err, timeout,
                 f"'{text}' in the log:\n{self.err}")

    def stop(self, sig=signal.SIGTERM, timeout=10):
        """Sends a signal; the exit code."""
        self.process.send_signal(sig)
        return self.process.wait(timeout)

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
