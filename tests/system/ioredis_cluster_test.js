// ioredis's cluster client against a server with cluster-ports, found at 127.0.0.1:<argument>; <argument> threads. Run by
// test_ioredis.py; exit code 0 when all is well.
"use strict";

const assert = require("assert");
const Redis = require("ioredis");

const [port, threads] = process.argv.slice(2).map(Number);

async function traffic(redis) {
  const sums = { commands: 0, hops: 0 };
  for (const [, fields] of (await redis.info("shards")).matchAll(/^shard\d+:(.*)$/gm)) {
    sums.commands += Number(/commands=(\d+)/.exec(fields)[1]);
    sums.hops += Number(/hops_sent=(\d+)/.exec(fields)[1]);
  }
  return sums;
}

async function main() {
  const plain = new Redis({ port });
  for (const seed of [port, port + threads]) {
    // The ready check reads CLUSTER INFO, and the slots are refreshed with CLUSTER SLOTS.
    const cluster = new Redis.Cluster([{ host: "127.0.0.1", port: seed }]);
    await cluster.flushall();
    assert.deepStrictEqual(
      cluster.nodes("master").map((node) => node.options.port).filter((at) => at !== port).sort(),
      Array.from({ length: threads }, (_, i) => port + 1 + i)
    );

    const before = await traffic(plain);
    await Promise.all(Array.from({ length: 500 }, (_, i) => cluster.set(`key:${i}`, i)));
    for (let i = 0; i < 500; i++) assert.strictEqual(await cluster.get(`key:${i}`), String(i));
    const replies = await cluster.pipeline([["set", "{u}a", "1"], ["incr", "{u}a"], ["mget", "{u}a", "{u}b"]]).exec();
    assert.deepStrictEqual(replies, [[null, "OK"], [null, 2], [null, ["2", null]]]);
    assert.deepStrictEqual(await cluster.multi().incr("{u}a").get("{u}a").exec(), [[null, 3], [null, "3"]]);
    const after = await traffic(plain);
    const share = (after.hops - before.hops) / (after.commands - before.commands);
    assert.ok(share < 0.02, `${share} hops per command`);

    const sizes = await Promise.all(cluster.nodes("master").filter((node) => node.options.port !== port).map((node) => node.dbsize()));
    assert.strictEqual(sizes.reduce((a, b) => a + b), 501);
    const listener = new Redis.Cluster([{ host: "127.0.0.1", port: seed }]);
    const heard = new Promise((resolve) => listener.on("message", (channel, text) => resolve([channel, text])));
    await listener.subscribe("news");
    await cluster.publish("news", "x");
    assert.deepStrictEqual(await heard, ["news", "x"]);
    listener.disconnect();
    await cluster.quit();
  }
  plain.disconnect();
  console.log("ioredis cluster: all well");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
