/**
 * Events: "snapshot" {items, complete} (replaces all), "update" Item,
 * "delete" {key, ts}, "status" {state, since}, "reset" {reason}, "error".
 */
export class Room extends Emitter {
    /** @param {string} name @param {() => number} now */
    constructor(name: string, now: () => number);
    /** @type {Map<string, Item>} the newest of each key */
    items: Map<string, Item>;
    /** @type {"waiting" | "live" | "stale" | "down"} */
    state: "waiting" | "live" | "stale" | "down";
    since: number;
    complete: boolean;
    newest: number;
    /** @protected */
    protected parts: any;
    name: string;
    now: () => number;
    /** ms since the newest record */
    get age(): number;
    /** @protected */
    protected take(message: any): void;
}
/**
 * Events: "state" State, "frame" (all of one was taken), "latency" ms,
 * "end", "error" {status} or {op, room, code, message}.
 */
export class Connection extends Emitter {
    /** @param {string} url @param {Options} options */
    constructor(url: string, options: Options);
    /** @type {State} */
    state: State;
    /** @type {Transport} */
    transport: Transport;
    /** @type {number | null} ms there and back, over a WebSocket */
    latency: number | null;
    /** @type {Map<string, Room>} */
    rooms: Map<string, Room>;
    /** for a later connect() */
    cursor: string;
    /** @param {string} name @returns {Room} */
    room(name: string): Room;
    /** @param {...string} rooms */
    subscribe(...rooms: string[]): void;
    /** @param {...string} rooms */
    unsubscribe(...rooms: string[]): void;
    close(): void;
    #private;
}
export function connect(url: string, options?: Options): Connection;
/**
 * flux.js: the rooms of an nginx with the Flux module, in a browser or Node.
 *
 *   const live = connect("/live", { rooms: ["weather/paris"] });
 *   live.room("crypto").on("update", ({ key, ts, data }) => show(key, data));
 *   live.on("state", (state) => ...);    // live, reconnecting, offline
 *
 * After a cut it goes on at its cursor, or "reset" and "snapshot" tell.
 */
export type Item = {
    key: string;
    ts: number;
    data: any;
};
/**
 * flux.js: the rooms of an nginx with the Flux module, in a browser or Node.
 *
 *   const live = connect("/live", { rooms: ["weather/paris"] });
 *   live.room("crypto").on("update", ({ key, ts, data }) => show(key, data));
 *   live.on("state", (state) => ...);    // live, reconnecting, offline
 *
 * After a cut it goes on at its cursor, or "reset" and "snapshot" tell.
 */
export type Transport = "websocket" | "sse" | "poll";
/**
 * flux.js: the rooms of an nginx with the Flux module, in a browser or Node.
 *
 *   const live = connect("/live", { rooms: ["weather/paris"] });
 *   live.room("crypto").on("update", ({ key, ts, data }) => show(key, data));
 *   live.on("state", (state) => ...);    // live, reconnecting, offline
 *
 * After a cut it goes on at its cursor, or "reset" and "snapshot" tell.
 */
export type State = "connecting" | "live" | "reconnecting" | "offline" | "closed";
/**
 * flux.js: the rooms of an nginx with the Flux module, in a browser or Node.
 *
 *   const live = connect("/live", { rooms: ["weather/paris"] });
 *   live.room("crypto").on("update", ({ key, ts, data }) => show(key, data));
 *   live.on("state", (state) => ...);    // live, reconnecting, offline
 *
 * After a cut it goes on at its cursor, or "reset" and "snapshot" tell.
 */
export type Options = {
    /**
     * beside the location's own
     */
    rooms?: string[];
    /**
     * where to go on
     */
    cursor?: string;
    /**
     * in the order to try
     */
    transports?: Transport[];
    /**
     * ms for a transport's first word
     */
    patience?: number;
    /**
     * ms: over two flux_heartbeats
     */
    silence?: number;
    /**
     * the clock for ages
     */
    now?: () => number;
    WebSocket?: any;
};
declare class Emitter {
    /**
     * @param {string} type
     * @param {(event: any) => void} handler
     * @returns {() => void} undo
     */
    on(type: string, handler: (event: any) => void): () => void;
    /** @protected */
    protected emit(type: any, event: any): void;
    #private;
}
export {};
