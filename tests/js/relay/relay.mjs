// A relay node of Waku, with the published client: over WebSocket, noise and mplex.
//
// node relay.mjs CLUSTER SHARD CONTENT_TOPIC ADDRESS...
//
// Connects to each address, prints {"ready": true} once all of them are in its mesh, then {"received": TEXT} for each message that
// comes; each line on standard input is sent, and answered with {"sent": TEXT, "to": PEERS}.
import "./polyfill.mjs";
import { createInterface } from "node:readline";

const { createRelayNode } = await import("@waku/sdk/relay");
const { createDecoder, createEncoder } = await import("@waku/sdk");

const [cluster, shard, contentTopic, ...addresses] = process.argv.slice(2);
const pubsubTopic = `/waku/2/rs/${cluster}/${shard}`;
const pubsubTopicShardInfo = { clusterId: Number(cluster), shard: Number(shard) };
const say = (what) => console.log(JSON.stringify(what));

const node = await createRelayNode({
  networkConfig: { clusterId: Number(cluster), shards: [Number(shard)] },
  defaultBootstrap: false,
  pubsubTopics: [pubsubTopic],
  libp2p: { filterMultiaddrs: false, hideWebSocketInfo: true },
});
await node.start();
const encoder = createEncoder({ contentTopic, pubsubTopicShardInfo });
const decoder = createDecoder(contentTopic, pubsubTopicShardInfo);
await node.relay.subscribeWithUnsubscribe([decoder], (message) => {
  say({ received: Buffer.from(message.payload).toString() });
});
for (const address of addresses) await node.dial(address);

const deadline = Date.now() + 30_000;
while (node.relay.gossipSub.getMeshPeers(pubsubTopic).length < addresses.length) {
  if (Date.now() > deadline) throw new Error("the nodes did not come into the mesh");
  await new Promise((resolve) => setTimeout(resolve, 50));
}
say({ ready: true });

for await (const line of createInterface({ input: process.stdin })) {
  const result = await node.relay.send(encoder, { payload: Buffer.from(line) });
  say({ sent: line, to: result.successes.length, failures: result.failures });
}
await node.stop();
process.exit(0);
