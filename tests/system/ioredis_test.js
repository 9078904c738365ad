// ioredis in typical use against the server at 127.0.0.1:<argument>. Run by test_ioredis.py; exit code 0 when all is well.
"use strict";

const assert = require("assert");
const Redis = require("ioredis");

const port = Number(process.argv[2]);

async function main() {
  // The ready check reads INFO (loading, role, redis_version) before any command goes out.
  const redis = new Redis({ port, connectionName: "io", maxRetriesPerRequest: 1 });
  await redis.flushall();
  assert.strictEqual(redis.status, "ready");
  assert.strictEqual(await redis.client("GETNAME"), "io");

  // strings
  assert.strictEqual(await redis.set("a", "1"), "OK");
  assert.strictEqual(await redis.get("a"), "1");
  assert.strictEqual(await redis.get("nosuch"), null);
  assert.strictEqual(await redis.set("a", "2", "NX"), null);
  assert.strictEqual(await redis.set("a", "2", "EX", 100, "GET"), "1");
  assert.ok((await redis.ttl("a")) > 90);
  assert.strictEqual(await redis.incr("a"), 3);
  assert.strictEqual(await redis.incrbyfloat("f", 0.5), "0.5");
  assert.strictEqual(await redis.mset({ x: 1, y: 2 }), "OK");
  assert.deepStrictEqual(await redis.mget("x", "nosuch", "y"), ["1", null, "2"]);
  const binary = Buffer.from([0, 13, 10, 255]);
  await redis.set(binary, binary);
  assert.ok((await redis.getBuffer(binary)).equals(binary));
  await assert.rejects(redis.incr("f"), /value is not an integer or out of range/);
  await assert.rejects(redis.call("NOSUCH", "a"), /unknown command 'NOSUCH', with args beginning with: 'a'/);

  // pipelines, explicit and automatic
  const pipeline = redis.pipeline();
  for (let i = 0; i < 1000; i++) pipeline.set(`k${i}`, i).get(`k${i}`);
  const replies = await pipeline.exec();
  for (let i = 0; i < 1000; i++) assert.deepStrictEqual(replies[2 * i + 1], [null, String(i)]);
  const auto = new Redis({ port, enableAutoPipelining: true });
  const values = await Promise.all(Array.from({ length: 500 }, (_, i) => auto.get(`k${i}`)));
  values.forEach((value, i) => assert.strictEqual(value, String(i)));

  // iteration, key prefix, databases
  const seen = new Set();
  for await (const keys of redis.scanStream({ match: "k*", count: 50 })) keys.forEach((key) => seen.add(key));
  assert.strictEqual(seen.size, 1000);
  const prefixed = new Redis({ port, keyPrefix: "p:", db: 2 });
  await prefixed.set("k", "v");
  assert.strictEqual(await prefixed.dbsize(), 1);
  await redis.select(2);
  assert.strictEqual(await redis.get("p:k"), "v");
  await redis.select(0);

  // expiry
  await redis.set("short", "x", "PX", 20);
  for (const end = Date.now() + 10000; (await redis.get("short")) !== null; ) assert.ok(Date.now() < end, "never expired");

  // transactions and waiting, on a server that has them
  const has = async (name) => (await redis.call("COMMAND", "INFO", name))[0] !== null;
  if (await has("multi")) {
    const other = redis.duplicate();
    const set = await redis.multi().set("t", 1).incr("t").mget("t", "nosuch", "x").get("f").exec();
    assert.deepStrictEqual(set, [[null, "OK"], [null, 2], [null, ["2", null, "1"]], [null, "0.5"]]);
    const partly = await redis.multi().incr("f").set("t", 3).exec();
    assert.match(partly[0][0].message, /not an integer/);
    assert.deepStrictEqual(partly[1], [null, "OK"]);
    await assert.rejects(redis.multi().set("t", 9).call("NOSUCH").exec(), /EXECABORT/);
    await redis.watch("t", "x");
    await other.incr("t");
    assert.strictEqual(await redis.multi().set("t", 9).exec(), null);
    assert.strictEqual(await redis.get("t"), "4");
    await redis.multi({ pipeline: false });
    assert.strictEqual(await redis.set("t", 10), "QUEUED");
    assert.deepStrictEqual(await redis.exec(), [[null, "OK"]]);
    if (await has("blpop")) {
      const waiting = other.blpop("queue1", "queue2", 0);
      await redis.rpush("queue2", "job");
      assert.deepStrictEqual(await waiting, ["queue2", "job"]);
      assert.strictEqual(await other.blmove("queue1", "queue2", "LEFT", "RIGHT", 0.01), null);
    }
    assert.strictEqual(await other.quit(), "OK");
  }

  // pub/sub, also duplicated connections and binary messages; a subscriber comes back with its subscriptions
  if (await has("subscribe")) {
    const listener = redis.duplicate();
    const heard = [];
    const next = (count) => new Promise((resolve) => { const look = setInterval(() => heard.length >= count && (clearInterval(look), resolve()), 5); });
    listener.on("message", (channel, text) => heard.push([channel, text]));
    listener.on("pmessage", (pattern, channel, text) => heard.push([pattern, channel, text]));
    assert.strictEqual(await listener.subscribe("news", "jobs"), 2);
    assert.strictEqual(await listener.psubscribe("n*"), 3);
    await assert.rejects(listener.get("k"), /subscriber mode|only \(P\|S\)SUBSCRIBE/);
    assert.strictEqual(await redis.publish("news", "x"), 2);
    await next(2);
    assert.deepStrictEqual(heard, [["news", "x"], ["n*", "news", "x"]]);
    const again = new Promise((resolve) => listener.once("close", () => listener.once("ready", resolve)));
    await redis.client("KILL", "TYPE", "pubsub");
    await again;
    for (let got = 0; got < 2; ) got = await redis.publish("news", "y");
    await next(4);
    assert.strictEqual(await listener.unsubscribe("news", "jobs"), 1);
    assert.strictEqual(await listener.punsubscribe(), 0);
    assert.strictEqual(await listener.get("nosuch"), null);
    await listener.quit();
  }

  // reconnect after CLIENT KILL: offline queue, same database again
  const victim = new Redis({ port, db: 2, retryStrategy: () => 10 });
  const id = await victim.client("ID");
  const reconnected = new Promise((resolve) => victim.once("close", () => victim.once("ready", resolve)));
  assert.strictEqual(await redis.client("KILL", "ID", id), 1);
  await reconnected;
  assert.strictEqual(await victim.get("p:k"), "v");

  // QUIT answers OK and closes
  for (const client of [auto, prefixed, victim, redis]) assert.strictEqual(await client.quit(), "OK");
}

main().then(
  () => console.log("ioredis: all well"),
  (failure) => {
    console.error(failure);
    process.exit(1);
  }
);
