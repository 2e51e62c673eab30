// Queries a node's store as a browser would: over WebSocket, noise and mplex, with the published client.
//
// node query.mjs ADDRESS CLUSTER SHARD CONTENT_TOPIC COUNT PATIENCE
//
// Prints one JSON object: the hashes found by content topic, and those found again by hash. Where fewer than COUNT are there, it
// asks again until there are, or until PATIENCE (milliseconds) is over.
import "./polyfill.mjs";

const { createLightNode } = await import("@waku/sdk");

// What it is about, for who reads why it said no more.
const say = (what) => process.stderr.write(`${(performance.now() / 1000).toFixed(1)} s: ${what}\n`);

const [address, cluster, shard, contentTopic, count, patience] = process.argv.slice(2);

const node = await createLightNode({
  networkConfig: { clusterId: Number(cluster), shards: [Number(shard)] },
  defaultBootstrap: false,
  discovery: { dns: false, peerExchange: false, peerCache: false },
  libp2p: { filterMultiaddrs: false, hideWebSocketInfo: true },
});
await node.start();
say("started");
await node.dial(address, ["store"]);
say("connected");
await node.waitForPeers(["store"], 10_000);
say("sees the store");

const decoder = node.createDecoder({ contentTopic, shardId: Number(shard) });

const query = async (options) => {
  const found = [];
  await node.store.queryWithOrderedCallback([decoder], (message) => { found.push(message); }, options);
  return found;
};

const deadline = Date.now() + Number(patience);
let byTopic = [];
for (;;) {
  byTopic = await query({ paginationLimit: 100 });
  say(`found ${byTopic.length}`);
  if (byTopic.length >= Number(count) || Date.now() > deadline) break;
  await new Promise((resolve) => setTimeout(resolve, 200));
}
// The client computes hashes by itself: the messages have to be what the node said they are.
const hashes = byTopic.map((message) => message.hash);
const byHash = hashes.length === 0 ? [] : await query({ messageHashes: hashes, paginationLimit: 100 });
say(`found ${byHash.length} again`);
const muxers = node.libp2p.getConnections().map((connection) => connection.multiplexer);
const found = JSON.stringify({
  byTopic: byTopic.map((message) => message.hashStr),
  byHash: byHash.map((message) => message.hashStr),
  muxers,
});
await node.stop();
say("stopped");
// What is written to a pipe leaves later: an exit before that would cut it off.
process.stdout.write(found + "\n", () => process.exit(0));
