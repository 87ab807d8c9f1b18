"""A reader of server-sent events over HTTP/2 and TLS, compressed."""

import threading

import httpx

from .stream import Stream


class Http2Sse(Stream):
    """Its stream has a connection of its own, as a browser's first one has."""

    def __init__(self, url, cursor=None, timeout=10):
        super().__init__()
        self.arguments = dict(url=url, timeout=timeout)
        self.headers = None
        self._client = httpx.Client(http1=False, http2=True, verify=False,
                                    timeout=timeout, trust_env=False)
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "gzip"}
        if cursor is not None:
            headers["Last-Event-ID"] = cursor
        self._request = self._client.build_request(
            "GET", url, headers=headers,
            extensions={"timeout": {"connect": timeout, "read": 60,
                                    "write": timeout, "pool": timeout}})
        self._response = self._client.send(self._request, stream=True)
        self.headers = self._response.headers
        assert self._response.status_code == 200
        assert self._response.http_version == "HTTP/2"
        assert self.headers["content-encoding"] == "gzip"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            for line in self._response.iter_lines():
                if line.startswith("data:"):
                    self.take(line[5:].lstrip())
            self.finish()
        except Exception as error:      # told to the test by wait()
            self.finish(error)

    def close(self):
        self._client.close()
        self._thread.join(5)

    def again(self, **changes):
        return Http2Sse(**{**self.arguments, "cursor": self.cursor, **changes})
