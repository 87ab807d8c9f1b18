/** The system strip: the producers' heartbeats, the connection's figures. */

import { now } from "./clock.js";
import { element, text } from "./dom.js";
import { HEARTBEAT_LATE, show } from "./freshness.js";
import { exact, span, whole } from "./format.js";

const NAMES = { websocket: "WebSocket", sse: "Server-sent events",
                poll: "Long polling" };

/** @param {import("./main.js").Page} page */
export function mountSystem({ live, store, frames }) {
    const strip = document.querySelector(".system");
    const list = strip.querySelector(".producers");
    const transport = strip.querySelector(".transport");
    const feed = store.feed("producers");
    const shown = new Map();
    let messages = 0, rate = 0, since = performance.now();

    function look() {
        for (const [key, { node }] of shown) {
            if (!feed.items.has(key)) {
                node.remove();
                shown.delete(key);
            }
        }
        for (const [key, item] of [...feed.items].sort()) {
            if (!shown.has(key)) {
                shown.set(key, make());
                list.append(shown.get(key).node);
            }
            draw(shown.get(key), item);
        }
        text(transport, describe());
    }

    function make() {
        const name = element("span.name"), more = element("span.code");
        const badge = element("p.fresh", {},
            element("span.mark", { "aria-hidden": "true" }),
            element("span.what"));
        return { node: element("li", {}, name, badge, more), name, badge,
                 more };
    }

    function draw({ name, badge, more }, { data, ts }) {
        const late = now() - ts > HEARTBEAT_LATE;
        const words = late || data.state === "stopped" ? "down"
            : data.kafka?.state === "away" ? "Kafka away" : data.state;
        const states = { live: "live", simulated: "simulated",
                         replay: "replayed", starting: "waiting" };
        text(name, (data.producer ?? "").replace(/^flux-/, ""));
        show(badge, { state: states[words] ?? "down", words });
        text(more, `${whole(data.records)} records, `
            + (frames.paused ? `at ${exact(ts)}` : `${span(now() - ts)} ago`));
    }

    function describe() {
        const seconds = (performance.now() - since) / 1000;
        if (seconds >= 1) {
            rate = messages / seconds;
            messages = 0;
            since = performance.now();
        }
        return [
            live.state === "live" ? NAMES[live.transport] : "Not connected",
            live.latency === null ? "" : `${whole(live.latency)} ms`,
            `${whole(rate)} updates/s`,
        ].filter(Boolean).join(" · ");
    }

    store.onUpdate = () => {
        messages++;
    };
    store.watch(live, "producers", () => frames.draw("system", look));
    setInterval(() => frames.draw("system", look), 1000);
    frames.onPause(look);
    live.on("latency", () => frames.draw("system", look));
}
