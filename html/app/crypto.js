/** The crypto card: live prices with a sparkline, the day's top movers. */

import { attribute, element, text } from "./dom.js";
import { asOf, facts, showChange, sourceOf } from "./figures.js";
import { price, short } from "./format.js";
import { drawSpark, sparkline } from "./spark.js";
import { flash, Table } from "./table.js";

const MOVERS = 4;
const SPARK = 1000;             // ms between two drawings of a sparkline
const RANK = 1000;              // and of the top movers

/** @param {import("./main.js").Page} page */
export function mountCrypto({ live, store, frames, fresh }) {
    const card = document.querySelector(".crypto");
    const movers = card.querySelector(".movers");
    const feed = store.feed("crypto");
    const table = new Table(card.querySelector("tbody"), frames,
                            { name: "crypto", make, draw, detail });

    function make(key) {
        const parts = { spark: sparkline(), price: element("span"),
                        change: element("td.number.change"), last: null,
                        drawn: -SPARK };
        const data = feed.items.get(key).data;
        return {
            parts,
            label: [element("span.title", {}, data.name ?? key), " ",
                    element("span.code", {}, key)],
            cells: [element("td.wide", {}, parts.spark),
                    element("td.number.price", {}, parts.price),
                    parts.change],
        };
    }

    function draw(parts, key) {
        const item = feed.items.get(key);
        if (!item || item === parts.last) {
            return;
        }
        const before = Number(parts.last?.data.price);
        const now = Number(item.data.price);

        if (text(parts.price, price(item.data.price)) && parts.last) {
            flash(parts.price, now < before ? "down" : "up");
        }
        showChange(parts.change, item.data.change);
        attribute(parts.change.parentNode, "data-source", item.data.source);
        drawLine(parts, key);
        parts.last = item;
    }

    function drawLine(parts, key) {
        const early = parts.drawn + SPARK - performance.now();
        if (early > 0) {
            frames.later(`line ${key}`, () => drawLine(parts, key), early);
        } else {
            drawSpark(parts.spark, feed.history.get(key));
            parts.drawn = performance.now();
        }
    }

    function detail(key) {
        const figures = facts(["Open", "High", "Low", "Volume", "As of",
                               "Source"], () => {
                const { data, ts } = feed.items.get(key) ?? { data: {}, ts: 0 };
                return [price(data.open), price(data.high), price(data.low),
                        short(data.volume), asOf(data, ts),
                        sourceOf(data)];
            });
        const frame = element("div.chart");
        const name = feed.items.get(key).data.name ?? key;
        let picture = null, closed = false;

        import("./chart.js").then(({ chart }) => {
            picture = closed ? null : chart(frame, name,
                () => feed.history.get(key) ?? []);
        });
        return {
            node: element("div", {}, frame, figures.node),
            draw() {
                figures.draw();
                picture?.draw();
            },
            close() {
                closed = true;
                picture?.close();
            },
        };
    }

    /* The most traded first; the order stays while the page is open. */
    let order = [];
    function arrange() {
        const turnover = (key) => {
            const { data } = feed.items.get(key);
            return Number(data.price) * Number(data.volume) || 0;
        };
        order = order.filter((key) => feed.items.has(key));
        const more = [...feed.items.keys()]
            .filter((key) => !order.includes(key))
            .sort((a, b) => turnover(b) - turnover(a));
        order.push(...more);
        table.arrange(order);
    }

    let ranked = -RANK;
    function drawMovers() {
        const early = ranked + RANK - performance.now();
        if (early > 0) {
            frames.later("movers", drawMovers, early);
            return;
        }
        ranked = performance.now();
        const top = [...feed.items.values()]
            .filter(({ data }) => Number.isFinite(Number(data.change)))
            .sort((a, b) => Math.abs(b.data.change) - Math.abs(a.data.change))
            .slice(0, MOVERS);
        while (movers.children.length < top.length) {
            const chip = element("button.mover", { type: "button" },
                element("span.code"), " ", element("span.change"));
            chip.addEventListener("click", () => table.open(chip.dataset.key));
            movers.append(chip);
        }
        top.forEach(({ key, data }, i) => {
            const chip = movers.children[i];
            attribute(chip, "data-key", key);
            text(chip.firstChild, key.replace(/-USD$/, ""));
            showChange(chip.lastChild, data.change);
        });
    }

    store.watch(live, "crypto", (key) => {
        if (key === undefined || !table.has(key) || !feed.items.has(key)) {
            frames.draw("crypto", arrange);
        }
        if (key === undefined) {
            feed.items.forEach((_, one) => table.change(one));
        } else {
            table.change(key);
        }
        frames.draw("movers", drawMovers);
    });
    fresh(card.querySelector(".fresh"), {
        feed, room: "crypto", patience: 20000, producer: "flux-crypto" });
}
