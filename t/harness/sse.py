"""A reader of server-sent events on a plain socket.

It sees what an EventSource does not show: the status, the headers, comments,
the bytes on the wire; and it can stop reading, or vanish.
"""

import select
import socket
import ssl
import threading
import urllib.parse
import zlib

from .stream import Stream


class Event:
    """A block of an event stream (HTML Living Standard 9.2.6)."""

    def __init__(self):
        self.data = None
        self.id = None
        self.event = None
        self.retry = None


class Sse(Stream):
    def __init__(self, url, headers=None, cursor=None, room=(), key=(),
                 query=None, compress=False, receive_buffer=None,
                 context=None, timeout=10):
        super().__init__()
        self.arguments = dict(url=url, headers=headers, room=room, key=key,
                              query=query, compress=compress,
                              receive_buffer=receive_buffer, context=context,
                              timeout=timeout)
        self.status = None
        self.headers = {}
        self.body = b""        # of an answer that is no event stream
        self.events = []
        self.comments = []
        self.retry = None
        self.wire_bytes = 0    # of the body, as they were sent
        self.complete = False  # the last chunk, or all of Content-Length
        self._reading = threading.Event()
        self._reading.set()
        self._ended = False

        parts = urllib.parse.urlsplit(url)
        self._socket = socket.socket()
        if receive_buffer:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF,
                                    receive_buffer)
        self._socket.settimeout(timeout)
        self._socket.connect((parts.hostname, parts.port))
        if parts.scheme == "https":
            context = context or ssl._create_unverified_context()
            self._socket = context.wrap_socket(self._socket,
                                               server_hostname=parts.hostname)
        self._socket.sendall(self._request(parts, cursor))
        # an open stream may be silent for long: only the answer is due
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self.wait(lambda s: s.status is not None, timeout, "an answer")
        self._socket.settimeout(None)

    def _request(self, parts, cursor):
        pairs = urllib.parse.parse_qsl(parts.query, keep_blank_values=True)
        pairs += list((self.arguments["query"] or {}).items())
        for name in ("room", "key"):
            value = self.arguments[name]
            values = [value] if isinstance(value, str) else value
            pairs += [(name, one) for one in values]
        target = parts.path + ("?" + urllib.parse.urlencode(pairs)
                               if pairs else "")

        headers = {"Host": parts.netloc, "Accept": "text/event-stream"}
        if self.arguments["compress"]:
            headers["Accept-Encoding"] = "gzip"
        if cursor is not None:
            headers["Last-Event-ID"] = cursor
        headers.update(self.arguments["headers"] or {})
        lines = [f"GET {target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()
                  if value is not None]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    # what tests do with it

    @property
    def bytes_read(self):
        return self.wire_bytes

    @property
    def local_port(self):
        return self._socket.getsockname()[1]

    def pause(self):
        """Stops reading (what the thread waits for now it still takes)."""
        self._reading.clear()

    def resume(self):
        self._reading.set()

    def close(self):
        """Goes away, as a closed tab does."""
        self._ended = True
        self._reading.set()
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._thread.join(5)
        self._socket.close()

    def again(self, **changes):
        """A new reader with the same arguments and this one's cursor."""
        return Sse(**{**self.arguments, "cursor": self.cursor, **changes})

    # the thread

    def _run(self):
        try:
            rest = self._head()
            if self.status == 200 and self.headers.get(
                    "content-type", "").startswith("text/event-stream"):
                self._event_stream(rest)
            else:
                for piece in self._body(rest):
                    self.body += piece
            self.finish()
        except Exception as error:      # told to the test by wait()
            self.finish(None if self._ended else error)

    def _receive(self):
        self._reading.wait()
        while True:
            try:
                return self._socket.recv(65536)
            except BlockingIOError:
                # settimeout() of the other thread was half done
                select.select([self._socket], [], [], 1)

    def _head(self):
        text = b""
        while b"\r\n\r\n" not in text:
            piece = self._receive()
            if not piece:
                raise ConnectionError(f"no answer, only {text!r}")
            text += piece
        head, _, rest = text.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        for line in lines:
            name, _, value = line.partition(":")
            name, value = name.strip().lower(), value.strip()
            if name in self.headers:
                value = self.headers[name] + ", " + value
            self.headers[name] = value
        self.status = int(first.split()[1])
        self.touch()
        return rest

    def _body(self, rest):
        """The pieces of the body, as they come."""
        if "chunked" in self.headers.get("transfer-encoding", ""):
            yield from self._chunks(rest)
            return

        length = self.headers.get("content-length")
        left = int(length) if length is not None else None
        while left is None or left > 0:
            piece = rest or self._receive()
            rest = b""
            if not piece:
                break
            self.wire_bytes += len(piece)
            if left is not None:
                left -= len(piece)
            yield piece
        self.complete = left == 0

    def _chunks(self, rest):
        buffer = rest
        while True:
            while b"\r\n" not in buffer:
                piece = self._receive()
                if not piece:
                    return
                buffer += piece
            size_line, _, buffer = buffer.partition(b"\r\n")
            size = int(size_line.split(b";")[0], 16)
            while len(buffer) < size + 2:
                piece = self._receive()
                if not piece:
                    return
                buffer += piece
            if buffer[size:size + 2] != b"\r\n":
                raise ValueError(f"chunk not ended: {buffer[size:][:20]!r}")
            chunk, buffer = buffer[:size], buffer[size + 2:]
            if size == 0:
                self.complete = True
                if buffer:
                    raise ValueError(f"after the last chunk: {buffer!r}")
                return
            self.wire_bytes += size
            yield chunk

    def _event_stream(self, rest):
        inflate = None
        if self.headers.get("content-encoding") == "gzip":
            inflate = zlib.decompressobj(31)
        text = b""
        event = Event()

        for piece in self._body(rest):
            text += inflate.decompress(piece) if inflate else piece
            *lines, text = text.split(b"\n")
            for line in lines:
                line = line.rstrip(b"\r").decode()
                if line:
                    self._field(event, line)
                else:
                    self._dispatch(event)
                    event = Event()

    def _field(self, event, line):
        name, _, value = line.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if name == "":
            self.comments.append(value)
            self.touch()
        elif name == "data":
            event.data = value if event.data is None \
                else event.data + "\n" + value
        elif name == "id":
            event.id = value
        elif name == "event":
            event.event = value
        elif name == "retry":
            event.retry = self.retry = int(value)
        else:
            raise ValueError(f"unknown field in an event stream: {line!r}")

    def _dispatch(self, event):
        self.events.append(event)
        if event.data is None:
            self.touch()
            return
        self.take(event.data)
        if event.id is not None and self.frames[-1].cursor != event.id:
            raise ValueError(f"id {event.id!r} is not the frame's cursor")
