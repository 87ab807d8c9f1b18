/**
 * Puts the page together: one connection, one store, the cards.
 *
 * @typedef {object} Page
 * @property {import("../flux.js").Connection} live
 * @property {Store} store
 * @property {Frames} frames
 * @property {(badge: HTMLElement, card: object) => void} fresh
 */

import { connect } from "../flux.js";
import { mountConnection } from "./connection.js";
import { mountCrypto } from "./crypto.js";
import { attribute, text } from "./dom.js";
import { Frames } from "./frames.js";
import { freshness, show } from "./freshness.js";
import { Store } from "./store.js";
import { mountTheme } from "./theme.js";

const store = new Store({ crypto: (data) => data.price });
const frames = new Frames();
const live = connect("/live", { cursor: store.cursor });
const cards = [];

/* A card's freshness changes with time, not only with records. */
function fresh(badge, card) {
    cards.push({ badge, ...card });
}

function heartbeatOf(producer) {
    let newest = null;
    for (const item of live.room("producers").items.values()) {
        if (item.data.producer === producer && item.ts > (newest?.ts ?? 0)) {
            newest = item;
        }
    }
    return newest;
}

function look() {
    for (const { badge, feed, rooms, patience, producer } of cards) {
        show(badge, freshness({
            connection: live.state,
            room: live.room(rooms[0]).state,
            newest: feed.newest,
            source: feed.source,
            patience,
            heartbeat: heartbeatOf(producer),
            now: Date.now(),
        }));
    }
}

function mountPause() {
    const button = document.getElementById("pause");
    button.addEventListener("click", () => {
        frames.pause(!frames.paused);
        attribute(button, "aria-pressed", frames.paused);
        text(button.querySelector(".label"),
             frames.paused ? "Resume" : "Pause");
        document.documentElement.toggleAttribute("data-paused",
                                                 frames.paused);
    });
}

const page = { live, store, frames, fresh };

mountTheme();
mountConnection(live);
mountCrypto(page);
mountPause();
setInterval(look, 1000);
live.on("state", look);
live.on("frame", () => frames.draw("look", look));
addEventListener("pagehide", () => store.save(live.cursor));
