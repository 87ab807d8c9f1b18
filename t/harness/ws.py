"""A reader over WebSocket, with Python's websockets."""

import json
import socket
import sys
import threading
import urllib.parse

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from .stream import Stream


def frame(opcode, payload, fin=True):
    """A client's frame as bytes, masked with zeros (RFC 6455, 5.2)."""
    size = len(payload)
    head = bytes([(0x80 if fin else 0) | opcode])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65536:
        head += b"\xfe" + size.to_bytes(2, "big")
    else:
        head += b"\xff" + size.to_bytes(8, "big")
    return head + b"\0\0\0\0" + payload


class WebSocket(Stream):
    def __init__(self, url, headers=None, cursor=None, room=(), key=(),
                 query=None, origin=None, subprotocols=None, compress=False,
                 timeout=10, **options):
        super().__init__()
        self.arguments = dict(url=url, headers=headers, room=room, key=key,
                              query=query, origin=origin,
                              subprotocols=subprotocols, compress=compress,
                              timeout=timeout, **options)
        self.close_code = None
        self.close_reason = None
        self._reading = threading.Event()
        self._reading.set()

        pairs = list((query or {}).items())
        for name, value in (("room", room), ("key", key)):
            values = [value] if isinstance(value, str) else value
            pairs += [(name, one) for one in values]
        if cursor is not None:
            pairs.append(("cursor", cursor))
        if pairs:
            url += ("&" if "?" in url else "?") + urllib.parse.urlencode(pairs)

        self.connection = connect(
            url.replace("http", "ws", 1), origin=origin,
            additional_headers=headers, subprotocols=subprotocols,
            compression="deflate" if compress else None, max_size=None,
            open_timeout=timeout, close_timeout=2, ping_interval=None,
            proxy=None, legacy=True, **options)
        self.subprotocol = self.connection.subprotocol
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def headers(self):
        """The headers of the handshake's answer."""
        return self.connection.response.headers

    @property
    def local_port(self):
        return self.connection.local_address[1]

    @property
    def wire_bytes(self):
        """What came, the handshake's answer included: tcpi_bytes_received."""
        info = self.connection.socket.getsockopt(socket.IPPROTO_TCP,
                                                 socket.TCP_INFO, 136)
        return int.from_bytes(info[128:136], sys.byteorder)

    def send(self, message):
        """Text and bytes as they are, the rest as JSON."""
        if not isinstance(message, (str, bytes)):
            message = json.dumps(message)
        self.connection.send(message)

    def subscribe(self, *rooms, cursor=None):
        message = {"op": "subscribe", "rooms": list(rooms)}
        if cursor is not None:
            message["cursor"] = cursor
        self.send(message)

    def unsubscribe(self, *rooms):
        self.send({"op": "unsubscribe", "rooms": list(rooms)})

    def pause(self):
        self._reading.clear()

    def resume(self):
        self._reading.set()

    def close(self, code=1000):
        """Says goodbye and goes."""
        self._reading.set()
        self.connection.close(code)
        self._thread.join(5)

    def drop(self):
        """Goes without a word, as a lost connection does."""
        self._reading.set()
        try:
            self.connection.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._thread.join(5)

    def again(self, **changes):
        """A new reader with the same arguments and this one's cursor."""
        return WebSocket(**{**self.arguments, "cursor": self.cursor,
                            **changes})

    def _run(self):
        try:
            while True:
                self._reading.wait()
                message = self.connection.recv()
                if not isinstance(message, str):
                    raise ValueError("a binary message from the server")
                self.take(message)
        except ConnectionClosed:
            self._note_close()
            self.finish()
        except Exception as error:      # told to the test by wait()
            self._note_close()
            self.finish(error)

    def _note_close(self):
        self.close_code = self.connection.close_code
        self.close_reason = self.connection.close_reason
