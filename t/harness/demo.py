"""The demo's own nginx.conf and page, on a test's nginx and topics."""

import re
import shutil
import subprocess

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

    def place_uplot(self):
        """What `make run` fetches for the larger chart."""
        folder = subprocess.run([ROOT / "tools" / "uplot"], check=True,
                                capture_output=True, text=True).stdout.strip()
        shutil.copytree(folder, self.nginx.prefix / "vendor" / "uplot")

    def send(self, topic, value, key, queued=False, **kw):
        send = self.kafka.produce if queued else self.kafka.send
        send(self.topics + topic, value, key=key, **kw)

    def coin(self, symbol, price, change="1.50", source="live", name=None,
             queued=False):
        self.send("crypto.ticker", {
            "symbol": symbol, "name": name or symbol.split("-")[0],
            "price": price, "open": "100.00", "high": "120.00",
            "low": "90.00", "volume": "1234.5", "change": change,
            "time": "2026-01-02T03:04:05.678Z", "provider": "test",
            "source": source}, symbol, queued=queued)

    def stock(self, symbol, price, change, source="live"):
        self.send("stocks", {
            "symbol": symbol, "name": f"{symbol} Incorporated",
            "price": price, "change": change, "difference": "1.00",
            "open": "99.00", "high": "120.00", "low": "90.00",
            "previous_close": "98.00", "time": "2026-01-02T03:04:05.678Z",
            "provider": "test", "source": source}, symbol)

    def headline(self, link, title, source="live"):
        self.send("news", {
            "title": title, "link": link, "feed": "The Daily Example",
            "summary": None, "author": None,
            "time": "2026-01-02T03:04:05.000Z", "provider": "test",
            "source": source}, link)

    def weather(self, slug, name, temperature=13.4, source="live"):
        degrees = {"temperature_c": temperature,
                   "temperature_f": round(temperature * 1.8 + 32, 1)}
        self.send("weather", {
            "city": name, "slug": slug, "country": None,
            "time": "2026-01-02T12:00", "utc_offset_seconds": 0, **degrees,
            "feels_like_c": 12.3, "feels_like_f": 54.1, "humidity": 57,
            "wind_kmh": 11.7, "is_day": True, "code": 3,
            "condition": "Overcast", "high_c": 17.0, "high_f": 62.6,
            "low_c": 9.5, "low_f": 49.1, "sunrise": "2026-01-02T06:00",
            "sunset": "2026-01-02T18:00", "aqi": 73,
            "hours": [{"time": f"2026-01-02T{hour}:00", "code": 61,
                       "condition": "Light rain", **degrees}
                      for hour in range(13, 20)],
            "provider": "test", "source": source}, slug)

    def heartbeat(self, producer, state="live"):
        self.send("producers", {
            "producer": producer, "instance": "test", "node": "test",
            "state": state, "provider": "auto", "records": 5, "lost": 0,
            "kafka": {"state": "up"}, "providers": []}, f"{producer}/test")


def _shipped(topics):
    text = (ROOT / "conf" / "nginx.conf").read_text()
    text = re.sub(r"(topic|demand)( +)flux\.", rf"\g<1>\g<2>{topics}", text)
    feeds = re.findall(r"^    flux_feed .*?^    \}", text, re.M | re.S)
    server = re.search(r"^    server \{\n(.*?)^    \}", text, re.M | re.S)[1]
    server = re.sub(r"^ +(listen|root) .*\n", "", server, flags=re.M)
    gzip = re.findall(r"^    gzip.*?;", text, re.M)
    return "\n".join(gzip + feeds), server
