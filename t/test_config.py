"""What nginx -t says: every mistake is found, with its file and line."""

import re

import pytest

KAFKA = "flux_kafka main { brokers 127.0.0.1:9; }"
ZONE = "flux_zone flux 16m;"
FEED = "flux_feed f { topic t; }"
SPLIT = "flux_feed s { topic t; room key; }"
GOOD = "\n".join((ZONE, KAFKA, FEED, SPLIT))


def location(*lines):
    return "location = /live {\n" + "\n".join(lines) + "\n}"


def check(nginx, http="", server="", **more):
    """(accepted, output, the line of the comment HERE in the file)"""
    n = nginx(start=False, http_conf=http, server_conf=server, status=False,
              **more)
    lines = (n.prefix / "nginx.conf").read_text().splitlines()
    here = [i + 1 for i, line in enumerate(lines) if "# HERE" in line]
    accepted, output = n.test()
    n.expect_log(r"\[emerg\]")
    return accepted, output, here[0] if here else None


def refused(nginx, expected, http="", server=""):
    accepted, output, line = check(nginx, http, server)
    assert not accepted, output
    assert "[emerg]" in output
    assert re.search(expected, output), output
    assert re.search(rf"test\.conf:{line}\b", output), (line, output)


BLOCKS = {
    # the name of the mistake: (what is said, nginx.conf in http)
    "a zone without a size": ("invalid number of arguments", f"""
        flux_zone flux; # HERE
        """),
    "a zone of no size": ("invalid flux_zone size", f"""
        flux_zone flux many; # HERE
        """),
    "a zone too small": ("too small", f"""
        flux_zone flux 64k; # HERE
        {KAFKA}
        {FEED}"""),
    "two zones": ("duplicate", f"""
        {ZONE}
        flux_zone other 16m; # HERE
        """),
    "a zone without a name": ("zone.*name|name.*zone", f"""
        flux_zone "" 16m; # HERE
        """),
    "a feed without a zone": ("needs a flux_zone", f"""
        {KAFKA}
        flux_feed f {{
            topic t;
        }} # HERE
        """),
    "a cluster without brokers": ("no brokers", f"""
        flux_kafka main {{
        }} # HERE
        """),
    "empty brokers": ("brokers", f"""
        flux_kafka main {{
            brokers ""; # HERE
        }}"""),
    "a broker's port too large": ("invalid port", f"""
        flux_kafka main {{
            brokers a:9092,127.0.0.1:99999; # HERE
        }}"""),
    "a broker without its port": ("invalid port", f"""
        flux_kafka main {{
            brokers 127.0.0.1:,b:9092; # HERE
        }}"""),
    "brokers twice": ("duplicate", f"""
        flux_kafka main {{
            brokers 127.0.0.1:9;
            brokers 127.0.0.1:10; # HERE
        }}"""),
    "two clusters of one name": ("duplicate flux_kafka", f"""
        {KAFKA}
        flux_kafka main {{ # HERE
            brokers 127.0.0.1:9; }}"""),
    "a cluster with a bad name": ("invalid flux_kafka name", f"""
        flux_kafka ma/in {{ # HERE
            brokers 127.0.0.1:9; }}"""),
    "an unknown line in a cluster": ('unknown directive "broker"', f"""
        flux_kafka main {{
            broker 127.0.0.1:9; # HERE
        }}"""),
    "an unknown property": ("no.such", f"""
        flux_kafka main {{
            brokers 127.0.0.1:9;
            property no.such 1; # HERE
        }}"""),
    "a property with a bad value": ("socket.timeout.ms", f"""
        flux_kafka main {{
            property socket.timeout.ms soon; # HERE
            brokers 127.0.0.1:9;
        }}"""),
    "a property without a value": ("number of arguments", f"""
        flux_kafka main {{
            brokers 127.0.0.1:9;
            property client.id; # HERE
        }}"""),
    "a feed without a topic": ("has no topic", f"""
        {ZONE}
        {KAFKA}
        flux_feed f {{
            retain 2;
        }} # HERE
        """),
    "two feeds of one name": ("duplicate flux_feed", f"""
        {ZONE}
        {KAFKA}
        {FEED}
        flux_feed f {{ # HERE
            topic u;
        }}"""),
    "a feed with a bad name": ("invalid flux_feed name", f"""
        {ZONE}
        {KAFKA}
        flux_feed f/g {{ # HERE
            topic t;
        }}"""),
    "an unknown line in a feed": ('unknown directive "topics"', f"""
        {ZONE}
        {KAFKA}
        flux_feed f {{
            topics t; # HERE
        }}"""),
    "an unknown cluster": ('unknown flux_kafka "other"', f"""
        {ZONE}
        {KAFKA}
        flux_feed f {{
            kafka other; # HERE
            topic t;
        }}"""),
    "several clusters and none named": ("does not say which", f"""
        {ZONE}
        {KAFKA}
        flux_kafka second {{ brokers 127.0.0.1:9; }}
        flux_feed f {{
            topic t;
        }} # HERE
        """),
    "no cluster at all": ("flux_kafka", f"""
        {ZONE}
        flux_feed f {{
            topic t;
        }} # HERE
        """),
    "the same topic twice": ("duplicate topic", f"""
        {ZONE}
        {KAFKA}
        flux_feed f {{
            topic t u;
            topic t; # HERE
        }}"""),
}

