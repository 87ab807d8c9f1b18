/**
 * How fresh is a card? From the connection, the room's state, the producer's
 * heartbeat, the newest record's age and where it came from.
 */

import { attribute, text } from "./dom.js";
import { span, time } from "./format.js";

export const HEARTBEAT_LATE = 35000;   // three of the producers' and a little

const SOURCES = { replay: "replayed", simulated: "simulated" };
const STATES = { live: "Live", replayed: "Replay", simulated: "Simulated" };

/**
 * @param {object} facts
 * @param {string} facts.connection  the state of flux.js
 * @param {string} facts.room  waiting, live, stale or down
 * @param {number} facts.newest  timestamp of the newest record, 0: none
 * @param {string | null} facts.source
 * @param {number} facts.patience  ms after which a record is late
 * @param {{ ts: number, data: any } | null} facts.heartbeat
 * @param {number} facts.now
 * @returns {{ state: string, words: string }}
 */
export function freshness({ connection, room, newest, source, patience,
                            heartbeat, now }) {
    const age = span(now - newest);
    const origin = SOURCES[source];
    const more = origin ? `, ${origin}` : "";

    if (connection === "offline") {
        return { state: "down",
                 words: newest ? `Offline, ${age} old${more}` : "Offline" };
    }
    if (connection !== "live") {
        return newest
            ? { state: "delayed", words: `Reconnecting, ${age} old${more}` }
            : { state: "waiting", words: "Connecting…" };
    }
    if (room === "down") {
        return { state: "down", words: newest
            ? `Down, data of ${time(newest)}${more}` : "Down" };
    }
    if (heartbeat && (heartbeat.data.state === "stopped"
                      || now - heartbeat.ts > HEARTBEAT_LATE)) {
        return { state: "down", words: newest
            ? `Producer down, ${age} old${more}` : "Producer down" };
    }
    if (!newest) {
        return { state: "waiting", words: "Waiting for data" };
    }
    if (room === "stale" || now - newest > patience) {
        return { state: "delayed", words: `Delayed, ${age} old${more}` };
    }
    return { state: origin ?? "live", words: STATES[origin ?? "live"] };
}

/** @param {HTMLElement} badge  a .fresh with .mark and .what in it */
export function show(badge, { state, words }) {
    attribute(badge, "data-state", state);
    text(badge.querySelector(".what"), words);
}
