// Stopping at every step, and starting again.
import assert from "node:assert/strict";
import { test } from "../../harness.mjs";
import { connect, hubwire, ownTransport, pending, settled, transports, until, withHub } from "./hub.mjs";

const STOPPED = /stopped before the hub handshake|stopped during negotiation|before stop\(\) was called/;
const retries = (delays) => (builder) => builder.withAutomaticReconnect(delays);

/** Stops, twice, what is starting, then starts it again for good. */
async function stopAndStart(connection, go) {
  const start = settled(connection.start());
  await go.when();
  const stops = [connection.stop(), connection.stop()];
  assert.match((await start).message, STOPPED);
  await Promise.all(stops);
  assert.equal(connection.state, "Disconnected");
  go.free?.();
  go.again?.();
  await connection.start();
  assert.equal(await connection.invoke("Echo", "x"), "x");
  await connection.stop();
}

for (const transport of transports) {
  const name = (what) => `stop while ${what}, ${transport}`;

  test(name("a token is pending"), withHub({}, async ({ url }) => {
    const gate = pending();
    let asked = false;
    const connection = connect(url, { transport, accessTokenFactory: () => ((asked = true), gate.promise) });
    await stopAndStart(connection, { when: () => until(() => asked), free: () => gate.resolve("late") });
  }));

  test(name("negotiate is pending"), withHub({}, async ({ url, ...hub }) => {
    const gate = pending();
    hub.options.refuse = () => gate.promise;
    const connection = connect(url, { transport });
    await stopAndStart(connection, { when: () => until(() => hub.requests.length > 0), free: () => gate.resolve() });
  }));

  test(name("connect is pending"), withHub({}, async ({ url, ...hub }) => {
    const gate = pending();
    hub.options.refuse = (request) => (request.url.includes("negotiate") ? undefined : gate.promise);
    const connection = connect(url, { transport });
    await stopAndStart(connection, { when: () => until(() => hub.requests.length > 1), free: () => gate.resolve() });
  }));

  test(name("the handshake is pending"), withHub({ silent: true }, async ({ url, ...hub }) => {
    const connection = connect(url, { transport });
    await stopAndStart(connection, {
      when: () => until(() => hub.last?.()?.handshakes > 0 || [...hub.clients.values()].some(({ handshakes }) => handshakes)),
      again: () => (hub.options.silent = false),
    });
  }));

  test(name("nothing has happened yet"), withHub({}, async ({ url }) => {
    await stopAndStart(connect(url, { transport }), { when: () => {} });
    await stopAndStart(connect(url, { transport }), { when: () => Promise.resolve() });
  }));

  test(`stop and start within every callback, ${transport}`, withHub({}, async ({ url, ...hub }) => {
    for (const event of ["onreconnecting", "onreconnected", "onclose", "handler"]) {
      const connection = connect(url, { transport }, retries([0]));
      const done = pending();
      let closes = 0;
      connection.onclose(() => {
        closes += 1;
        if (event === "onclose" && closes === 1) connection.start().then(done.resolve, done.reject);
      });
      const stop = () => {
        settled(connection.start()).then((error) => assert.match(error.message, /Cannot start/));
        connection.stop().then(() => connection.start()).then(done.resolve, done.reject);
      };
      if (event === "handler") connection.on("go", stop);
      else if (event !== "onclose") connection[event](stop);
      await connection.start();
      if (event === "handler") hub.last().send({ type: 1, target: "go", arguments: [] }, { type: 1, target: "go", arguments: [] });
      else if (event === "onclose") hub.last().send({ type: 7 });
      else hub.last().drop();
      await done.promise;
      assert.equal(closes, 1, event);
      assert.equal(await connection.invoke("Echo", 7), 7);
      await connection.stop();
      assert.equal(closes, 2, event);
    }
  }));

  test(`stop while reconnecting, in every step, ${transport}`, withHub({}, async ({ url, ...hub }) => {
    for (const step of ["waiting", "negotiate", "connect"]) {
      const gate = pending();
      const connection = connect(url, { transport }, retries([step === "waiting" ? 60_000 : 0]));
      await connection.start();
      const before = hub.requests.length;
      hub.options.refuse = (request) => (step === "negotiate" || !request.url.includes("negotiate") ? gate.promise : undefined);
      const closed = new Promise((done) => connection.onclose(done));
      const pendingCall = settled(connection.invoke("Never", 1));
      hub.last().drop();
      await until(() => connection.state === "Reconnecting");
      assert.match((await pendingCall).message, /./);
      await until(() => step === "waiting" || hub.requests.slice(before).some(({ url: path, method }) => (step === "negotiate") === path.includes("negotiate") && method !== "DELETE"));
      await Promise.all([connection.stop(), connection.stop()]);
      assert.equal(await closed, undefined);
      assert.equal(connection.state, "Disconnected");
      gate.resolve();
      delete hub.options.refuse;
    }
  }));

  test(`baseUrl changes while reconnecting, ${transport}`, withHub({}, async ({ url, ...hub }) => {
    const connection = connect(url, { transport }, retries([0, 0]));
    await connection.start();
    connection.onreconnecting(() => (connection.baseUrl = `${url}?other=1`));
    const before = hub.requests.length;
    const again = new Promise((done) => connection.onreconnected(done));
    hub.last().drop();
    await again;
    const [negotiate] = hub.requests.slice(before).filter(({ url: path }) => path.includes("negotiate"));
    assert.ok(negotiate.url.includes("other=1"), negotiate.url);
    await connection.stop();
  }));
}

test("many connections come and go, without timers left", withHub({}, async ({ url }) => {
  const count = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
  const before = count();
  const all = Array.from({ length: 100 }, () => connect(url, { transport: "WebSockets", skipNegotiation: true }));
  await Promise.all(all.map((connection) => connection.start()));
  assert.ok(count() >= before + 100);
  await Promise.all(all.map((connection) => connection.stop()));
  await until(() => count() <= before + 2);
}));
