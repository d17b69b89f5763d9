// A page's way to a fog: mqtt.js over websockets, in MQTT 3.1.1 or 5. node mqttjs.mjs <npm folder> <port> <version>
import path from "node:path";
import { createRequire } from "node:module";

const [npm, port, protocolVersion] = process.argv.slice(2);
const mqtt = createRequire(path.join(npm, "package.json"))("mqtt");
const me = `page-${protocolVersion}`;
const client = mqtt.connect(`ws://127.0.0.1:${port}`, { clientId: me, protocolVersion: Number(protocolVersion) });
const waiting = new Map();

client.on("error", (error) => {
  console.error(error);
  process.exit(1);
});
client.on("message", (topic, payload) => {
  const said = JSON.parse(payload);
  for (const reply of Array.isArray(said) ? said : [said])
    if (!["accepted", "progress"].includes(reply.type)) waiting.get(reply.id)?.(reply);
});

function run(id, name, args, fields = {}) {
  const task = JSON.stringify({ type: "task", id, name, args, ...fields });
  return new Promise((settle) => {
    const send = () => client.publish(`fog/v1/home/task/${me}`, task); // the same id: it runs once
    const again = setInterval(send, 1000);
    waiting.set(id, (reply) => {
      clearInterval(again);
      settle(reply);
    });
    send();
  });
}

await new Promise((connected) => client.on("connect", connected));
await client.subscribeAsync(`fog/v1/home/reply/${me}`);
const outcomes = await Promise.all([
  run("1", "increment", [41]),
  run("2", "give_back", ["grüß", null, [1.5]]),
  run("3", "fail", ["no such book"]),
  run("4", "fly", []),
]);
const receipt = (await run("5", "increment", [1], { keep: 60000 })).value.receipt;
outcomes.push(await run("6", "fog.fetch", [receipt]));
for (const { type, value, error, reason } of outcomes) console.log(JSON.stringify([type, value ?? error ?? reason]));
await client.endAsync();
