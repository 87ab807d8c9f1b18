"""flux-news against a stub that serves RSS, Atom and Algolia's search."""

import time
from email.utils import format_datetime
from datetime import datetime, timedelta, timezone

import pytest

from program import wait_for
from stub import bomb, redirect, reply, silence

NOW = datetime.now(timezone.utc).replace(microsecond=0)

RSS = """<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:media="http://search.yahoo.com/mrss/">
<channel><title>World &amp; News</title><link>https://news.example/</link>
<item><title><![CDATA[One &amp; <b>only</b>]]></title>
<link>https://news.example/1?a=b&amp;c=d</link>
<description>&lt;p&gt;Much&amp;nbsp;more&#8230;&lt;/p&gt;&lt;img src="x"&gt;
</description><dc:creator>A. Writer</dc:creator>
<pubDate>%s</pubDate><guid isPermaLink="false">g1</guid>
<media:title>not this</media:title></item>
<item><title>Two</title><link>https://news.example/2</link></item>
<item><title></title><link>https://news.example/untitled</link></item>
<item><title>No link</title></item>
<item><title>Script</title><link>javascript:alert(1)</link></item>
<item><title>Old</title><link>https://news.example/old</link>
<pubDate>Mon, 06 Sep 2021 00:01:00 +0000</pubDate></item>
</channel></rss>""" % format_datetime(NOW)

ATOM = f"""<feed xmlns="http://www.w3.org/2005/Atom"><title>At&#246;m</title>
<entry><title type="html">A &amp;lt;tag&amp;gt;</title>
<link rel="self" href="https://atom.example/self"/>
<link rel="alternate" href="https://atom.example/1"/>
<summary>Short</summary><author><name>Jo</name></author>
<published>{NOW.isoformat()}</published></entry></feed>"""

RDF = """<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
 xmlns="http://purl.org/rss/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/">
<channel rdf:about="x"><title>Old school</title></channel>
<item rdf:about="y"><title>Three</title><link>https://rdf.example/1</link>
<dc:date>%s</dc:date></item></rdf:RDF>""" % NOW.strftime(
    "%Y-%m-%dT%H:%M:%SZ")

HIT = {"created_at": "2026-11-25T00:00:00Z", "title": "Show &amp; tell",
       "url": "https://hn.example/1", "author": "pg", "points": 57,
       "story_text": None, "num_comments": 12, "story_id": 1,
       "created_at_i": int(NOW.timestamp()),
       "_tags": ["story", "author_pg", "story_1", "front_page"],
       "objectID": "1", "_highlightResult": {"title": {"value": "x"}}}


def news(run, stub, *options, feeds=("/rss",), hn=False):
    return run("news", "--provider", "feeds", "--print", "--hn-url", stub.url,
               "--feed", ",".join(stub.url + f for f in feeds),
               *([] if hn else ["--no-hn"]), *options)


def xml(text):
    return reply(text, type="application/rss+xml")


def test_rss_items_become_plain_text(run, stub):
    stub.route("/rss", xml(RSS))
    program = news(run, stub, "--once")

    assert program.wait() == 0, program.err
    assert program.records == [
        {"title": "One & only", "link": "https://news.example/1?a=b&c=d",
         "feed": "World & News", "summary": "Much more\u2026",
         "author": "A. Writer", "time": NOW.strftime("%Y-%m-%dT%H:%M:%S")
         + ".000Z", "provider": "rss", "source": "live"},
        {"title": "Two", "link": "https://news.example/2",
         "feed": "World & News", "summary": None, "author": None,
         "time": None, "provider": "rss", "source": "live"}]


def test_atom_and_rdf_are_feeds_too(run, stub):
    stub.route("/atom", xml(ATOM))
    stub.route("/rdf", xml(RDF))
    program = news(run, stub, "--once", feeds=("/atom", "/rdf"))

    assert program.wait() == 0, program.err
    records = {r["link"]: r for r in program.records}
    atom = records["https://atom.example/1"]
    assert (atom["title"], atom["feed"], atom["author"]) == (
        "A <tag>", "At\u00f6m", "Jo")
    assert atom["time"] == records["https://rdf.example/1"]["time"]


def test_hacker_news_front_page(run, stub):
    ask = {**HIT, "url": None, "objectID": "77", "title": "Ask"}
    stub.route("/rss", xml(RSS))
    stub.route("/api/v1/search", {"hits": [HIT, ask, {"title": "broken"}, 7],
                                  "nbHits": 3, "page": 0})
    program = news(run, stub, "--once", hn=True)

    assert program.wait() == 0, program.err
    records = {r["title"]: r for r in program.records}
    assert records["Show & tell"]["points"] == 57
    assert records["Show & tell"]["comments"] == 12
    assert records["Ask"]["link"] \
        == "https://news.ycombinator.com/item?id=77"
    assert stub.asked("/api/v1/search")[0][1]["tags"] == ["front_page"]


