/**
 * flux.js: the rooms of an nginx with the Flux module, in a browser or Node.
 *
 *   const live = connect("/live", { rooms: ["weather/paris"] });
 *   live.room("crypto").on("update", ({ key, ts, data }) => show(key, data));
 *   live.on("state", (state) => ...);    // live, reconnecting, offline
 *
 * After a cut it goes on at its cursor, or "reset" and "snapshot" tell.
 *
 * @typedef {{ key: string, ts: number, data: any }} Item
 * @typedef {"websocket" | "sse" | "poll"} Transport
 * @typedef {"connecting" | "live" | "reconnecting" | "offline" | "closed"
 *   } State
 * @typedef {object} Options
 * @property {string[]} [rooms]  beside the location's own
 * @property {string} [cursor]  where to go on
 * @property {Transport[]} [transports]  in the order to try
 * @property {number} [patience]  ms for a transport's first word
 * @property {number} [silence]  ms: over two flux_heartbeats
 * @property {() => number} [now]  the clock for ages
 * @property {any} [WebSocket]
 */

/* in ms */
const PING = 15000;             // between two pings of a WebSocket
const ANSWER = 5000;
const POLL_GAP = 1000;
const BACKOFF = 1000;           // doubled by failures, times a random
const BACKOFF_MOST = 30000;
const STEADY = 10000;           // no failure after that
const LOYALTY = 3;              // failures of a transport that has worked
const SLEPT = 5000;             // between two ticks

class Emitter {
    #handlers = {};

    /**
     * @param {string} type
     * @param {(event: any) => void} handler
     * @returns {() => void} undo
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
            } catch (error) {
                queueMicrotask(() => { throw error; });
            }
        }
    }
}

/**
 * Events: "snapshot" {items, complete} (replaces all), "update" Item,
 * "delete" {key, ts}, "status" {state, since}, "reset" {reason}, "error".
 */
export class Room extends Emitter {
    /** @type {Map<string, Item>} the newest of each key */
    items = new Map();
    /** @type {"waiting" | "live" | "stale" | "down"} */
    state = "waiting";
    since = 0;
    complete = false;
    newest = 0;                 // timestamp
    /** @protected */
    parts = null;

    /** @param {string} name @param {() => number} now */
    constructor(name, now) {
        super();
        this.name = name;
        this.now = now;
    }

    /** ms since the newest record */
    get age() {
        return this.newest ? Math.max(0, this.now() - this.newest) : Infinity;
    }

