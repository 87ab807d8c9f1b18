/** A sparkline: one SVG path, no axes. The row's words say the same. */

import { drawing } from "./dom.js";

const WIDTH = 100, HEIGHT = 24, EDGE = 2;
const POINTS = 60;

/** @returns {SVGSVGElement} */
export function sparkline() {
    return drawing("svg", { class: "spark", "aria-hidden": "true",
                            viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
                            preserveAspectRatio: "none" },
                   drawing("path", { "vector-effect": "non-scaling-stroke" }));
}

/** @param {SVGSVGElement} svg @param {[number, number][]} history */
export function drawSpark(svg, history = []) {
    const points = history.slice(-POINTS);
    const numbers = points.map(([, number]) => number);
    const low = Math.min(...numbers), high = Math.max(...numbers);
    const first = points[0]?.[0], last = points.at(-1)?.[0];
    const scale = (HEIGHT - 2 * EDGE) / (high - low || 1);
    const path = points.map(([ts, number]) => {
        const x = (ts - first) / (last - first || 1) * WIDTH;
        const y = high === low ? HEIGHT / 2 : EDGE + (high - number) * scale;
        return `${x.toFixed(1)} ${y.toFixed(1)}`;
    });

    svg.firstChild.setAttribute("d", path.length > 1
        ? `M${path.join("L")}` : "");
}
