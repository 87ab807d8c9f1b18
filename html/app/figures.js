/** What cards with prices share. */

import { now } from "./clock.js";
import { attribute, element, text } from "./dom.js";
import { date, exact, percent } from "./format.js";

const DAY = 86400000;

/** The arrow says by its shape what the colour says. */
export function showChange(node, change) {
    const number = Number(change);
    const direction = number > 0 ? "up" : number < 0 ? "down" : "even";

    attribute(node, "data-direction", direction);
    text(node, percent(number));
}

/** When they were so: to a second today, with the day when it was before. */
export function asOf({ time }, ts) {
    const when = Date.parse(time) || ts;
    return now() - when < DAY ? exact(when) : date(when);
}

/** Whose figures they are: "coinbase", "replay" */
export function sourceOf({ provider, source }) {
    return source === "live" ? provider ?? source : source ?? "–";
}

/**
 * A list of named figures.
 * @param {string[]} names
 * @param {() => string[]} read  their values of now
 */
export function facts(names, read) {
    const values = names.map(() => element("dd"));
    const node = element("dl.facts", {}, ...names.map((name, i) =>
        element("div", {}, element("dt", {}, name), values[i])));

    return {
        node,
        draw: () => read().forEach((value, i) => text(values[i], value)),
    };
}
