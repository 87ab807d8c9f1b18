/**
 * The larger chart of an open row. uPlot is loaded when the first one is
 * opened, not before; without it the row has a larger sparkline.
 */

import { attribute, element } from "./dom.js";
import { axis, exact } from "./format.js";
import { drawSpark, sparkline } from "./spark.js";
import { themed } from "./theme.js";

const HEIGHT = 180;
/* between two marks of the time axis: they are told to a second */
const SECONDS = [1, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200];
let loading;

function load() {
    return loading ??= (async () => {
        const module = await import("../vendor/uplot/uPlot.esm.js");
        const link = element("link", { rel: "stylesheet",
                                       href: "vendor/uplot/uPlot.min.css" });
        await new Promise((done) => {
            link.onload = link.onerror = done;
            document.head.append(link);
        });
        return module.default;
    })();
}

/* asked for at each drawing: the theme may have changed */
const colour = (name) => () => getComputedStyle(document.documentElement)
    .getPropertyValue(name);

/**
 * @param {HTMLElement} node  the place for it
 * @param {string} name  for who does not see it
 * @param {() => [number, number][]} history
 */
export function chart(node, name, history) {
    attribute(node, "role", "img");
    attribute(node, "aria-label", `Chart of the last minutes of ${name}`);
    const redraw = () => plot?.redraw();
    const waits = element("p.code", {}, "A line needs a second price.");
    let plot = null, spark = null, closed = false, observer = null;
    let draw = () => {};

    const data = () => {
        const points = history();
        return [points.map(([ts]) => ts / 1000), points.map(([, n]) => n)];
    };

    function build(UPlot) {
        const line = { stroke: colour("--faint"),
                       grid: { stroke: colour("--line"), width: 1 },
                       ticks: { stroke: colour("--line") } };
        plot = new UPlot({
            width: node.clientWidth || 300, height: HEIGHT,
            legend: { show: false },
            cursor: { show: true, points: { show: false } },
            series: [{}, { label: name, stroke: colour("--accent"),
                           width: 2, points: { show: false } }],
            axes: [
                { ...line, space: 90, incrs: SECONDS, values: (_, ticks) =>
                    ticks.map((tick) => exact(tick * 1000)) },
                { ...line, size: 76, values: (_, ticks) =>
                    ticks.map((tick) => axis(tick, ticks[1] - ticks[0])) },
            ],
        }, data(), node);
        observer = new ResizeObserver(() => plot.setSize({
            width: node.clientWidth, height: HEIGHT }));
        observer.observe(node);
        themed.addEventListener("change", redraw);
    }

    function begin(UPlot) {
        if (closed || history().length < 2) {
            return;
        }
        waits.remove();
        if (UPlot) {
            build(UPlot);
            draw = () => plot.setData(data());
        } else {
            spark = sparkline();
            node.append(spark);
            draw = () => drawSpark(spark, history());
            draw();
        }
    }

    node.append(waits);
    load().catch(() => null).then((UPlot) => {
        draw = () => begin(UPlot);
        draw();
    });

    return {
        draw: () => draw(),
        close() {
            closed = true;
            observer?.disconnect();
            themed.removeEventListener("change", redraw);
            plot?.destroy();
        },
    };
}
