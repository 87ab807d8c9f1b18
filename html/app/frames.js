/**
 * Draws in an animation frame what changed since the last one, however many
 * records came, and not at all while the reader has paused the page.
 */

const APART = 80;               // ms between two frames: nobody reads faster

export class Frames {
    #dirty = new Map();
    #asked = false;
    #drawn = 0;
    #pauses = [];
    #later = new Map();
    paused = false;

    /** Runs `draw` in the next frame; one run per `key`, the newest wins. */
    draw(key, draw) {
        this.#dirty.set(key, draw);
        this.#ask();
    }

    /** As draw(), in `wait` ms; asked for again until then, it is one. */
    later(key, draw, wait) {
        if (!this.#later.has(key)) {
            this.#later.set(key, setTimeout(() => {
                this.#later.delete(key);
                this.draw(key, draw);
            }, wait));
        }
    }

    /** @param {boolean} paused */
    pause(paused) {
        this.paused = paused;
        this.#pauses.forEach((heard) => heard());
        this.#ask();
    }

    /** `heard` runs at a pause's begin and end: to put the last touch to a
     *  picture that will stand, and to take it away. */
    onPause(heard) {
        this.#pauses.push(heard);
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
        const wait = this.#drawn + APART - performance.now();
        setTimeout(() => requestAnimationFrame(() => this.#run()),
                   Math.max(0, wait));
    }

    #run() {
        this.#asked = false;
        if (this.paused) {
            return;
        }
        const dirty = this.#dirty;
        this.#dirty = new Map();
        this.#drawn = performance.now();
        for (const draw of dirty.values()) {
            try {
                draw();
            } catch (error) {           // one record that is no such thing
                console.error(error);   // leaves the others' picture whole
            }
        }
    }
}
