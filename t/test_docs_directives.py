"""docs/directives.md names every directive, with the parts of each."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "docs" / "directives.md").read_text()


def test_each_directive_is_described():
    source = (ROOT / "ngx_flux_module" / "ngx_http_flux_module.c").read_text()
    names = set(re.findall(r'ngx_string\("(flux_\w+)"\),\n\s+NGX_HTTP', source))
    names.discard("flux_test_echo")
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", TEXT,
                               re.S | re.M))
    described = {name for name in sections if name.startswith("flux_")}
    assert described == names
    for name in described:
        for part in ("**Syntax:**", "**Default:**", "**Context:**"):
            assert part in sections[name], (name, part)


def test_the_example_is_accepted(nginx, module):
    example = re.search(r"```nginx\nload_module.*?\n\nhttp \{\n(.*?)\n\}\n```",
                        TEXT, re.S).group(1)
    assert example.count("server {") == 1
    http, server = example.split("    server {")
    n = nginx(start=False, status=False, http_conf=http
              + "server {" + server.replace("8080", "127.0.0.1:1"))
    accepted, output = n.test()
    assert accepted, output
