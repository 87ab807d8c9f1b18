"""The demo's own nginx.conf and page, on a test's nginx and topics."""

import re
import shutil

from .process import ROOT

TOPICS = ("crypto.ticker", "crypto.movers", "weather", "news", "stocks",
          "producers", "demand.weather")


class Demo:
    """What conf/nginx.conf serves. With `topics` other than "flux." it reads
    topics of its own, so that tests can share a Kafka; the producers write
    to those that begin with "flux."."""

    def __init__(self, nginx, kafka, topics="flux.", **settings):
        self.kafka = kafka
        self.topics = topics
        there = kafka.admin.list_topics(timeout=10).topics
        for name in TOPICS:
            if topics + name not in there:
                kafka.create_topic(topics + name)
        http, server = _shipped(topics)
        self.nginx = nginx(kafka=kafka, http_conf=http, server_conf=server,
                           zone="64m", status=False, **settings)
        shutil.copytree(ROOT / "html", self.nginx.prefix / "html",
                        dirs_exist_ok=True)

    def url(self, path="/"):
        return self.nginx.url(path)

    def send(self, topic, value, key, **kw):
        self.kafka.send(self.topics + topic, value, key=key, **kw)

    def coin(self, symbol, price, change="1.50", source="live", **more):
        self.send("crypto.ticker", {
            "symbol": symbol, "name": more.pop("name", symbol.split("-")[0]),
            "price": price, "open": "100.00", "high": "120.00",
            "low": "90.00", "volume": "1234.5", "change": change,
            "time": "2026-01-02T03:04:05.678Z", "provider": "test",
            "source": source, **more}, symbol)


def _shipped(topics):
    text = (ROOT / "conf" / "nginx.conf").read_text()
    text = re.sub(r"(topic|demand)( +)flux\.", rf"\g<1>\g<2>{topics}", text)
    feeds = re.findall(r"^    flux_feed .*?^    \}", text, re.M | re.S)
    server = re.search(r"^    server \{\n(.*?)^    \}", text, re.M | re.S)[1]
    server = re.sub(r"^ +(listen|root) .*\n", "", server, flags=re.M)
    return "\n".join(feeds), server
