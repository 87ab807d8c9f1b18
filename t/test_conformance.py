"""Autobahn's cases for a WebSocket server, by kosoku, against an echo that
only this build of the module has."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.process import BUILD

ROOT = Path(__file__).resolve().parent.parent
KOSOKU = Path(sys.executable).with_name("kosoku")

# 9.*: messages of megabytes; 12.* and 13.*: compression, of which a thousand
# messages of each of so many sizes, whole and in pieces, are enough
QUICK = ["-x", "9.*", "-x", "12.*", "-x", "13.*"]
BULK = ["-i", "9.*"]
SIZES = (1, 5, 11)
COMPRESSED = [part for chapter, sections in ((12, 5), (13, 7))
              for section in range(1, sections + 1) for size in SIZES
              for part in ("-i", f"{chapter}.{section}.{size}")]

# a window of 512 bytes is declined: the connection is not compressed
DECLINED = ("13.3.", "13.5.")

@pytest.fixture(scope="session")
def echo_module():
    """The module with the echo."""
    directory = BUILD / "echo"
    subprocess.run([ROOT / "tools" / "nginx-module", directory], check=True,
                   env={**os.environ, "DEFINES": "-DFLUX_TEST_ECHO"})
    return directory / "ngx_http_flux_module.so"


@pytest.mark.slow
@pytest.mark.timeout(600)      # the echo is compiled, too
@pytest.mark.parametrize("cases", [QUICK, BULK, COMPRESSED],
                         ids=["quick", "bulk", "compressed"])
def test_autobahn(kafka, nginx, module, echo_module, tmp_path, cases):
    topic = kafka.create_topic()
    n = nginx(kafka=kafka, module=False,
              main_conf=f"load_module {echo_module};",
              http_conf=f"flux_feed f {{ topic {topic}; }}", ready=False,
              server_conf="""location = /echo { flux_stream f;
              flux_test_echo on; flux_max_message 17m; }""", status=False)
    done = subprocess.run(
        [KOSOKU, f"ws://127.0.0.1:{n.port}/echo", "-p", "2", "-o", tmp_path,
         *cases], capture_output=True, text=True, timeout=240)
    report = json.loads((tmp_path / "index.json").read_text())
    results = {case: result["behavior"] + "/" + result["behaviorClose"]
               for server in report.values()
               for case, result in server.items()}
    assert results, done.stdout + done.stderr
    bad = {case: result for case, result in results.items()
           if "FAILED" in result or "WRONG" in result or "UNCLEAN" in result}
    assert not bad, bad
    declined = {case for case, result in results.items()
                if "UNIMPLEMENTED" in result}
    assert declined == {case for case in results if case.startswith(DECLINED)}
