/** Dark or light: as the system prefers, until the reader chooses. */

import { text } from "./dom.js";
import { browser } from "./memory.js";

/** Hears "change" when the colours do: for what draws on a canvas. */
export const themed = new EventTarget();

const ORDER = ["system", "light", "dark"];

export function mountTheme() {
    const button = document.getElementById("theme");
    let theme = browser.get("theme");

    function apply(next) {
        theme = ORDER.includes(next) ? next : "system";
        if (theme === "system") {
            delete document.documentElement.dataset.theme;
        } else {
            document.documentElement.dataset.theme = theme;
        }
        text(button.querySelector(".label"), `Theme: ${theme}`);
        themed.dispatchEvent(new Event("change"));
    }

    button.addEventListener("click", () => {
        apply(ORDER[(ORDER.indexOf(theme) + 1) % ORDER.length]);
        browser.set("theme", theme);
    });
    matchMedia("(prefers-color-scheme: light)").addEventListener(
        "change", () => themed.dispatchEvent(new Event("change")));
    apply(theme);
}
