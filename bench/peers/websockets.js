// A fan-out on uWebSockets as Bun has it: one topic of Kafka, one room.
// bun websockets.js BROKERS TOPIC PORT

const { Kafka, logLevel } = require("kafkajs");

const [brokers, topic, port] = process.argv.slice(2);
const compress = Boolean(process.env.COMPRESS);
const latest = new Map();
let snapshot;

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: Number(port),
  fetch(request, self) {
    return self.upgrade(request)
      ? undefined : new Response("not a WebSocket", { status: 400 });
  },
  websocket: {
    perMessageDeflate: compress && { compress: "dedicated", decompress: false },
    open(socket) {
      socket.subscribe("room");
      snapshot ??= `[${[...latest.values()].join()}]`;
      socket.send(snapshot, compress);
    },
    message() {},
  },
});

const kafka = new Kafka({ brokers: [brokers], logLevel: logLevel.NOTHING });
const consumer = kafka.consumer({ groupId: "websockets-" + process.pid });
await consumer.connect();
await consumer.subscribe({ topic });
consumer.on(consumer.events.GROUP_JOIN, () => console.log("ready"));
await consumer.run({
  eachMessage: async ({ message }) => {
    const value = message.value.toString();
    latest.set(message.key?.toString(), value);
    snapshot = undefined;
    server.publish("room", value, compress);
  },
});
