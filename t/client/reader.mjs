/*
 * A reader for tests: flux.js in Node, events out and commands in, a JSON
 * value a line. argv: URL, options, the path of a WebSocket module or "".
 */

import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [flux, url, options, ws] = process.argv.slice(2);
const { connect } = await import(pathToFileURL(flux));
const WebSocket = ws
    ? (await import(pathToFileURL(ws))).WebSocket : globalThis.WebSocket;

const say = (event) => console.log(JSON.stringify(event));
const { ahead = 0, closeOn, ...more } = JSON.parse(options);
const live = connect(url, { WebSocket, now: () => Date.now() + ahead,
                            ...more });
const known = new Set();

function follow(name) {
    if (known.has(name)) {
        return;
    }
    known.add(name);
    for (const type of ["snapshot", "update", "delete", "status", "reset"]) {
        live.room(name).on(type, (event) => say({ event: type, room: name,
            key: event.key, ts: event.ts, data: event.data,
            items: event.items, complete: event.complete,
            reason: event.reason, state: event.state }));
    }
}

for (const type of ["state", "error", "end", "latency"]) {
    live.on(type, (event) => say({ event: type, value: event,
        transport: live.transport, at: Date.now() }));
}
if (closeOn) {
    live.on(closeOn, () => live.close());
}
live.on("frame", () => say({ event: "frame", cursor: live.cursor,
                             transport: live.transport }));

createInterface({ input: process.stdin }).on("line", (line) => {
    const { op, rooms = [] } = JSON.parse(line);
    if (op === "follow") {
        rooms.forEach(follow);
    } else if (op === "look") {
        say({ event: "look", state: live.state, cursor: live.cursor,
              rooms: Object.fromEntries([...live.rooms].map(([name, room]) =>
                  [name, { state: room.state, age: room.age,
                           complete: room.complete,
                           items: Object.fromEntries([...room.items].map(
                               ([key, item]) => [key, item.data])) }])) });
    } else {
        live[op](...rooms);
    }
}).on("close", () => process.exit(0));

for (const name of JSON.parse(options).follow ?? []) {
    follow(name);
}
say({ event: "ready" });