LINES = {
    # one line of a feed: what is said of it
    "room keys;": "unknown room rule",
    "room header:;": "unknown room rule",
    "room json:id;": "unknown room rule",
    "room json:/a~2b;": "room rule|pointer",
    "room;": "number of arguments",
    "room key header:x;": "number of arguments",
    "topic;": "number of arguments",
    "topic t/u;": "invalid topic",
    f"topic {'t' * 250};": "invalid topic",
    "topic ..;": "invalid topic",
    "retain 0;": "invalid number",
    "retain -1;": "invalid number",
    "retain many;": "invalid number",
    "start soon;": "invalid value",
    "start -2h;": "invalid value",
    "start 0;": "invalid value",
    "expire never;": "invalid time",
    "expire 0;": "invalid time",
    "expire 6q;": "invalid time",
    "stale tomorrow;": "invalid time",
    "stale 0s;": "invalid time",
    "demand a/b;": "invalid topic",
    "demand .;": "invalid topic",
    "format xml;": "unknown format",
    "format JSON;": "unknown format",
    "format json text;": "number of arguments",
}

TWICE = ["kafka main;", "room key;", "retain 2;", "start end;", "expire 1h;",
         "stale 1m;", "demand d;", "format text;"]

LOCATIONS = {
    # what is said, the lines of a location
    "an unknown feed": ("unknown feed", ["flux_stream nothing; # HERE"]),
    "an unknown feed among others": (
        "unknown feed", ["flux_stream f", "nothing; # HERE"]),
    "an unknown feed before variables": (
        "unknown feed", ["flux_stream nothing/$arg_x; # HERE"]),
    "a room where the feed is not split": (
        "not split", ["flux_stream f/room; # HERE"]),
    "no room where the feed is split": (
        "no room", ["flux_stream s; # HERE"]),
    "an empty room": ("no room", ["flux_stream s/; # HERE"]),
    "a variable room where the feed is not split": (
        "not split", ["flux_stream f/$arg_x; # HERE"]),
    "a room too long": ("room", [f"flux_stream s/{'r' * 256}; # HERE"]),
    "a room that is no text": ("room", ["flux_stream s/a\x7f; # HERE"]),
    "a stream of nothing": ("number of arguments", ["flux_stream; # HERE"]),
    "two streams": ("duplicate", ["flux_stream f;",
                                  "flux_stream s/a; # HERE"]),
    "an unknown variable": ("unknown", ["flux_stream s/$nowhere;"]),
    "a pattern of an unknown feed": (
        "unknown feed", ["flux_stream f;", "flux_subscribe no/*; # HERE"]),
    "a pattern with rooms where there are none": (
        "not split", ["flux_stream f;", "flux_subscribe f/*; # HERE"]),
    "a pattern without the room": (
        "no room", ["flux_stream f;", "flux_subscribe s; # HERE"]),
    "a pattern without a stream": (
        "flux_stream", ["flux_subscribe s/*; # HERE"]),
    "transports twice": ("duplicate", [
        "flux_stream f;", "flux_transports sse;",
        "flux_transports poll; # HERE"]),
    "too many rooms": ("more than 256 rooms", [
        f"flux_stream {'f ' * 257}; # HERE"]),
    "an unknown transport": ("flux_transports|sses|invalid", [
        "flux_stream f;", "flux_transports sses; # HERE"]),
    "a bad heartbeat": ("invalid value", [
        "flux_stream f;", "flux_heartbeat often; # HERE"]),
    "no heartbeat": ("flux_heartbeat", [
        "flux_stream f;", "flux_heartbeat 0; # HERE"]),
    "no send timeout": ("flux_send_timeout", [
        "flux_stream f;", "flux_send_timeout 0; # HERE"]),
    "no message at all": ("flux_max_message", [
        "flux_stream f;", "flux_max_message 0; # HERE"]),
    "a bad pace": ("invalid value", [
        "flux_stream f;", "flux_pace quick; # HERE"]),
    "a bad buffer": ("invalid value", [
        "flux_stream f;", "flux_buffer big; # HERE"]),
    "a bad send timeout": ("invalid value", [
        "flux_stream f;", "flux_send_timeout x; # HERE"]),
    "a bad size of messages": ("invalid value", [
        "flux_stream f;", "flux_max_message x; # HERE"]),
    "a heartbeat twice": ("duplicate", [
        "flux_stream f;", "flux_heartbeat 1s;", "flux_heartbeat 2s; # HERE"]),
    "an origin that is none": ("invalid origin", [
        "flux_stream f;", "flux_origin example.org; # HERE"]),
    "an origin with a path": ("invalid origin", [
        "flux_stream f;", "flux_origin https://example.org/; # HERE"]),
    "any origin and another": ("any", [
        "flux_stream f;", "flux_origin any https://x.org; # HERE"]),
    "two origins": ("duplicate", [
        "flux_stream f;", "flux_origin same;",
        "flux_origin https://x.org; # HERE"]),
    "an unknown status": ("unknown flux_status format", [
        "flux_status xml; # HERE"]),
    "two handlers": ("duplicate|flux_stream|flux_status", [
        "flux_stream f;", "flux_status; # HERE"]),
}


