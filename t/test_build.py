"""What the compiler made of the module."""

import re
import subprocess
from pathlib import Path

SOURCES = Path(__file__).parents[1] / "ngx_flux_module"


def test_no_hint_to_the_processor_is_left_out(module):
    """A call that only prefetches has no effect, and may be dropped."""
    wanted = sum(len(re.findall(r"^ .*\bflux_prefetch\w*\(", source.read_text(),
                                re.M))
                 for source in SOURCES.rglob("*.c"))
    code = subprocess.run(["objdump", "-d", "--no-show-raw-insn", module],
                          check=True, capture_output=True, text=True).stdout
    there = len(re.findall(r"\t(?:prefetch|prfm)", code))
    assert wanted > 10 and there >= wanted
