/**
 * flux.js: the rooms of an nginx with the Flux module, in a browser or Node.
 *
 *   const live = connect("/live", { rooms: ["weather/paris"] });
 *   live.room("crypto").on("update", ({ key, ts, data }) => show(key, data));
 *   live.on("state", (state) => ...);    // live, reconnecting, offline
 *
 * It reconnects by itself and goes on at its cursor: nothing is missed and
 * nothing comes twice; where that cannot be kept a room gets "reset" and
 * then "snapshot". It tries WebSocket, server-sent events and long polling.
 *
 * @typedef {{ key: string, ts: number, data: any }} Item
 * @typedef {"websocket" | "sse" | "poll"} Transport
 * @typedef {"connecting" | "live" | "reconnecting" | "offline" | "closed"
 *   } State
 * @typedef {object} Options
 * @property {string[]} [rooms]  what to read beside the location's own rooms
 * @property {string} [cursor]  where to go on; its items are yours to keep
 * @property {Transport[]} [transports]  to be tried in this order
 * @property {number} [patience]  ms until a transport must have said something
 * @property {number} [silence]  ms of silence until a stream counts as dead:
 *   more than two flux_heartbeats
 * @property {any} [WebSocket]  a class, where there is no global one
 */

const PING = 15000;             // ms between two looks at a WebSocket's health
const ANSWER = 5000;            // ms in which it has to answer
const WAIT = 25;                // s that a poll waits for news
const POLL_GAP = 1000;          // ms between two polls
const BACKOFF_FIRST = 1000;     // ms, doubled with each failure, at random
const BACKOFF_MOST = 30000;
const STEADY = 10000;           // ms after which a connection was a good one
const LOYALTY = 3;              // failures of a transport that has worked
const RETRY_BETTER = 600000;    // ms until a better transport is tried again
const HIDDEN = 30000;           // ms a hidden tab keeps one of few connections

class Emitter {
    #handlers = {};

    /**
     * @param {string} type
     * @param {(event: any) => void} handler
     * @returns {() => void} takes the handler away
     */
    on(type, handler) {
        const all = this.#handlers[type] ??= new Set();
        all.add(handler);
        return () => all.delete(handler);
    }

    /** @protected */
    emit(type, event) {
        for (const handler of this.#handlers[type] ?? []) {
            try {
                handler(event);
            } catch (error) {       // one bad handler is not the stream's end
                queueMicrotask(() => { throw error; });
            }
        }
    }
}

/**
 * Events: "snapshot" {items, complete} (replaces all), "update" Item,
 * "delete" {key, ts}, "status" {state, since}, "reset" {reason},
 * "error" {code}.
 */
export class Room extends Emitter {
    /** @type {Map<string, Item>} the newest item of each key */
    items = new Map();
    /** @type {"waiting" | "live" | "stale" | "down"} */
    state = "waiting";
    /** since when, where the server told */
    since = 0;
    /** has the server read the room's feed to its end? */
    complete = false;
    /** timestamp of the newest record */
    newest = 0;
    #parts = null;

    /** @param {string} name */
    constructor(name) {
        super();
        this.name = name;
    }

    /** ms since the newest record; Infinity without one */
    get age() {
        return this.newest ? Math.max(0, Date.now() - this.newest) : Infinity;
    }

