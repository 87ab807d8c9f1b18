"""The page in a real Chromium, over the module's own stream."""

import itertools

import pytest

from harness.demo import Demo

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

_numbers = itertools.count(1)


@pytest.fixture
def demo(kafka, nginx, module):
    """demo(): the shipped nginx.conf and page, on topics of its own."""
    def make(**settings):
        return Demo(nginx, kafka, f"page{next(_numbers)}.", **settings)
    return make


def price_of(page, symbol):
    return page.locator(f".crypto tr:has-text('{symbol}') .price")


def test_the_page_shows_the_snapshot_and_follows_updates(demo, page):
    one = demo()
    one.coin("BTC-USD", "93426.10", name="Bitcoin")
    one.coin("ETH-USD", "3312.45", change="-2.25", name="Ethereum")
    page.goto(one.url())

    price_of(page, "BTC-USD").filter(has_text="93,426.10").wait_for()
    price_of(page, "ETH-USD").filter(has_text="3,312.45").wait_for()
    page.locator("#connection", has_text="Connected").wait_for()
    page.locator(".crypto .fresh", has_text="Live").wait_for()

    one.coin("BTC-USD", "93500.20")
    price_of(page, "BTC-USD").filter(has_text="93,500.20").wait_for()
    assert page.problems == []


@pytest.mark.parametrize("source, words", [
    ("live", "Live"), ("replay", "Replay"), ("simulated", "Simulated")])
def test_the_card_says_where_its_data_come_from(demo, page, source, words):
    one = demo()
    one.coin("BTC-USD", "1.00", source=source)
    page.goto(one.url())
    page.locator(".crypto .fresh", has_text=words).wait_for()
