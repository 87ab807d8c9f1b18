/**
 * How fresh is a card? From the connection, the room's state, the producer's
 * heartbeat, the newest record's age and where it came from.
 */

import { attribute, text } from "./dom.js";
import { exact, span, time } from "./format.js";

export const HEARTBEAT_LATE = 35000;   // three of the producers' and a little

const SOURCES = { replay: "replayed", simulated: "simulated" };

/* "replayed and simulated", "partly simulated", "" of live data alone */
function originOf(sources) {
    const made = Object.keys(SOURCES).filter((one) => sources.has(one))
        .map((one) => SOURCES[one]);
    const partly = made.length < sources.size ? "partly " : "";

    return { state: made.at(-1) ?? "live",
             words: made.length ? partly + made.join(" and ") : "" };
}

const capital = (words) => words[0].toUpperCase() + words.slice(1);

/**
 * @param {object} facts
 * @param {string} facts.connection  the state of flux.js
 * @param {string} facts.room  waiting, live, stale or down
 * @param {number} facts.newest  timestamp of the newest record, 0: none
 * @param {Set<string>} facts.sources  live, replay, simulated
 * @param {number} facts.patience  ms after which a record is late
 * @param {{ ts: number, data: any } | null} facts.heartbeat
 * @param {number} facts.now
 * @param {boolean} facts.paused  the picture stands from now on
 * @returns {{ state: string, words: string }}
 */
export function freshness({ connection, room, newest, sources, patience,
                            heartbeat, now, paused }) {
    const age = span(now - newest);
    const origin = originOf(sources);
    const more = origin.words && `, ${origin.words}`;
    const late = room === "stale" || now - newest > patience;

    if (paused) {
        const old = late || connection !== "live" || room === "down";
        return { state: "paused", words: `Paused at ${exact(now)}`
            + (old ? `, data of ${time(newest)}` : "") + more };
    }
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
    if (late) {
        return { state: "delayed", words: `Delayed, ${age} old${more}` };
    }
    return { state: origin.state, words: capital(origin.words || "live") };
}

/** @param {HTMLElement} badge  a .fresh with .mark and .what in it */
export function show(badge, { state, words }) {
    attribute(badge, "data-state", state);
    text(badge.querySelector(".what"), words);
}