@pytest.mark.parametrize("mistake", BLOCKS)
def test_nginx_t_finds(nginx, module, mistake):
    expected, http = BLOCKS[mistake]
    refused(nginx, expected, http)


@pytest.mark.parametrize("line", LINES)
def test_nginx_t_finds_in_a_feed(nginx, module, line):
    refused(nginx, LINES[line], f"""
        {ZONE}
        {KAFKA}
        flux_feed f {{
            topic t;
            {line} # HERE
        }}""")


@pytest.mark.parametrize("line", TWICE)
def test_nginx_t_finds_a_line_of_a_feed_twice(nginx, module, line):
    refused(nginx, "duplicate", f"""
        {ZONE}
        {KAFKA}
        flux_feed f {{
            topic t;
            {line}
            {line} # HERE
        }}""")


@pytest.mark.parametrize("mistake", LOCATIONS)
def test_nginx_t_finds_in_a_location(nginx, module, mistake):
    expected, lines = LOCATIONS[mistake]
    if "# HERE" not in "".join(lines):
        accepted, output, _ = check(nginx, GOOD, location(*lines))
        assert not accepted and re.search(expected, output), output
    else:
        refused(nginx, expected, GOOD, location(*lines))


@pytest.mark.parametrize("name", ["flux_drain", "flux_node"])
def test_nginx_t_finds_in_http(nginx, module, name):
    refused(nginx, "invalid|duplicate|number", f"""
        {GOOD}
        {name} a;
        {name} b; # HERE
        """ if name == "flux_node" else f"""
        {GOOD}
        {name} soon; # HERE
        """)


