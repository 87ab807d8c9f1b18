/** Dark or light: as the system prefers, until the reader chooses. */

import { text } from "./dom.js";
import { browser } from "./memory.js";

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
    }

    button.addEventListener("click", () => {
        apply(ORDER[(ORDER.indexOf(theme) + 1) % ORDER.length]);
        browser.set("theme", theme);
    });
    apply(theme);
}
