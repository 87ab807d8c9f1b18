/**
 * Puts the page together: one connection, one store, the cards.
 *
 * @typedef {object} Page
 * @property {import("../flux.js").Connection} live
 * @property {Store} store
 * @property {Frames} frames
 * @property {(badge: HTMLElement, card: Card) => void} fresh  keeps a badge
 * @property {(room: string) => void} stale  forgets the badges of a room
 *
 * @typedef {{ feed: import("./store.js").Feed, room: string,
 *     patience: number, producer: string }} Card
 */

import { connect } from "../flux.js";
import { remembered, room } from "./cities.js";
import { now, setClock } from "./clock.js";
import { mountConnection } from "./connection.js";
import { mountCrypto } from "./crypto.js";
import { attribute, text } from "./dom.js";
import { Frames } from "./frames.js";
import { freshness, show } from "./freshness.js";
import { Store } from "./store.js";
import { mountTheme } from "./theme.js";

const store = new Store({ crypto: (data) => data.price });
const frames = new Frames();
const live = connect("/live", { cursor: store.cursor,
                               rooms: remembered().map(
                                   ({ slug }) => room(slug)) });
let badges = [];

/* A card's freshness changes with time, not only with records. */
function look() {
    for (const { badge, feed, room, patience, producer } of badges) {
        show(badge, freshness({
            connection: live.state,
            room: live.room(room).state,
            newest: feed.newest,
            source: feed.source,
            patience,
            heartbeat: heartbeatOf(producer),
            now: now(),
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
import("./stocks.js").then(({ mountStocks }) => mountStocks(page));
import("./weather.js").then(({ mountWeather }) => mountWeather(page));
import("./news.js").then(({ mountNews }) => mountNews(page));
import("./system.js").then(({ mountSystem }) => mountSystem(page));
setInterval(look, 1000);
live.on("state", look);
live.on("frame", () => frames.draw("look", look));
addEventListener("pagehide", () => store.save(live.cursor));
addEventListener("load", setClock);
