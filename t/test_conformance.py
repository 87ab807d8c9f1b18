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

# 9.*: messages of megabytes; 12.* and 13.*, compression, fail in the tool
# itself: test_transports_compress.py has those
QUICK = ["-x", "9.*", "-x", "12.*", "-x", "13.*"]
BULK = ["-i", "9.*"]

@pytest.fixture(scope="session")
def echo_module():
    """The module with the echo."""
    directory = BUILD / "echo"
    subprocess.run([ROOT / "tools" / "nginx-module", directory], check=True,
                   env={**os.environ, "DEFINES": "-DFLUX_TEST_ECHO"})
    return directory / "ngx_http_flux_module.so"


@pytest.mark.slow
@pytest.mark.timeout(600)      # the echo is compiled, too
@pytest.mark.parametrize("cases", [QUICK, BULK],
                         ids=["quick", "bulk"])
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
