// A fan-out as it is often written: Socket.IO and kafkajs.
// node socketio.js BROKERS TOPIC PORT

const { Kafka, logLevel } = require("kafkajs");
const { Server } = require("socket.io");

const [brokers, topic, port] = process.argv.slice(2);
const io = new Server(Number(port), {
  transports: ["websocket"],
  perMessageDeflate: process.env.COMPRESS ? { threshold: 0 } : false,
});
const latest = new Map();

io.on("connection", (socket) => {
  socket.join("room");
  socket.emit("snapshot", [...latest.values()]);
});

async function main() {
  const kafka = new Kafka({ brokers: [brokers], logLevel: logLevel.NOTHING });
  const consumer = kafka.consumer({ groupId: "socketio-" + process.pid });
  await consumer.connect();
  await consumer.subscribe({ topic });
  consumer.on(consumer.events.GROUP_JOIN, () => console.log("ready"));
  await consumer.run({
    eachMessage: async ({ message }) => {
      const value = JSON.parse(message.value.toString());
      latest.set(message.key?.toString(), value);
      io.to("room").emit("record", value);
    },
  });
}

main();