    /** @protected */
    take(message) {
        const { type, key, ts } = message;

        if (type === "snapshot") {
            (this.#parts ??= []).push(...message.items);
            if (message.more) {
                return;
            }
            message = { ...message, items: this.#parts };
            this.#parts = null;
            this.items = new Map(message.items.map((i) => [i.key, i]));
            this.newest = message.items.reduce((t, i) => Math.max(t, i.ts), 0);
            this.complete = message.complete;
            this.state = "live";
        } else if (type === "update") {
            this.items.set(key, message);
            this.newest = Math.max(this.newest, ts);
        } else if (type === "delete") {
            this.items.delete(key);
        } else if (type === "status") {
            this.state = message.state;
            this.since = message.since;
        }
        this.emit(type, message);
    }

    /** @protected a connection was lost in the midst of a snapshot */
    cut() {
        this.#parts = null;
    }
}

const TRANSPORTS = {
    websocket(link, { WebSocket }) {
        const socket = new WebSocket(link.url().replace(/^http/, "ws"),
                                     "flux.v1");
        socket.onopen = () => {
            link.send = (message) => socket.send(JSON.stringify(message));
            link.ping();
        };
        socket.onmessage = ({ data }) => link.frame(data);
        socket.onclose = socket.onerror = () => link.lost();
        link.signal.onabort = () => socket.close();
    },

    async sse(link) {
        const stream = (await link.fetch("text/event-stream")).body
            .pipeThrough(new TextDecoderStream()).getReader();
        let text = "";

        for (;;) {
            const { done, value } = await stream.read();
            if (done) {
                return link.lost();
            }
            link.hear();
            const events = (text + value).split("\n\n");
            text = events.pop();
            for (const event of events) {
                const data = /^data: ?(.*)/m.exec(event);
                if (data) {
                    link.frame(data[1]);
                }
            }
        }
    },

    async poll(link) {
        for (let wait = 0; ; wait = WAIT) {
            const answer = await link.fetch("application/json", wait);
            link.frame(await answer.text());
            await new Promise((go) => setTimeout(go, POLL_GAP));
        }
    },
};

/**
 * Events: "state" State, "frame" (a whole frame was taken), "latency" ms,
 * "error" {status} or {op, room, code, message}, "end" {reason, retry}.
 */
export class Connection extends Emitter {
    /** @type {State} */
    state = "connecting";
    /** @type {Transport | null} the one in use */
    transport = null;
    /** @type {number | null} ms to the server and back, over a WebSocket */
    latency = null;
    /** @type {Map<string, Room>} */
    rooms = new Map();
    #wanted;
    #options;
    #url;
    #link = null;
    #choice = 0;
    #proven = new Set();
    #failures = 0;
    #fell = 0;
    #timer;
    #ticker;
    #off = [];

    /** @param {string} url @param {Options} options */
    constructor(url, options) {
        super();
        this.#url = new URL(url, globalThis.location?.href);
        this.#options = { patience: 6000, silence: 45000,
                          WebSocket: globalThis.WebSocket,
                          transports: Object.keys(TRANSPORTS), ...options };
        this.#wanted = new Set(options.rooms);
        /** where it stands, for connect()'s cursor */
        this.cursor = options.cursor ?? "";
        this.#listen();
        this.#ticker = setInterval(() => this.#tick(), 1000);
        this.#open();
    }

    /** @param {string} name @returns {Room} the room, read or not */
    room(name) {
        if (!this.rooms.has(name)) {
            this.rooms.set(name, new Room(name));
        }
        return this.rooms.get(name);
    }

    /** @param {...string} names */
    subscribe(...names) {
        this.#change("subscribe", names.filter((n) => !this.#wanted.has(n)));
    }

    /** @param {...string} names */
    unsubscribe(...names) {
        this.#change("unsubscribe", names.filter((n) => this.#wanted.has(n)));
    }

    close() {
        this.#off.forEach((off) => off());
        clearInterval(this.#ticker);
        this.#leave();
        this.#become("closed");
    }

    #change(op, rooms) {
        for (const name of rooms) {
            this.#wanted[op === "subscribe" ? "add" : "delete"](name);
        }
        if (rooms.length && this.#link?.send) {
            this.#link.send({ op, rooms });
        } else if (rooms.length && this.#link) {
            this.#later(0);         // once, however many changes come now
        }
    }

    #become(state) {
        if (this.state !== state && this.state !== "closed") {
            this.state = state;
            this.emit("state", state);
        }
    }

    #leave() {
        clearTimeout(this.#timer);
        this.#link?.abort();
        this.#link = null;
        this.rooms.forEach((room) => room.cut());
    }

