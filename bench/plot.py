#!/usr/bin/env python3
"""Draws build/bench/results.json as SVG: plot.py FOLDER."""

import json
import statistics
import sys
from pathlib import Path
from xml.sax.saxutils import escape

from servers import BUILD

WIDTH, LEFT, BAR, GAP = 720, 170, 20, 8
STYLE = """<style>
text { font: 13px system-ui, sans-serif; fill: #333 }
.title { font-weight: 600 }
.bar { fill: #a9b4c2 } .flux { fill: #2a7de1 } .raw { fill: #d9dee5 }
.line { fill: none; stroke: #2a7de1; stroke-width: 2 }
.axis { stroke: #999 }
@media (prefers-color-scheme: dark) { text { fill: #ddd } }
</style>"""


def svg(height, parts):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} '
            f'{height}" width="{WIDTH}" height="{height}">\n{STYLE}\n'
            + "\n".join(parts) + "\n</svg>\n")


def text(x, y, words, anchor="start", kind=""):
    return (f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" '
            f'class="{kind}">{escape(words)}</text>')


def bars(title, values, unit):
    """values: (name, number, what to write), each a bar."""
    top = max(v for _, v, _ in values)
    parts = [text(0, 16, f"{title} ({unit})", kind="title")]
    y = 30
    for name, value, label in sorted(values, key=lambda v: v[1]):
        kind = name.split()[0].lower()
        width = (WIDTH - LEFT - 110) * value / top
        parts += [
            text(LEFT - 8, y + 15, name, "end"),
            f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" '
            f'class="bar {kind}"/>',
            text(LEFT + width + 6, y + 15, label)]
        y += BAR + GAP
    return svg(y + 4, parts)


def median(runs, column):
    return statistics.median(r[column] for r in runs)


def fan_out(title, rows):
    values = []
    for name, runs in rows.items():
        cpu = median(runs, "cpu_us")
        delivered = median(runs, "delivered")
        label = f"{cpu:.2f}"
        if delivered < 99.9:
            label += f", {delivered:.0f} % delivered"
        values.append((name, cpu, label))
    return bars(title, values, "CPU us per message")


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    found = json.loads((BUILD / "bench/results.json").read_text())["scenarios"]
    drawings = {}
    if "p1" in found:
        drawings["p1"] = fan_out("2,000 readers, 20 records/s", found["p1"])
    if "p2" in found:
        drawings["p2"] = fan_out("2,000 readers, 200 records/s", found["p2"])
    if "p3" in found:
        drawings["p3"] = bars(
            "10,000 idle readers",
            [(n, median(r, "kb_per_reader"),
              f"{median(r, 'kb_per_reader'):.1f}")
             for n, r in found["p3"].items()], "KB each")
    for name, drawing in drawings.items():
        (folder / f"{name}.svg").write_text(drawing)


if __name__ == "__main__":
    main()
