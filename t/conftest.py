"""Fixtures: a Kafka, nginx with the module.  t/README.md tells what they do.
"""

import os
import signal
import sys
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness import process                             # noqa: E402
from harness.kafka import Cluster, Kafka                # noqa: E402
from harness.nginx import MODULE, Nginx                 # noqa: E402


def pytest_configure(config):
    for line in ("slow: takes longer than ten seconds",
                 "image: builds the container image (needs root and buildah)",
                 "browser: needs Chromium"):
        config.addinivalue_line("markers", line)
    process.adopt_orphans()
    # so that a terminated run tears down as an interrupted one does
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))


def pytest_collection_modifyitems(items):
    # the longest file first: the other half has the rest meanwhile
    items.sort(key=lambda item: item.get_closest_marker("image") is None)


def pytest_sessionfinish(session):
    left = process.end_children()
    if left:
        print("\nended what was left running:", *left, sep="\n  ")


@pytest.fixture(scope="session")
def kafka():
    """The Kafka that all tests share: use topics of your own."""
    with closing(Kafka()) as broker:
        yield broker.start()


@pytest.fixture
def own_kafka():
    """A Kafka for one test, to be stopped, killed, paused and wiped."""
    with closing(Kafka()) as broker:
        yield broker.start()


@pytest.fixture
def make_kafka():
    """make_kafka(**properties): more Kafkas, started."""
    with ExitStack() as stack:
        yield lambda **properties: stack.enter_context(
            closing(Kafka(**properties))).start()


@pytest.fixture
def own_cluster():
    """Three brokers for one test, to lose the second and the third of."""
    with closing(Cluster()) as cluster:
        yield cluster.start()


@pytest.fixture
def nginx(request):
    """nginx(http_conf=..., server_conf=..., ...) starts one, as often as a
    test likes; see DEFAULTS in harness/nginx.py for what it takes."""
    running = []

    def make(ready=True, start=True, **settings):
        one = Nginx(**settings)
        running.append(one)
        return one.start(ready) if start else one

    def test(**settings):
        with closing(Nginx(**settings)) as one:
            return one.test()

    make.test = test        # nginx -t without a start: (accepted, output)
    yield make

    problems = []
    report = getattr(request.node, "report", None)
    for one in reversed(running):
        if report is not None and report.failed and one.error_log:
            print(f"\n--- error log of {one.prefix} (its end)\n"
                  + one.error_log[-8000:])
        problems += one.close()
    assert not problems, "nginx:\n" + "\n".join(problems)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if call.when == "call":
        item.report = report
    return report


@pytest.fixture(scope="session")
def build():
    """The folder with what make built."""
    return process.BUILD


@pytest.fixture
def module():
    """The module's file; a test that needs it is skipped without."""
    if not MODULE.exists():
        pytest.skip("the module is not built")
    return MODULE


@pytest.fixture(scope="session")
def browser():
    """Debian's Chromium, headless, driven by playwright."""
    from playwright.sync_api import sync_playwright
    options = ["--disable-gpu", "--disable-quic", "--no-first-run",
               "--disable-background-networking",
               "--disable-component-update", "--disable-sync"]
    if os.getuid() == 0:
        options.append("--no-sandbox")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=options)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser):
    """An empty page of a new profile; page.problems lists what its console
    and its scripts complained of."""
    context = browser.new_context()
    one = context.new_page()
    one.problems = []
    one.on("pageerror", lambda error: one.problems.append(str(error)))
    one.on("console", lambda message: one.problems.append(message.text)
           if message.type == "error" else None)
    yield one
    context.close()