    /** @protected */
    take(message) {
        const { type, key, ts } = message;

        if (type === "snapshot") {
            this.parts = [...this.parts ?? [], ...message.items];
            if (message.more) {
                return;
            }
            message.items = this.parts;
            this.parts = null;
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
}

async function get(link, type, wait) {
    const answer = await fetch(link.url(wait), {
        signal: link.signal, headers: { Accept: type } });
    if (!answer.ok || !answer.headers.get("content-type")?.startsWith(type)) {
        throw answer;
    }
    return answer;
}

/* Each calls link.frame() with what comes, link.lost() or throws. */
const TRANSPORTS = {
    websocket(link) {
        const socket = new link.WebSocket(link.url().replace(/^http/, "ws"),
                                          "flux.v1");
        link.signal.onabort = () => socket.close();
        socket.onclose = socket.onerror = () => link.lost();
        socket.onmessage = ({ data }) => link.frame(data);
        socket.onopen = () => {
            link.send = (message) => socket.send(JSON.stringify(message));
            link.ping = () => {
                link.pinged = link.asked = Date.now();
                link.send({ op: "ping" });
            };
            link.ping();
        };
    },

    async sse(link) {
        const { body } = await get(link, "text/event-stream");
        const reader = body.pipeThrough(new TextDecoderStream()).getReader();
        let text = "";

        if (link.resumed) {             // with nothing to tell, maybe
            link.hear();
        }
        for (;;) {
            const { done, value } = await reader.read();
            if (done) {
                return link.lost();
            }
            link.hear();
            const events = (text + value).split("\n\n");
            text = events.pop();
            for (const event of events) {
                const data = /^data: ?(.*)/ms.exec(event);
                if (data) {
                    link.frame(data[1]);
                }
            }
        }
    },

    async poll(link) {
        for (let wait = 0; ; wait = 25) {
            link.frame(await (await get(link, "application/json", wait)).text());
            await new Promise((go) => setTimeout(go, POLL_GAP));
        }
    },
};

/**
 * Events: "state" State, "frame" (all of one was taken), "latency" ms,
 * "end", "error" {status} or {op, room, code, message}.
 */
export class Connection extends Emitter {
    /** @type {State} */
    state = "connecting";
    /** @type {Transport} */
    transport;
    /** @type {number | null} ms there and back, over a WebSocket */
    latency = null;
    /** @type {Map<string, Room>} */
    rooms = new Map();
    #wanted;
    #options;
    #url;
    #link = null;
    #choice = 0;
    #proven;
    #failures = 0;
    #timer;
    #ticker = setInterval(() => this.#tick(), 1000);
    #ticked = Date.now();
    #closed = new AbortController();

    /** @param {string} url @param {Options} options */
    constructor(url, options) {
        super();
        this.#url = new URL(url, globalThis.location?.href);
        this.#options = { patience: 6000, silence: 45000, now: Date.now,
                          WebSocket: globalThis.WebSocket,
                          transports: Object.keys(TRANSPORTS), ...options };
        this.#wanted = new Set(options.rooms);
        /** for a later connect() */
        this.cursor = options.cursor ?? "";
        for (const type of ["online", "offline", "visibilitychange"]) {
            globalThis.addEventListener?.(type, () => this.#check(),
                                          { signal: this.#closed.signal });
        }
        this.#open();
    }

    /** @param {string} name @returns {Room} */
    room(name) {
        if (!this.rooms.has(name)) {
            this.rooms.set(name, new Room(name, this.#options.now));
        }
        return this.rooms.get(name);
    }

    /** @param {...string} rooms */
    subscribe(...rooms) {
        rooms = rooms.filter((room) => !this.#wanted.has(room));
        rooms.forEach((room) => this.#wanted.add(room));
        this.#tell("subscribe", rooms);
    }

    /** @param {...string} rooms */
    unsubscribe(...rooms) {
        rooms.forEach((room) => this.#wanted.delete(room));
        this.#tell("unsubscribe", rooms);
    }

    close() {
        this.#closed.abort();
        clearInterval(this.#ticker);
        this.#leave();
        this.#become("closed");
    }

    #tell(op, rooms) {
        const link = rooms[0] && this.#link;

        if (link?.send) {
            link.send({ op, rooms });
        } else if (link) {
            this.#later(0);
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
        this.rooms.forEach((room) => room.parts = null);
    }

    #later(delay) {
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.#open(), delay);
    }

    #open() {
        this.#leave();
        this.transport = this.#options.transports[this.#choice];

        const controller = new AbortController(), { signal } = controller;
        const ours = (act) => (value) => signal.aborted || act(value);
        const link = this.#link = {
            ...this.#options,
            signal,
            begun: Date.now(),
            heard: 0,
            resumed: this.cursor,
            abort: () => controller.abort(),
            url: (wait) => this.#address(wait),
            hear: ours(() => this.#heard(link)),
            frame: ours((text) => this.#frame(link, text)),
            lost: ours((status) => this.#lost(link, status)),
        };
        Promise.resolve(link).then(TRANSPORTS[this.transport])
            .catch((error) => link.lost(error.status));
    }

    #address(wait) {
        const url = new URL(this.#url), query = url.searchParams;
        this.#wanted.forEach((room) => query.append("room", room));
        if (this.cursor) {
            query.set("cursor", this.cursor);
        }
        if (wait >= 0) {
            query.set("wait", wait + "s");
        }
        return url.href;
    }

    #heard(link) {
        if (!link.heard) {              // told is only what is not
            this.rooms.forEach((room) => room.since && room.take(
                { type: "status", state: "live", since: 0 }));
        }
        link.heard = Date.now();
        this.#proven = this.transport;
        this.#become("live");
    }

    #frame(link, text) {
        this.#heard(link);
        try {
            JSON.parse(text).forEach((message) => this.#take(link, message));
        } catch {
            link.lost();
        }
        this.emit("frame");
    }

    #take(link, message) {
        const { type, room } = message;

        if (type === "cursor") {
            this.cursor = message.cursor;
        } else if (type === "pong") {
            this.latency = Date.now() - link.pinged;
            link.asked = 0;
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
            if (room) {
                this.room(room).take(message);
            }
        }
    }

    /* What worked is tried again, then the next, then a pause. */
    #lost(link, status) {
        const worked = link.heard > 0;
        let pause = true;

        this.#leave();
        this.latency = null;
        this.#failures = worked ? +(Date.now() - link.begun < STEADY)
            : this.#failures + 1;

        if (!worked && (this.transport !== this.#proven
                        || this.#failures % LOYALTY === 0)) {
            this.#choice = (this.#choice + 1) % link.transports.length;
            pause = this.#choice === 0;
        }
        this.#later(link.retry ?? (pause ? Math.random() * Math.min(
            BACKOFF_MOST, BACKOFF * 2 ** this.#failures) : 0));

        if (status) {
            this.emit("error", { status });
        }
        if (pause) {
            this.#become(globalThis.navigator?.onLine === false
                         || this.#failures > 5 ? "offline" : "reconnecting");
        }
    }

    #tick() {
        const link = this.#link, now = Date.now();
        const slept = now - this.#ticked > SLEPT;

        this.#ticked = now;
        if (!link) {
            return;
        }
        if (slept && link.heard) {
            this.#check();
        } else if (link.send) {
            if (!link.asked && now - link.pinged > PING) {
                link.ping();
            } else if (link.asked
                       && now - Math.max(link.asked, link.heard) > ANSWER) {
                link.lost();
            }
        } else if (link.heard ? now - link.heard > link.silence
                              : now - link.begun > link.patience) {
            link.heard = 0;
            link.lost();
        }
    }

    /* It may be dead after a sleep; a hidden tab takes none of the few. */
    #check() {
        if (this.#link?.send) {
            this.#link.ping();
        } else if (globalThis.document?.hidden) {
            this.#leave();
        } else {
            this.#choice = this.#failures = 0;
            this.#open();
        }
    }
}

/** @param {string} url @param {Options} [options] */
export const connect = (url, options = {}) => new Connection(url, options);
