/**
 * Draws once per animation frame, however many records came, and not at all
 * while the reader has paused the page.
 */
export class Frames {
    #dirty = new Map();
    #asked = false;
    paused = false;

    /** Runs `draw` in the next frame; one run per `key`, the newest wins. */
    draw(key, draw) {
        this.#dirty.set(key, draw);
        this.#ask();
    }

    /** @param {boolean} paused */
    pause(paused) {
        this.paused = paused;
        this.#ask();
    }

    /** how many drawings wait for the end of a pause */
    get waiting() {
        return this.#dirty.size;
    }

    #ask() {
        if (this.#asked || this.paused || this.#dirty.size === 0) {
            return;
        }
        this.#asked = true;
        requestAnimationFrame(() => {
            this.#asked = false;
            if (this.paused) {
                return;
            }
            const dirty = this.#dirty;
            this.#dirty = new Map();
            for (const draw of dirty.values()) {
                draw();
            }
        });
    }
}
