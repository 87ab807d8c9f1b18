"""Fixtures for the producers: a program run, a provider to run it against."""

import pytest

from program import Program
from stub import Stub


@pytest.fixture
def stub():
    """An HTTP and WebSocket server that answers as the test says."""
    server = Stub()
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture
def tls_stub(tmp_path):
    """The same with a certificate that nobody signed."""
    server = Stub(tls=tmp_path)
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture
def run():
    """run(name, *options) starts a producer; at the test's end it is stopped
    and must not have left a sanitizer's report."""
    running = []

    def start(name, *options, **settings):
        running.append(Program(name, *options, **settings))
        return running[-1]

    yield start
    for program in running:
        program.close()
    reports = [p.err for p in running if "Sanitizer" in p.err
               or "runtime error" in p.err]
    assert not reports, "\n".join(reports)
