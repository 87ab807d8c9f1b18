"""flux.js in Node: what it tells, and what it is told to do."""

import json
import shutil
import subprocess
import threading

from .process import ROOT, hang_up, spawn, wait_for

NODE = shutil.which("node")


class Client:
    def __init__(self, url, follow=(), ws="", node=NODE,
                 flux=ROOT / "html/flux.js", **options):
        self.events = []
        self.process = spawn(
            [node, ROOT / "t/client/reader.mjs", flux, url,
             json.dumps({"follow": list(follow), **options}), ws],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.events.append(json.loads(line))

    def of(self, event, **fields):
        return [e for e in list(self.events) if e["event"] == event
                and all(e.get(k) == v for k, v in fields.items())]

    def wait(self, event, count=1, timeout=20, **fields):
        """The last of `count` such events."""
        return wait_for(
            lambda: (found := self.of(event, **fields))[count - 1:]
            and found[count - 1:],
            timeout, f"{event} {fields} of flux.js")[-1]

    def tell(self, op, *rooms):
        self.process.stdin.write(json.dumps({"op": op, "rooms": rooms}) + "\n")
        self.process.stdin.flush()

    def look(self):
        count = len(self.of("look"))
        self.tell("look")
        return self.wait("look", count + 1)

    @property
    def state(self):
        states = self.of("state")
        return states[-1]["value"] if states else "connecting"

    def close(self):
        if self.process.poll() is None:
            hang_up(self.process)
