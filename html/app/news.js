/** The news card: headlines, the newest first, in the reader's time. */

import { now } from "./clock.js";
import { attribute, element, text } from "./dom.js";
import { fitting } from "./fit.js";
import { date, since, time as clock } from "./format.js";
import { tab } from "./memory.js";

const FEW = 10, MANY = 60;
const DAY = 86400000;

/** @param {import("./main.js").Page} page */
export function mountNews({ live, store, frames, fresh }) {
    const card = document.querySelector(".news");
    const list = card.querySelector("ol");
    const button = card.querySelector(".more");
    const feed = store.feed("news");
    const shown = new Map();
    let all = tab.get("news.all", false);
    const few = fitting(list, FEW, MANY, () => frames.draw("news", arrange));

    /* one that says it is of tomorrow is not on top until then */
    const timeOf = ({ data, ts }) => Math.min(Date.parse(data.time) || ts, ts);

    function make(item) {
        const { data, key } = item;
        const safe = /^https?:\/\//.test(data.link ?? key);
        const told = element("time");
        const node = element("li", { "data-source": data.source },
            element(safe ? "a.headline" : "span.headline", safe
                ? { href: data.link ?? key, target: "_blank",
                    rel: "noopener noreferrer" } : {}, data.title ?? key),
            element("p.source", {}, element("span", {}, data.feed ?? ""),
                    data.feed ? " · " : "", told,
                    data.points ? ` · ${data.points} points` : ""));
        return { item, node, told };
    }

    function arrange() {
        const items = [...feed.items.values()]
            .sort((a, b) => timeOf(b) - timeOf(a))
            .slice(0, all ? MANY : few());
        const keys = new Set(items.map(({ key }) => key));

        for (const [key, { node }] of shown) {
            if (!keys.has(key)) {
                node.remove();
                shown.delete(key);
            }
        }
        let place = list.firstElementChild;
        for (const item of items) {
            let one = shown.get(item.key);
            if (one?.item !== item) {
                const fresh = make(item);
                if (one) {
                    place = place === one.node ? fresh.node : place;
                    one.node.replaceWith(fresh.node);
                }
                shown.set(item.key, one = fresh);
            }
            if (one.node !== place) {
                list.insertBefore(one.node, place);
            }
            place = one.node.nextElementSibling;
        }
        button.hidden = feed.items.size <= few();
        tell();
    }

    function tell() {
        for (const { item, told } of shown.values()) {
            const time = timeOf(item);
            attribute(told, "datetime", new Date(time).toISOString());
            attribute(told, "title", date(time));
            text(told, !frames.paused ? since(now() - time)
                : now() - time < DAY ? clock(time) : date(time));
        }
    }

    function showButton() {
        attribute(button, "aria-expanded", String(all));
        text(button, all ? "Fewer headlines" : "More headlines");
    }

    button.addEventListener("click", () => {
        all = !all;
        tab.set("news.all", all);
        showButton();
        arrange();
    });
    showButton();
    arrange();
    store.watch(live, "news", () => frames.draw("news", arrange));
    setInterval(() => frames.draw("news times", tell), 20000);
    frames.onPause(tell);
    fresh(card.querySelector(".fresh"), {
        feed, room: "news", patience: 3600000, producer: "flux-news" });
}
