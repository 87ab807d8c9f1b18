/**
 * A table whose rows open: each row's first cell holds a button that covers
 * the row, so that mouse, finger, keyboard and screen reader use the same.
 */

import { attribute, element } from "./dom.js";
import { tab } from "./memory.js";

/**
 * @typedef {object} Look  what a card says of its rows
 * @property {string} name  of the card: its memory and its ids
 * @property {(key: string) => { cells: HTMLElement[], label: HTMLElement[],
 *   parts: any }} make
 * @property {(parts: any, key: string) => void} draw
 * @property {(key: string) => { node: HTMLElement, draw: () => void,
 *   close?: () => void }} detail  what an open row shows
 */

export class Table {
    #body;
    #frames;
    #look;
    #rows = new Map();
    #memory;

    /**
     * @param {HTMLTableSectionElement} body
     * @param {import("./frames.js").Frames} frames
     * @param {Look} look
     */
    constructor(body, frames, look) {
        this.#body = body;
        this.#frames = frames;
        this.#look = look;
        this.#memory = `open.${look.name}`;
    }

    get size() {
        return this.#rows.size;
    }

    has(key) {
        return this.#rows.has(key);
    }

    /** Draws a row in the next frame. */
    change(key) {
        this.#frames.draw(`${this.#look.name} ${key}`, () => this.#draw(key));
    }

    /** Puts exactly these rows there, in this order; the rest is hidden. */
    arrange(keys) {
        const wanted = new Set(keys);

        for (const [key, row] of this.#rows) {
            if (!wanted.has(key)) {
                this.#remove(key, row);
            }
        }
        let place = this.#body.firstElementChild;
        for (const key of keys) {
            const row = this.#rows.get(key) ?? this.#make(key);
            if (row.line !== place) {
                this.#body.insertBefore(row.line, place);
                if (row.detail) {
                    row.line.after(row.detail.line);
                }
            }
            place = (row.detail?.line ?? row.line).nextElementSibling;
        }
    }

    open(key) {
        const row = this.#rows.get(key);
        if (row && !row.detail) {
            this.#toggle(key);
        }
        row?.button.focus();
        row?.line.scrollIntoView({ block: "nearest" });
    }

    #make(key) {
        const { cells, label, parts } = this.#look.make(key);
        const id = `${this.#look.name}-${key.replace(/[^\w-]/g, "_")}`;
        const button = element("button.opener", {
            type: "button", "aria-expanded": "false" }, ...label);
        const line = element("tr.row", {},
            element("th", { scope: "row" }, button), ...cells);
        const row = { line, button, parts, id, detail: null };

        button.addEventListener("click", () => this.#toggle(key));
        this.#rows.set(key, row);
        this.#look.draw(parts, key);
        if (tab.get(this.#memory) === key) {
            this.#toggle(key);
        }
        return row;
    }

    #remove(key, row) {
        row.detail?.view.close?.();
        row.detail?.line.remove();
        row.line.remove();
        this.#rows.delete(key);
    }

    #draw(key) {
        const row = this.#rows.get(key);
        if (row) {
            this.#look.draw(row.parts, key);
            row.detail?.view.draw();
        }
    }

    /* One row is open at a time: a phone shows it whole. */
    #toggle(key) {
        const row = this.#rows.get(key), opened = !row.detail;

        for (const other of this.#rows.values()) {
            this.#shut(other);
        }
        if (opened) {
            const view = this.#look.detail(key);
            const line = element("tr.detail", { id: row.id },
                element("td", { colspan: row.line.cells.length }, view.node));
            row.detail = { view, line };
            row.line.after(line);
            attribute(row.button, "aria-expanded", "true");
            attribute(row.button, "aria-controls", row.id);
            view.draw();
            tab.set(this.#memory, key);
        } else {
            tab.set(this.#memory, null);
        }
    }

    #shut(row) {
        row.detail?.view.close?.();
        row.detail?.line.remove();
        row.detail = null;
        attribute(row.button, "aria-expanded", "false");
        attribute(row.button, "aria-controls", null);
    }
}

const FLASH = 700;              // ms
const flashing = new Map();

/** Lets a cell flash: one timer for all, and no animation to compute. */
export function flash(cell, direction) {
    if (flashing.size === 0) {
        setTimeout(endFlashes, FLASH / 2);
    }
    cell.dataset.flash = direction;
    flashing.set(cell, performance.now() + FLASH);
}

function endFlashes() {
    const now = performance.now();
    for (const [cell, end] of flashing) {
        if (end <= now) {
            delete cell.dataset.flash;
            flashing.delete(cell);
        }
    }
    if (flashing.size) {
        setTimeout(endFlashes, FLASH / 2);
    }
}
