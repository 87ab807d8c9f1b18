/**
 * The search for a city: a combobox with suggestions from a list that comes
 * when it is first needed. Whatever is typed is taken, in the list or not.
 * The browser's location is asked for only by the button.
 */

import { announce, attribute, element } from "./dom.js";

const SUGGESTIONS = 8;
const plain = (name) => name.normalize("NFD").replace(/\p{M}/gu, "")
    .toLowerCase();

/** @param {HTMLElement} card @param {(name: string) => void} choose */
export function mountSearch(card, choose) {
    const form = card.querySelector("form");
    const input = form.querySelector("input");
    const list = card.querySelector("[role=listbox]");
    const locate = card.querySelector(".locate");
    let places = null, active = -1;

    async function load() {
        places ??= import("./places.js").then((module) => module.places());
        return places;
    }

    async function suggest() {
        const typed = plain(input.value.trim());
        const all = typed ? await load() : [];
        const starts = all.filter(({ name }) =>
            plain(name).startsWith(typed));
        const holds = all.filter(({ name, country }) =>
            !starts.some((one) => one.name === name)
            && plain(`${name} ${country}`).includes(typed));

        if (plain(input.value.trim()) !== typed) {
            return;                     // typed on meanwhile
        }
        show([...starts, ...holds].slice(0, SUGGESTIONS));
    }

    function show(found) {
        active = -1;
        list.replaceChildren(...found.map(({ name, country }, i) => {
            const option = element("li", { role: "option", id: `place-${i}`,
                                           "aria-selected": "false" },
                name, " ", element("span.code", {}, country));
            option.dataset.name = name;
            option.addEventListener("pointerdown", (event) => {
                event.preventDefault();
                take(name);
            });
            return option;
        }));
        list.hidden = found.length === 0;
        attribute(input, "aria-expanded", String(!list.hidden));
        attribute(input, "aria-activedescendant", null);
    }

    function move(step) {
        const count = list.children.length;
        if (!count) {
            return;
        }
        active = (active + step + count + (active < 0 && step < 0)) % count;
        [...list.children].forEach((option, i) =>
            attribute(option, "aria-selected", String(i === active)));
        attribute(input, "aria-activedescendant", `place-${active}`);
        list.children[active].scrollIntoView({ block: "nearest" });
    }

    function take(name) {
        if (name.trim()) {
            choose(name.trim());
            announce(`${name.trim()} added`);
        }
        input.value = "";
        show([]);
    }

    input.addEventListener("focus", load);
    input.addEventListener("input", suggest);
    input.addEventListener("blur", () => show([]));
    input.addEventListener("keydown", (event) => {
        const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
        if (step) {
            event.preventDefault();
            move(step);
        } else if (event.key === "Escape") {
            show([]);
        }
    });
    form.addEventListener("submit", (event) => {
        event.preventDefault();
        take(list.children[active]?.dataset.name ?? input.value);
    });
    locate.hidden = !navigator.geolocation;
    locate.addEventListener("click", () => {
        navigator.geolocation.getCurrentPosition(async ({ coords }) => {
            const { nearest } = await import("./places.js");
            take(nearest(coords.latitude, coords.longitude).name);
        }, () => announce("The browser does not tell the location"));
    });
}
