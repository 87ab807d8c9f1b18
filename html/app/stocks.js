/** The stocks card: gainers, losers, the whole list; a row opens. */

import { attribute, element, text } from "./dom.js";
import { asOf, facts, showChange, sourceOf } from "./figures.js";
import { fitting } from "./fit.js";
import { price } from "./format.js";
import { tab } from "./memory.js";
import { flash, Table } from "./table.js";

const TOP = 8, MOST = 24;
const RANK = 5000;              // ms between two new orders of the rows

const VIEWS = {
    gainers: (a, b) => b.data.change - a.data.change,
    losers: (a, b) => a.data.change - b.data.change,
    all: (a, b) => a.key < b.key ? -1 : 1,
};

/** @param {import("./main.js").Page} page */
export function mountStocks({ live, store, frames, fresh }) {
    const card = document.querySelector(".stocks");
    const panel = card.querySelector("[role=tabpanel]");
    const tabs = [...card.querySelectorAll("[role=tab]")];
    const feed = store.feed("stocks");
    const table = new Table(card.querySelector("tbody"), frames,
                            { name: "stocks", make, draw, detail });
    const top = fitting(card.querySelector("tbody"), TOP, MOST,
                        () => frames.draw("stocks", arrange));
    let view = tab.get("stocks.view", "gainers");

    function make(key) {
        const parts = { price: element("span"),
                        change: element("td.number.change"), last: null };
        return {
            parts,
            label: [element("span.title", {}, key), " ", element("span.code",
                {}, feed.items.get(key).data.name ?? "")],
            cells: [element("td.number.price", {}, parts.price),
                    parts.change],
        };
    }

    function draw(parts, key) {
        const item = feed.items.get(key);
        if (!item || item === parts.last) {
            return;
        }
        const before = Number(parts.last?.data.price);
        if (text(parts.price, price(item.data.price)) && parts.last) {
            flash(parts.price, item.data.price < before ? "down" : "up");
        }
        showChange(parts.change, item.data.change);
        attribute(parts.change.parentNode, "data-source", item.data.source);
        parts.last = item;
    }

    function detail(key) {
        return facts(["Open", "High", "Low", "Previous close", "Difference",
                      "As of", "Source"], () => {
            const { data, ts } = feed.items.get(key) ?? { data: {}, ts: 0 };
            return [price(data.open), price(data.high), price(data.low),
                    price(data.previous_close), price(data.difference),
                    asOf(data, ts), sourceOf(data)];
        });
    }

    function arrange() {
        const sorted = [...feed.items.values()].sort(VIEWS[view]);
        table.arrange(sorted.map(({ key }) => key)
            .slice(0, view === "all" ? undefined : top()));
        top();                          // now that there are rows to measure
    }

    /* Rows do not run away from who points at them or stands on them. */
    function rank() {
        if (view !== "all" && !panel.matches(":hover, :focus-within")) {
            frames.draw("stocks", arrange);
        }
    }

    function choose(name, focus) {
        view = name in VIEWS ? name : "gainers";
        tab.set("stocks.view", view);
        for (const one of tabs) {
            const chosen = one.dataset.view === view;
            attribute(one, "aria-selected", String(chosen));
            attribute(one, "tabindex", chosen ? "0" : "-1");
            if (chosen) {
                attribute(panel, "aria-labelledby", one.id);
                if (focus) {
                    one.focus();
                }
            }
        }
        arrange();
    }

    tabs.forEach((one, i) => {
        one.addEventListener("click", () => choose(one.dataset.view));
        one.addEventListener("keydown", ({ key }) => {
            const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
            const to = { Home: 0, End: tabs.length - 1 }[key]
                ?? (step && (i + step + tabs.length) % tabs.length);
            if (to !== undefined) {
                choose(tabs[to].dataset.view, true);
            }
        });
    });

    choose(view);
    store.watch(live, "stocks", (key) => {
        if (key === undefined || feed.items.has(key) !== table.has(key)) {
            frames.draw("stocks", () =>
                key === undefined || view === "all" || !table.size
                    ? arrange() : rank());
        }
        if (key === undefined) {
            feed.items.forEach((_, one) => table.change(one));
        } else {
            table.change(key);
        }
    });
    setInterval(rank, RANK);
    fresh(card.querySelector(".fresh"), {
        feed, room: "stocks", patience: 180000, producer: "flux-stocks" });
}