    #later(delay) {
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.#open(), delay);
    }

    #open() {
        const { transports, WebSocket } = this.#options;

        this.#leave();
        if (Date.now() - this.#fell > RETRY_BETTER) {
            this.#choice = 0;
        }
        if (transports[this.#choice] === "websocket" && !WebSocket) {
            this.#choice = (this.#choice + 1) % transports.length;
        }
        this.transport = transports[this.#choice];
        const link = this.#link = this.#connector();
        Promise.resolve(link).then((l) => TRANSPORTS[this.transport](
            l, this.#options)).catch((error) => link.lost(error.status));
    }

    /* What a transport is given: where to, and whom to tell. */
    #connector() {
        const controller = new AbortController();
        const { signal } = controller;
        const link = {
            signal,
            begun: Date.now(),
            heard: 0,
            abort: () => controller.abort(),
            url: (wait) => {
                const url = new URL(this.#url);
                this.#wanted.forEach((n) => url.searchParams.append("room", n));
                if (this.cursor) {
                    url.searchParams.set("cursor", this.cursor);
                }
                if (wait !== undefined) {
                    url.searchParams.set("wait", `${wait}s`);
                }
                return url.href;
            },
            fetch: async (type, wait) => {
                const answer = await fetch(link.url(wait), {
                    signal, headers: { Accept: type }, cache: "no-store" });
                if (!answer.ok
                    || !answer.headers.get("content-type")?.startsWith(type)) {
                    throw Object.assign(new Error(), answer.ok
                        ? {} : { status: answer.status });
                }
                link.hear();
                return answer;
            },
            hear: () => !signal.aborted && this.#heard(link),
            frame: (text) => !signal.aborted && this.#frame(link, text),
            lost: (status) => !signal.aborted && this.#lost(link, status),
            ping: () => {
                link.pinged = Date.now();
                link.send({ op: "ping" });
            },
        };
        return link;
    }

    #heard(link) {
        if (!link.heard) {
            this.#proven.add(this.transport);
        }
        link.heard = Date.now();
        this.#become("live");
    }

    #frame(link, text) {
        this.#heard(link);
        for (const message of JSON.parse(text)) {
            this.#take(link, message);
        }
        this.emit("frame");
    }

    #take(link, message) {
        const { type, room } = message;

        if (type === "cursor") {
            this.cursor = message.cursor;
        } else if (type === "pong") {
            this.latency = Date.now() - link.pinged;
            link.pinged = 0;
            this.emit("latency", this.latency);
        } else if (type === "end") {
            link.retry = message.retry;
            this.emit("end", message);
        } else {
            if (type === "error") {
                if (message.op === "subscribe") {
                    this.#wanted.delete(room);
                }
                this.emit("error", message);
            }
            if (room !== undefined) {
                this.room(room).take(message);
            }
        }
    }

    /* After a connection that worked, the same again; after one that did
       not, the next transport; after all of them, a pause. */
    #lost(link, status) {
        const { transports } = this.#options;
        const worked = link.heard > 0;
        let pause = true;

        this.#leave();
        this.latency = null;
        this.#failures = worked && Date.now() - link.begun > STEADY
            ? 0 : this.#failures + 1;

        if (status === 403 || status === 404) {
            this.#choice = 0;       // no transport will be told otherwise
            this.emit("error", { status });
        } else if (!worked && (!this.#proven.has(this.transport)
                               || this.#failures % LOYALTY === 0)) {
            this.#choice = (this.#choice + 1) % transports.length;
            this.#fell = Date.now();
            pause = this.#choice === 0;
        }

        this.#become(globalThis.navigator?.onLine === false
                     || this.#failures > 5 ? "offline" : "reconnecting");
        this.#later(link.retry ?? (pause ? Math.random() * Math.min(
            BACKOFF_MOST, BACKOFF_FIRST * 2 ** this.#failures) : 0));
    }

    #tick() {
        const link = this.#link, now = Date.now();
        const { patience, silence } = this.#options;

        if (!link) {
            return;
        }
        if (link.send) {
            if (!link.pinged && now - link.heard > PING) {
                link.ping();
            } else if (link.pinged && now - link.pinged > ANSWER
                       && now - link.heard > ANSWER) {
                link.lost();
            }
        } else if (now - (link.heard || link.begun)
                   > (link.heard ? silence : patience)) {
            link.lost();
        }
        if (globalThis.document?.hidden && !link.send
            && now - this.#hidden > HIDDEN) {
            this.#leave();          // it goes on at its cursor when seen
        }
    }

    #hidden = 0;

    /* A machine that slept or changed its network may hold a dead link. */
    #check(fresh) {
        const link = this.#link;

        if (fresh) {
            this.#choice = 0;
            this.#failures = 0;
        }
        if (!link || !link.send) {
            this.#open();
        } else {
            link.ping();
        }
    }

    #listen() {
        const on = (target, type, handler) => {
            target?.addEventListener?.(type, handler);
            this.#off.push(() => target?.removeEventListener?.(type, handler));
        };
        on(globalThis, "online", () => this.#check(true));
        on(globalThis, "offline", () => this.#link?.send && this.#check());
        on(globalThis.document, "visibilitychange", () => {
            this.#hidden = Date.now();
            if (!document.hidden) {
                this.#check();
            }
        });
    }
}

/**
 * @param {string} url  a flux_stream location
 * @param {Options} [options]
 * @returns {Connection}
 */
export function connect(url, options = {}) {
    return new Connection(url, options);
}
