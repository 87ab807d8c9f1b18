/** What cards with prices share. */

import { attribute, element, text } from "./dom.js";
import { percent } from "./format.js";

/** The arrow says by its shape what the colour says. */
export function showChange(node, change) {
    const number = Number(change);
    const direction = number > 0 ? "up" : number < 0 ? "down" : "even";

    attribute(node, "data-direction", direction);
    text(node, percent(number));
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
