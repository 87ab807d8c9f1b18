/**
 * Puts the page together: the connection, the store, the cards.
 *
 * @typedef {object} Page
 * @property {import("../flux.js").Connection} live
 * @property {import("./store.js").Store} store
 * @property {Frames} frames
 * @property {(badge: HTMLElement, card: Card) => void} fresh  keeps a badge
 * @property {(room: string) => void} stale  forgets the badges of a room
 *
 * @typedef {{ feed: import("./store.js").Feed, room: string,
 *     patience: number, producer: string }} Card
 */

import { now, setClock } from "./clock.js";
import { mountConnection } from "./connection.js";
import { mountCrypto } from "./crypto.js";
import { attribute, text } from "./dom.js";
import { Frames } from "./frames.js";
import { freshness, show } from "./freshness.js";
import { live, store } from "./live.js";
import { tab } from "./memory.js";
import { mountTheme } from "./theme.js";

const frames = new Frames();
let badges = [];

/* A card's freshness changes with time, not only with records. In a pause
 * each is told once: its time, which stays true however long the pause. */
function look() {
    for (const one of badges) {
        if (frames.paused && one.told) {
            continue;
        }
        const { badge, feed, room, patience, producer } = one;
        one.told = frames.paused && feed.newest > 0;
        show(badge, freshness({
            connection: live.state,
            room: live.room(room).state,
            newest: feed.newest,
            sources: feed.sources,
            patience,
            heartbeat: heartbeatOf(producer),
            now: now(),
            paused: one.told,
        }));
    }
}

function heartbeatOf(producer) {
    let newest = null;
    for (const item of store.feed("producers").items.values()) {
        if (item.data.producer === producer && item.ts > (newest?.ts ?? 0)) {
            newest = item;
        }
    }
    return newest;
}

function mountPause() {
    const button = document.getElementById("pause");
    button.addEventListener("click", () => {
        frames.pause(!frames.paused);
        attribute(button, "aria-pressed", String(frames.paused));
        document.documentElement.toggleAttribute("data-paused",
                                                 frames.paused);
    });
}

/* The browser's own way comes before the cards have their height. */
function keepPlace() {
    const [{ type }] = performance.getEntriesByType("navigation");
    if (type !== "navigate") {
        scrollTo(0, tab.get("place", 0));
    }
    addEventListener("pagehide", () => tab.set("place", Math.round(scrollY)));
}

const page = {
    live, store, frames,
    fresh: (badge, card) => badges.push({ badge, ...card }),
    stale: (room) => {
        badges = badges.filter((badge) => badge.room !== room);
    },
};

mountTheme();
mountConnection(live);
mountCrypto(page);
mountPause();
look();
// the first price does not wait for the rest
Promise.all([
    import("./stocks.js").then(({ mountStocks }) => mountStocks(page)),
    import("./weather.js").then(({ mountWeather }) => mountWeather(page)),
    import("./news.js").then(({ mountNews }) => mountNews(page)),
    import("./system.js").then(({ mountSystem }) => mountSystem(page)),
]).then(() => frames.draw("place", keepPlace));
setInterval(look, 1000);
live.on("state", look);
live.on("state", () => live.state === "live" && setClock());
if (live.state === "live") {
    setClock();
}
frames.onPause(look);
live.on("frame", () => frames.draw("look", look));
addEventListener("pagehide", () => store.save(live.cursor));