def test_directives_may_come_in_any_order(nginx, module):
    server = ("server { listen 127.0.0.1:1; "
              "location /a { flux_subscribe s/*; flux_stream f s/$arg_x; } }")
    accepted, output, _ = check(nginx, "\n".join(
        (server, SPLIT, FEED, KAFKA, ZONE)))
    assert accepted, output
    assert "warn" not in output


def test_every_directive_is_taken(nginx, module):
    accepted, output, _ = check(nginx, f"""
        flux_zone flux 64m;
        flux_node edge-1;
        flux_drain 5s;
        flux_kafka main {{
            brokers 127.0.0.1:9,127.0.0.1:10;
            property client.id edge-1;
            property fetch.wait.max.ms 10;
        }}
        flux_kafka second {{ brokers a,PLAINTEXT://b,[::1]:9,SSL://[::1]:65535; }}
        flux_feed a {{
            kafka main;
            topic t u;
            topic v;
            room header:city;
            retain 60;
            start 2h;
            expire 6h;
            stale 20m;
            demand flux.demand;
            format text;
        }}
        flux_feed b {{ kafka second; topic t; room json:/a/b~1c; start end;
                       format binary; }}
        flux_feed c {{ kafka main; topic t; start beginning; format json; }}
        flux_transports sse poll;
        flux_heartbeat 5s;
        flux_pace 250ms;
        flux_buffer 32k;
        flux_send_timeout 10s;
        flux_compress off;
        flux_origin https://example.org http://localhost:3000 same;
        flux_expires $arg_exp;
        flux_max_message 4k;
        """, """
        flux_transports websocket;
        flux_origin any;
        location = /live { flux_stream a/x b/$arg_b $arg_c c;
                           flux_subscribe a/* b/one; flux_subscribe c; }
        location = /s { flux_status json; }
        location = /p { flux_status prometheus; }
        """)
    assert accepted, output


def test_an_error_in_an_included_file_names_that_file(nginx, module):
    n = nginx(start=False, status=False, http_conf=f"{GOOD}",
              server_conf="include live.conf;")
    (n.prefix / "live.conf").write_text(
        "location = /live {\n    flux_stream nothing;\n}\n")
    accepted, output = n.test()
    n.expect_log(r"\[emerg\]")
    assert not accepted and re.search(r"live\.conf:2\b", output), output


@pytest.mark.parametrize("where,warned", [
    ("limit_rate 10k;", True), ("limit_rate $arg_r;", True),
    ("limit_rate 0;", False), ("", False)])
@pytest.mark.parametrize("level", ["server", "location"])
def test_limit_rate_that_has_no_effect_is_told(
        nginx, module, where, warned, level):
    stream = "location = /live {\n flux_stream f; %s }\n"
    server = (where + stream % "" if level == "server" else stream % where) \
        + "location = /other { limit_rate 5k; }"
    accepted, output = nginx.test(http_conf=GOOD, server_conf=server)
    assert accepted, output
    assert bool(re.search(r'\[warn\].*"limit_rate".*test\.conf:\d+.*flux_pace',
                          output)) == warned, output


def test_an_nginx_without_feeds_starts(nginx, module):
    n = nginx(status=False)
    assert n.get("/").status in (403, 404)


def test_status_without_a_zone(nginx, module):
    n = nginx(server_conf="location = /s { flux_status; }", status=False)
    assert n.get("/s").status in (200, 404, 503)
