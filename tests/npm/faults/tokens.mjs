// Tokens that a server rejects, on every transport, and at the wrong moment.
import assert from "node:assert/strict";
import { test } from "../../harness.mjs";
import { connect, pending, settled, transports, until, withHub } from "./hub.mjs";

const tokenOf = ({ headers, url }) => headers.authorization?.slice(7) ?? new URL(url, "http://hub").searchParams.get("access_token");

for (const transport of transports) {
  test(`a token that is rejected is renewed once, ${transport}`, withHub({}, async ({ url, ...hub }) => {
    let tokens = 0;
    let valid = 1;
    const connection = connect(url, { transport, accessTokenFactory: () => `token-${(tokens += 1)}` }, (builder) => builder.withAutomaticReconnect([0]));
    hub.options.refuse = (request) => (Number(tokenOf(request)?.slice(6)) < valid ? 401 : undefined);
    await connection.start();
    assert.equal(tokens, 1);
    // Rejected while it is up: by a POST, by a poll, or by what follows a loss.
    valid = 2;
    if (transport === "WebSockets") {
      const again = new Promise((done) => connection.onreconnected(done));
      hub.last().drop();
      await again;
    }
    assert.equal(await connection.invoke("Echo", 1), 1);
    assert.equal(tokens, 2);
    // One that is no better.
    valid = Infinity;
    const closed = new Promise((done) => connection.onclose(done));
    const before = tokens;
    if (transport !== "LongPolling") assert.ok(transport === "WebSockets" || (await settled(connection.invoke("Echo", 2))) instanceof Error);
    hub.last().drop();
    await closed;
    assert.ok(tokens - before <= 4, `${tokens - before} tokens`);
    const asked = tokens;
    assert.equal((await settled(connection.start())).statusCode, 401);
    assert.equal(tokens - asked, 2);
  }));

  test(`stop while a rejected token is renewed, ${transport}`, withHub({}, async ({ url, ...hub }) => {
    const gate = pending();
    let asked = 0;
    const accessTokenFactory = () => ((asked += 1), asked === 1 ? "first" : gate.promise);
    hub.options.refuse = ({ url: path, headers }) => !path.includes("negotiate") && headers.authorization === "Bearer first" && hub.isUp !== false && 401;
    const connection = connect(url, { transport, accessTokenFactory });
    const start = settled(connection.start());
    await until(() => asked === 2);
    await connection.stop();
    assert.match((await start).message, /stopped|before stop\(\)/);
    gate.reject(new Error("late"));
    await new Promise((done) => setImmediate(done));
    // And while it is up.
    asked = 0;
    const never = connect(url, { transport, accessTokenFactory: () => ((asked += 1), asked === 1 ? "first" : new Promise(() => {})) });
    const { refuse } = hub.options;
    hub.options.refuse = undefined;
    await never.start();
    hub.options.refuse = refuse;
    const call = settled(never.invoke("Never"));
    if (transport !== "WebSockets") await until(() => asked === 2);
    await never.stop();
    assert.ok((await call) instanceof Error);
  }));
}

test("requests that are rejected at once ask for one token", withHub({}, async ({ url, ...hub }) => {
  let tokens = 0;
  const accessTokenFactory = async () => {
    tokens += 1;
    await new Promise((done) => setTimeout(done, 20));
    return `token-${tokens}`;
  };
  const connection = connect(url, { transport: "LongPolling", accessTokenFactory });
  await connection.start();
  await until(() => hub.last().poll);
  const { poll } = hub.last();
  let rejected = 0;
  const both = pending();
  hub.options.refuse = async (request) => {
    if (tokenOf(request) !== "token-1") return undefined;
    rejected += 1;
    if (rejected === 2) both.resolve();
    await both.promise;
    return 401;
  };
  // The next poll meets the POST.
  hub.last().send({ type: 6 });
  assert.equal(await connection.invoke("Echo", 1), 1);
  await until(() => hub.last().poll && hub.last().poll !== poll);
  assert.deepEqual([rejected, tokens], [2, 2]);
  await connection.stop();
}));

test("a redirect brings a token, which is not asked of the provider, and goes to no other server", withHub({}, async ({ url, ...hub }) => {
  let tokens = 0;
  const other = `${url}/other`;
  hub.options.negotiate = (request) => (request.url.startsWith("/hub/other") ? undefined : { url: other, accessToken: "redirected", availableTransports: undefined });
  for (const transport of transports) {
    const connection = connect(url, { transport, accessTokenFactory: () => `own-${(tokens += 1)}` });
    const before = hub.requests.length;
    await connection.start();
    await connection.send("x");
    await connection.stop();
    const [first, ...rest] = hub.requests.slice(before);
    assert.match(tokenOf(first), /^own-/);
    assert.deepEqual([...new Set(rest.map(tokenOf))], ["redirected"]);
  }
  assert.equal(tokens, 3);
  hub.options.refuse = ({ url: path }) => path.startsWith("/hub/other") && 401;
  assert.ok((await settled(connect(url, { accessTokenFactory: () => "own" }).start())) instanceof Error);
}));

test("a refresh whose provider or server fails, twice at once, and at the end", withHub({}, async ({ url, ...hub }) => {
  let next = () => "token";
  const connection = connect(url, { accessTokenFactory: () => next() });
  await connection.start();
  next = () => Promise.reject(new Error("the provider says no"));
  const failed = await Promise.all([connection.refreshAuthentication(), connection.refreshAuthentication()].map(settled));
  for (const error of failed) assert.match(error.message, /the provider says no/);
  next = () => "token";
  hub.options.refuse = () => 500;
  assert.match((await settled(connection.refreshAuthentication())).message, /500/);
  const gate = pending();
  hub.options.refuse = () => gate.promise;
  const before = hub.requests.length;
  const last = settled(connection.refreshAuthentication());
  await until(() => hub.requests.length > before);
  await connection.stop();
  assert.ok((await last) instanceof Error);
  gate.resolve();
}));
