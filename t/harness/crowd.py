"""Thousands of SSE readers in one thread: raw bytes now, frames afterwards."""

import selectors
import socket
import threading
import time

from .stream import Stream


class Crowd:
    """Readers of one URL path on an nginx, read by a thread."""

    def __init__(self, port, path):
        self.address, self.path = ("127.0.0.1", port), path
        self.received = []          # a bytearray per reader
        self.ended = 0
        self._sockets = []
        self._selector = selectors.DefaultSelector()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def join(self, count):
        request = (f"GET {self.path} HTTP/1.1\r\nHost: crowd\r\n"
                   "Accept: text/event-stream\r\n\r\n").encode()
        for _ in range(count):
            one = socket.create_connection(self.address, 10)
            one.sendall(request)
            one.setblocking(False)
            buffer = bytearray()
            self.received.append(buffer)
            self._sockets.append(one)
            self._selector.register(one, selectors.EVENT_READ, buffer)

    def wait_all_have(self, text, timeout=20):
        deadline = time.monotonic() + timeout
        while True:
            missing = sum(text not in buffer[-20000:]
                          for buffer in self.received)
            if not missing:
                return
            assert time.monotonic() < deadline, \
                f"{missing} of {len(self.received)} wait for {text}"
            time.sleep(0.05)

    def close(self):
        self._end.set()
        self._thread.join(5)
        for one in self._sockets:
            one.close()
        self._selector.close()

    def streams(self):
        """A Stream of each reader, all of whose answers are alike."""
        for buffer in self.received:
            stream = Stream()
            for line in dechunked(buffer).split(b"\n"):
                if line.startswith(b"data: "):
                    stream.take(line[6:].decode())
                elif line.startswith(b"data:"):
                    stream.take(line[5:].decode())
            yield stream

    def _run(self):
        while not self._end.is_set():
            for key, _ in self._selector.select(0.05):
                try:
                    piece = key.fileobj.recv(262144)
                except BlockingIOError:
                    continue
                except OSError:
                    piece = b""
                if not piece:
                    self.ended += 1
                    self._selector.unregister(key.fileobj)
                    continue
                key.data.extend(piece)


def dechunked(buffer):
    head, _, rest = bytes(buffer).partition(b"\r\n\r\n")
    if not rest:
        return b""
    assert head.startswith(b"HTTP/1.1 200"), head
    body, at = [], 0
    while True:
        end = rest.find(b"\r\n", at)
        if end < 0:
            return b"".join(body)
        size = int(rest[at:end], 16)
        body.append(rest[end + 2:end + 2 + size])
        at = end + 2 + size + 2
