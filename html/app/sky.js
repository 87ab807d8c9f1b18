/** A small picture of the weather; the condition's words stand beside it. */

import { drawing } from "./dom.js";

const CLOUD = "M7 18h10a4 4 0 0 0 .6-7.9A6 6 0 0 0 6.2 11 3.5 3.5 0 0 0 7 18z";
const DISC = "M12 7a5 5 0 1 0 .01 0z";
const MOON = "M15 4a8 8 0 1 0 5 11 7 7 0 0 1-5-11z";
const RAYS = "M12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.4 1.4M17.6 17.6 19 19"
    + "M5 19l1.4-1.4M17.6 6.4 19 5";

/* by WMO code (table 4677 as Open-Meteo uses it) */
function shapes(code, isDay) {
    const clear = isDay ? [["sun", DISC], ["sun line", RAYS]]
        : [["moon", MOON]];

    if (code <= 1) {
        return clear;
    }
    if (code === 2) {
        return [clear[0], ["cloud", CLOUD]];
    }
    if (code <= 3) {
        return [["cloud", CLOUD]];
    }
    if (code <= 48) {
        return [["cloud line", "M4 9h16M4 13h16M4 17h16"]];
    }
    if (code >= 95) {
        return [["cloud", CLOUD], ["sun line", "M12 14l-2 4h4l-2 5"]];
    }
    return (code >= 71 && code <= 77) || code === 85 || code === 86
        ? [["cloud", CLOUD], ["snow line", "M8 21h.1M12 22h.1M16 21h.1"]]
        : [["cloud", CLOUD], ["rain line", "M9 20l-1 3M13 20l-1 3M17 20l-1 3"]];
}

export function sky(code, isDay, size = "") {
    return drawing("svg", { viewBox: "0 0 24 24", "aria-hidden": "true",
                            class: `sky ${size}` },
        ...shapes(code, isDay).map(([kind, d]) =>
            drawing("path", { d, class: kind })));
}
