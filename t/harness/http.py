"""Single requests: long polls, publishing, status, anything else."""

import http.client
import json
import time
import urllib.parse

from .stream import parse_frame


class Answer:
    def __init__(self, response, body, took):
        self.status = response.status
        self.headers = {name.lower(): value
                        for name, value in response.getheaders()}
        self.body = body
        self.took = took       # seconds

    def json(self):
        return json.loads(self.body)

    @property
    def frame(self):
        return parse_frame(self.body)

    @property
    def messages(self):
        """The frame's messages without the cursor."""
        return [m for m in self.frame.messages if m["type"] != "cursor"]

    @property
    def cursor(self):
        return self.frame.cursor


def request(method, url, headers=None, body=None, timeout=70):
    parts = urllib.parse.urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    connection = http.client.HTTPConnection(parts.hostname, parts.port,
                                            timeout=timeout)
    started = time.monotonic()
    try:
        connection.request(method, target, body=body, headers=headers or {})
        response = connection.getresponse()
        return Answer(response, response.read(), time.monotonic() - started)
    finally:
        connection.close()


def poll(url, cursor=None, wait=None, room=(), key=(), headers=None,
         timeout=70):
    """One long poll; Answer has .messages and .cursor."""
    pairs = []
    if cursor is not None:
        pairs.append(("cursor", cursor))
    if wait is not None:
        pairs.append(("wait", wait))
    for name, value in (("room", room), ("key", key)):
        values = [value] if isinstance(value, str) else value
        pairs += [(name, one) for one in values]
    if pairs:
        url += ("&" if "?" in url else "?") + urllib.parse.urlencode(pairs)
    return request("GET", url, headers, timeout=timeout)
