/**
 * What the page knows: of each room the newest record of each key and a
 * short history of one of its numbers. It outlives a reload together with
 * the stream's cursor, so that a page that comes back goes on where it was.
 */

const SAVED = "flux.page.1";
const HISTORY = 600;

export class Feed {
    /** @type {Map<string, import("../flux.js").Item>} */
    items = new Map();
    /** @type {Map<string, [number, number][]>} key: [ts, number] in order */
    history = new Map();
    newest = 0;
    /** was there ever a snapshot, now or before the reload? */
    known = false;

    #number;

    /** @param {((data: any) => any) | null} number  what history is of */
    constructor(number) {
        this.#number = number;
    }

    /** where what is shown came from: live, replay, simulated */
    get sources() {
        return new Set([...this.items.values()].map(
            ({ data }) => data?.source ?? "live"));
    }

    clear() {
        this.items.clear();
        this.history.clear();
        this.newest = 0;
    }

    put(item) {
        this.items.set(item.key, item);
        this.newest = Math.max(this.newest, item.ts);
        if (this.#number) {
            this.remember(item.key, item.ts, Number(this.#number(item.data)));
        }
    }

    remember(key, ts, number) {
        let points = this.history.get(key);
        if (!points) {
            this.history.set(key, points = []);
        }
        if (Number.isFinite(number)) {
            points.push([ts, number]);
            if (points.length > HISTORY) {
                points.splice(0, points.length - HISTORY);
            }
        }
    }

    drop(key) {
        this.items.delete(key);
        this.history.delete(key);
    }
}

export class Store {
    #feeds = new Map();
    #numbers;
    #listeners = new Map();
    #heard = new Map();
    /** called with each update, whatever its room */
    onUpdate = null;
    /** the cursor of the saved state, if there is one */
    cursor = "";

    /** @param {Record<string, (data: any) => any>} numbers  by room */
    constructor(numbers) {
        this.#numbers = numbers;
        this.#restore();
    }

    /** @param {string} room @returns {Feed} */
    feed(room) {
        if (!this.#feeds.has(room)) {
            this.#feeds.set(room, new Feed(this.#numbers[room] ?? null));
        }
        return this.#feeds.get(room);
    }

    /** Keeps the feed of a room as the room is. */
    follow(live, name) {
        if (this.#listeners.has(name)) {
            return;
        }
        const feed = this.feed(name), room = live.room(name);
        const heard = (key) => this.#heard.get(name)?.(key);
        this.#listeners.set(name, [
            room.on("snapshot", ({ items }) => {
                feed.clear();
                items.forEach((item) => feed.put(item));
                feed.known = true;
                heard();
            }),
            room.on("update", (item) => {
                this.onUpdate?.();
                feed.put(item);
                feed.known = true;
                heard(item.key);
            }),
            room.on("delete", ({ key }) => {
                feed.drop(key);
                heard(key);
            }),
        ]);
    }

    /** Follows; `heard(key)`: that key changed, without a key: all of them. */
    watch(live, name, heard) {
        this.follow(live, name);
        this.#heard.set(name, heard);
        if (this.feed(name).known) {
            heard();
        }
    }

    forget(name) {
        this.#listeners.get(name)?.forEach((off) => off());
        this.#listeners.delete(name);
        this.#heard.delete(name);
        this.#feeds.delete(name);
    }

    save(cursor) {
        const rooms = {};
        for (const [name, feed] of this.#feeds) {
            if (feed.known) {
                rooms[name] = {
                    items: [...feed.items.values()].map(
                        ({ key, ts, data }) => [key, ts, data]),
                    history: [...feed.history],
                };
            }
        }
        try {
            sessionStorage.setItem(SAVED, JSON.stringify({ cursor, rooms }));
        } catch {
            // no room, or no storage: the next page begins with a snapshot
        }
    }

    #restore() {
        try {
            const saved = JSON.parse(sessionStorage.getItem(SAVED) ?? "null");
            for (const [name, { items, history }] of
                Object.entries(saved?.rooms ?? {})) {
                const feed = this.feed(name);
                items.forEach(([key, ts, data]) =>
                    feed.put({ key, ts, data }));
                feed.history = new Map(history);
                feed.known = true;
            }
            this.cursor = saved?.cursor ?? "";
        } catch {
            this.#feeds.clear();
            this.cursor = "";
        }
    }
}
