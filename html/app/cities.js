/** Names of cities, and the room (its name is the slug) of each. */

import { browser } from "./memory.js";

export const room = (slug) => `weather/${slug}`;
export const remembered = () => browser.get("cities", [guessCity()]);

/** As flux-weather makes it: "New York" is new-york. */
export function slugOf(name) {
    return name.trim().normalize("NFD").replace(/\p{M}/gu, "")
        .replace(/[\s_/\p{Cc}]+/gu, "-")
        .replace(/[A-Z]/g, (letter) => letter.toLowerCase())
        .slice(0, 60);
}

/** The reader's own city, as far as their time zone tells it. */
function guessCity() {
    const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
    const [area, ...rest] = (timeZone ?? "").split("/");
    const name = rest.length && area !== "Etc"
        ? rest.at(-1).replaceAll("_", " ") : "London";

    return { slug: slugOf(name), name };
}