def test_link_is_published_once_and_again_when_it_changes(run, stub):
    stub.route("/rss", xml(RSS), xml(RSS), xml(RSS.replace("Two", "Two, new")))
    program = news(run, stub, "--interval", "1s")

    wait_for(lambda: len(stub.asked("/rss")) >= 4, 20)
    assert [r["title"] for r in program.records] == [
        "One & only", "Two", "Two, new"]


def test_etag_is_sent_back_and_304_is_fine(run, stub):
    stub.route("/rss", reply(RSS, headers={"ETag": '"abc"'}),
               reply(b"", 304))
    program = news(run, stub, "--interval", "1s")
    wait_for(lambda: len(stub.asked("/rss")) >= 3, 20)
    assert [r[2].get("If-None-Match") for r in stub.asked("/rss")][:3] == [
        None, '"abc"', '"abc"']
    assert "warn" not in program.err


def test_feeds_may_move_but_not_to_another_scheme(run, stub):
    stub.route("/rss", redirect("/moved"))
    stub.route("/moved", xml(RSS))
    program = news(run, stub, "--once")
    assert program.wait() == 0 and len(program.records) == 2

    stub.route("/rss", redirect("file:///etc/passwd"))
    program = news(run, stub, "--once")
    assert program.wait() == 1 and program.records == []


LAUGHS = """<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY a "ha">""" + "".join(
    f'<!ENTITY {chr(98 + i)} "{("&" + chr(97 + i) + ";") * 10}">'
    for i in range(9)) + """]><rss version="2.0"><channel><title>x</title>
<item><title>&j;</title><link>https://x.example/1</link></item></channel>
</rss>"""

ENTITIES = f"""<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY a "{'x' * 1000}">
]><rss version="2.0"><channel><title>x</title><item><title>{'&a;' * 100}
</title><link>https://x.example/1</link></item></channel></rss>"""

EXTERNAL = """<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY f SYSTEM
"file:///etc/passwd">]><rss version="2.0"><channel><title>x</title>
<item><title>got &f;</title><link>https://x.example/1</link></item></channel>
</rss>"""


@pytest.mark.parametrize("bad", [
    "", "<rss>", "{}", "<html><body>not a feed</body></html>", RSS[:300],
    LAUGHS, ENTITIES, "<a>" * 5000], ids=["empty", "open", "json", "html",
                                          "cut", "laughs", "entities",
                                          "deep"])
def test_what_is_no_feed_is_refused_and_costs_nothing(run, stub, bad):
    stub.route("/rss", xml(bad), xml(RSS))
    program = news(run, stub)
    program.wait_records(2, 20)
    assert len(stub.asked("/rss")) >= 2


def test_external_entities_are_not_read(run, stub):
    stub.route("/rss", xml(EXTERNAL))
    program = news(run, stub)
    wait_for(lambda: stub.asked("/rss"))
    time.sleep(0.5)
    assert "root:" not in program.out


def test_one_publishers_trouble_delays_no_other(run, stub):
    stub.route("/rss", xml(RSS))
    stub.route("/slow", silence())
    stub.route("/bomb", bomb())
    stub.route("/dead", reply(b"", 500))
    began = time.monotonic()
    program = news(run, stub, "--interval", "1s",
                   feeds=("/slow", "/bomb", "/dead", "/rss"))
    program.wait_records(2)
    assert time.monotonic() - began < 6

    wait_for(lambda: len(stub.asked("/dead")) >= 5, 60)
    asked = len(stub.asked("/rss"))
    wait_for(lambda: len(stub.asked("/rss")) >= asked + 3, 15)


def test_simulated_headlines_say_so(run):
    program = run("news", "--provider", "simulated", "--print", "--rate",
                  "20")
    for record in program.wait_records(10):
        assert record["source"] == "simulated"
        assert ".example/" in record["link"]


def test_wrong_feed_is_told(run):
    program = run("news", "--feed", "ftp://x.example/", "--print")
    assert program.wait() == 2 and "ftp://x.example/" in program.err


def test_old_items_are_left_out(run, stub):
    text = RSS.replace(format_datetime(NOW),
                       format_datetime(NOW - timedelta(hours=30)))
    stub.route("/rss", xml(text))
    program = news(run, stub, "--once", "--max-age", "1d")
    assert program.wait() == 0
    assert [r["title"] for r in program.records] == ["Two"]
