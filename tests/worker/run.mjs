// Worker mode in Chromium on the reference hub, beside what tests/behaviours runs in it. Argument: the package's folder.
// HUBWIRE_TEST_HUB_URL: the hub. HUBWIRE_CHROMIUM: a browser.
import assert from "node:assert/strict";
import { run } from "../harness.mjs";
import { inPage } from "./pages.mjs";

inPage("a page that is busy loses its connection in itself and keeps it in a worker", async () => {
  const states = {};
  const connections = {};
  for (const where of ["official", "page", "worker"]) {
    // This server drops a client that is silent for two seconds.
    connections[where] = build(where, "/impatient", {}, (builder) => builder.withKeepAliveInterval(500));
    await connections[where].start();
  }
  const id = connections.worker.connectionId;
  block(4000);
  for (const [where, connection] of Object.entries(connections)) {
    states[where] = await connection.invoke("Add", 1, 2).catch(() => "lost");
  }
  return { ...states, sameId: connections.worker.connectionId === id };
}, { official: "lost", page: "lost", worker: 3, sameId: true });

inPage("ten thousand messages come in order, and calls between them", async () => {
  const connection = build("worker", "/parallel");
  await connection.start();
  const heard = [];
  connection.on("Said", (n) => heard.push(n));
  const pushed = connection.invoke("PushNumbers", "Said", 10_000);
  const sums = await Promise.all(Array.from({ length: 100 }, (_, n) => connection.invoke("Add", n, 1)));
  await pushed;
  return { count: heard.length, inOrder: heard.every((n, index) => n === index), sums: sums.every((sum, n) => sum === n + 1) };
}, { count: 10_000, inOrder: true, sums: true });

inPage("what comes before an answer is told before it", async () => {
  const connection = build("worker", "/hub");
  await connection.start();
  const order = [];
  connection.on("Said", (n) => order.push(n));
  for (const n of [1, 2, 3]) {
    await connection.invoke("Push", "Said", [n]);
    order.push(`answer ${n}`);
  }
  return order;
}, [1, "answer 1", 2, "answer 2", 3, "answer 3"]);

inPage("several connections share a worker, and another script has another", async () => {
  const connections = [
    build("worker", "/hub"),
    build("worker", "/hub"),
    build("page", "/hub", {}, (builder) => builder.withWorker("/worker.js")),
    build("page", "/hub", {}, (builder) => builder.withWorker(new URL("/worker.js", location.href))),
    build("page", "/hub", {}, (builder) => builder.withWorker(() => new Worker("/worker.js", { name: "own" }))),
  ];
  await Promise.all(connections.map((connection) => connection.start()));
  const sums = await Promise.all(connections.map((connection, n) => connection.invoke("Add", n, 1)));
  await connections[0].stop();
  sums.push(await connections[1].invoke("Add", 10, 1));
  await connections[0].start();
  sums.push(await connections[0].invoke("Add", 20, 1));
  return [sums, new Set(connections.map(({ connectionId }) => connectionId)).size];
}, [[1, 2, 3, 4, 5, 11, 21], 5], (page) => assert.equal(page.workers().length, 4));

inPage("the access token factory is called in the page, and its failure is the start's", async () => {
  const asked = [];
  const token = await (await fetch(`${hub}/token?user=alice`)).text();
  const connection = build("worker", "/secure", { accessTokenFactory: () => { asked.push(typeof document); return token; } });
  await connection.start();
  const { user } = await connection.invoke("WhoAmI");
  const refused = build("worker", "/secure", { accessTokenFactory: async () => { throw new Error("nobody is signed in"); } });
  const { code, message } = await failure(refused.start());
  return { asked, user, code, told: message.includes("nobody is signed in") };
}, { asked: ["object"], user: "alice", code: "AccessToken", told: true });

inPage("logger, retry policy and events are the page's", async () => {
  const lines = [];
  const told = [];
  const connection = build("page", "/hub", {}, (builder) => builder
    .configureLogging({ log: (level, message) => lines.push(message) })
    .withWorker()
    .withAutomaticReconnect({
      nextRetryDelayInMilliseconds: async ({ previousRetryCount, retryReason }) => {
        told.push([previousRetryCount, retryReason instanceof Error, typeof document]);
        return 0;
      },
    }));
  const reconnected = new Promise((resolve) => connection.onreconnected(resolve));
  await connection.start();
  connection.send("Drop");
  await reconnected;
  return { told, sum: await connection.invoke("Add", 1, 2), logged: lines.some((line) => line.startsWith("WebSocket connected to ")) };
}, { told: [[0, true, "object"]], sum: 3, logged: true });

inPage("what was negotiated and the status of a failed start are known", async () => {
  const connection = build("worker", "/hub");
  await connection.start();
  const { transport, connectionId } = connection.negotiated;
  const error = await build("worker", "/fault/status/403").start().catch((error) => error);
  return { transport, same: connectionId === connection.connectionId, status: error.statusCode, isOurs: error instanceof hubwire.HttpError };
}, { transport: "WebSockets", same: true, status: 403, isOurs: true });

inPage("a message that cannot be read ends the connection and says why", async () => {
  const frames = [btoa("{}\u001e"), btoa("no JSON\u001e")].map((frame) => `frame=${encodeURIComponent(frame)}`).join("&");
  const connection = direct("worker", `/pieces?wait=300&${frames}`);
  const closed = new Promise((resolve) => connection.onclose(resolve));
  await connection.start();
  const { code, message, cause } = await closed;
  return { code, cause: cause instanceof Error && message.endsWith(cause.message) };
}, { code: "Protocol", cause: true });

inPage("much that is sent waits for room, and all of it arrives", async () => {
  const connection = direct("worker", "/drain?count=300");
  const done = new Promise((resolve) => connection.on("Done", () => resolve("done")));
  await connection.start();
  const text = "x".repeat(200_000);
  for (let n = 0; n < 300; n++) await connection.send("Message", text);
  return done;
}, "done");

inPage("a page that takes nothing while no end comes loses the connection, not its memory", async () => {
  const connection = direct("worker", "/firehose?payload=text10k&count=1000000&batch=16");
  let end;
  connection.onclose((error) => { end = error; });
  let heard = 0;
  connection.on("Message", () => { heard += 1; });
  await connection.start();
  // Only this page stands still: its worker reads on.
  const before = heard;
  while (!end) {
    block(8000);
    await new Promise((resolve) => setTimeout(resolve));
  }
  return { code: end.code, some: heard > before, all: heard === 1_000_000 };
}, { code: "SlowConsumer", some: true, all: false });

inPage("a script that cannot be loaded, or fails, fails the start", async () => {
  const start = (worker) => failure(build("page", "/hub", {}, (builder) => builder.withWorker(worker)).start());
  return [(await start("/nowhere.js")).code, (await start("/broken.js")).code, (await start(() => { throw new Error("no"); })).code];
}, ["Worker", "Worker", "Worker"]);

inPage("a worker that fails ends its connections, and the next start has another", async () => {
  let worker;
  const connection = build("page", "/hub", {}, (builder) => builder.withWorker(() => (worker = new Worker("/worker.js"))));
  const closed = new Promise((resolve) => connection.onclose(resolve));
  await connection.start();
  const call = failure(connection.invoke("Slow", 60_000));
  worker.dispatchEvent(new ErrorEvent("error", { message: "out of memory" }));
  const { code } = await closed;
  await connection.start();
  return [code, (await call).code, await connection.invoke("Add", 1, 2)];
}, ["Worker", "Worker", 3]);

inPage("a protocol of one's own, and what is no worker, are refused when it is built", () => {
  const code = (how) => {
    try {
      how(new hubwire.HubConnectionBuilder().withUrl("/hub"));
      return "none";
    } catch (error) {
      return error.code;
    }
  };
  const own = { name: "json", version: 1, transferFormat: 1, parseMessages: () => [], writeMessage: () => "" };
  return [code((builder) => builder.withHubProtocol(own).withWorker().build()), code((builder) => builder.withWorker(7))];
}, ["InvalidArgument", "InvalidArgument"]);

const DEATHS = {
  "an error that it does not catch": { body: ({ fail }) => fail("throws") },
  "a promise that it does not catch": { body: ({ fail }) => fail("rejects") },
  "a message that cannot be read": { body: ({ workers }) => workers[0].dispatchEvent(new MessageEvent("messageerror")) },
  "its termination": { body: ({ workers }) => (workers[0].terminate(), pass(40_000)), hasClock: true },
  "its own end, as by a lack of memory": { body: ({ fail, connection }) => (fail("closes"), pass(40_000)), hasClock: true },
};
for (const [name, { body, hasClock }] of Object.entries(DEATHS)) {
  inPage(`a worker that is lost by ${name} is a lost connection, which comes back in another one`, `(async () => {
    const policy = (told) => ({ nextRetryDelayInMilliseconds({ previousRetryCount, retryReason }) {
      told.push(["asked", previousRetryCount, retryReason.code, retryReason instanceof hubwire.HubwireError]);
      return 0;
    } });
    const it = await failing((builder, told) => builder.withAutomaticReconnect(policy(told)));
    const { connection, workers, told, reconnected } = it;
    const heard = [];
    connection.on("Said", (n) => heard.push(n));
    const first = connection.connectionId;
    const call = failure(connection.invoke("Slow", 60_000));
    await (${body})(it);
    const { code } = await call;
    await reconnected;
    await connection.invoke("Push", "Said", [7]);
    return { told, code, heard, isOther: connection.connectionId !== first, workers: workers.length, sum: await connection.invoke("Add", 1, 2) };
  })()`, {
    told: [["asked", 0, "Worker", true], ["Reconnecting", "Worker"], ["Connected", undefined]],
    code: "Worker", heard: [7], isOther: true, workers: 2, sum: 3,
  }, undefined, { hasClock });
}

inPage("a worker that answers is not taken for lost, however long it has nothing to say", async () => {
  const { connection, told, workers } = await failing((builder) => builder.withServerTimeout(1e6));
  for (let n = 0; n < 10; n += 1) {
    await pass(10_000);
    await connection.invoke("Add", n, 1);
  }
  return [told, workers.length];
}, [[], 1], undefined, { hasClock: true });

inPage("a worker that fails again and again waits as the policy says, and gives up when that does", async () => {
  const delays = [0, 200, 400];
  const { workers, told, closed, fail } = await failing((builder, told) => builder.withAutomaticReconnect({
    nextRetryDelayInMilliseconds({ previousRetryCount, elapsedMilliseconds }) {
      told.push(previousRetryCount);
      // Rounded down: 0, then more than the delays so far.
      if (previousRetryCount > 0 && elapsedMilliseconds < [0, 0, 200, 600][previousRetryCount]) told.push(elapsedMilliseconds);
      return delays[previousRetryCount] ?? null;
    },
  }), "/failing.js", "/dying.js");
  fail("throws");
  const { code } = await closed;
  return { told: told.map((entry) => entry[0] ?? entry), code, workers: workers.length };
}, { told: [0, "Reconnecting", 1, 2, 3, "Disconnected"], code: "RetriesExhausted", workers: 5 });

for (const next of ["/mute.js", "/nowhere.js"]) {
  inPage(`a worker after which none comes up ends the connection: ${next}`, `(async () => {
    const { workers, told, closed, fail } = await failing((builder) => builder.withAutomaticReconnect(), "/failing.js", "${next}");
    fail("throws");
    const { code } = await closed;
    return { told, code, workers: workers.length };
  })()`, { told: [["Disconnected", "Worker"]], code: "Worker", workers: 2 });
}

inPage("a connection can be stopped while another worker comes up", async () => {
  const { connection, closed, workers, told, fail } = await failing((builder) => builder.withAutomaticReconnect([5_000]));
  const gone = new Promise((resolve) => workers[0].addEventListener("error", resolve));
  fail("throws");
  await gone;
  await connection.stop();
  return [await closed, connection.state, told.at(-1)];
}, [undefined, "Disconnected", ["Disconnected", undefined]]);

inPage("limits that change while it is up hold, in the next worker as well", async () => {
  const { connection, closed, reconnected, told, fail } = await failing((builder) => builder.withAutomaticReconnect([0]));
  connection.serverTimeoutInMilliseconds = 1e6;
  fail("throws");
  await reconnected;
  // The server's keep-alive is 15 seconds.
  connection.serverTimeoutInMilliseconds = 200;
  connection.keepAliveIntervalInMilliseconds = 1e6;
  while (told.length < 3) await new Promise((resolve) => setTimeout(resolve, 10));
  return told.map(([, code]) => code);
}, ["Worker", undefined, "ServerTimeout"]);

inPage("the private serverTimeout() loses the connection", async () => {
  const ends = [];
  for (const where of ["page", "worker"]) {
    const connection = build(where, "/hub");
    const closed = new Promise((resolve) => connection.onclose(resolve));
    await connection.start();
    connection.serverTimeout();
    const error = await closed;
    ends.push([error.code, error.message, error instanceof hubwire.TimeoutError]);
  }
  return ends;
}, Array(2).fill(["ServerTimeout", "Server timeout elapsed without receiving a message from the server.", true]));

inPage("errors say in a worker what they say in the page", async () => {
  const { LongPolling, WebSockets, ServerSentEvents } = hubwire.HttpTransportType;
  const said = {};
  for (const where of ["page", "worker"]) {
    const start = (path, options, how) => build(where, path, options, how).start().catch(facts);
    const connection = build(where, "/hub");
    await connection.start();
    const frames = [btoa("{}\u001e"), btoa("no JSON\u001e")].map((frame) => `frame=${encodeURIComponent(frame)}`).join("&");
    const broken = direct(where, `/pieces?wait=300&${frames}`);
    const closed = new Promise((resolve) => broken.onclose(resolve));
    await broken.start();
    said[where] = {
      transports: await start("/fault/dead-transports"),
      disabled: await start("/ws", { transport: LongPolling | ServerSentEvents }),
      status: await start("/fault/status/403"),
      page: await start("/fault/html"),
      legacy: await start("/fault/legacy"),
      nobody: await build(where, "", {}, (builder) => builder.withUrl("http://127.0.0.1:1/hub")).start().catch(facts),
      token: await start("/hub", { accessTokenFactory: () => null.token }),
      thrown: await start("/hub", { accessTokenFactory: () => { throw undefined; } }),
      socket: await direct(where, "/nowhere").start().catch(facts),
      method: await connection.invoke("Nowhere").catch(facts),
      refresh: await connection.refreshAuthentication().catch(facts),
      protocol: facts(await closed),
    };
    for (const [name, error] of Object.entries(said[where])) if (!error?.message) throw new Error(`${where}: ${name} has not failed`);
  }
  return Object.keys(said.page).filter((name) => JSON.stringify(said.page[name]) !== JSON.stringify(said.worker[name]))
    .map((name) => [name, said.page[name], said.worker[name]]);
}, []);

inPage("the log says in a worker what it says in the page", async () => {
  const logs = {};
  for (const where of ["page", "worker"]) {
    for (const level of [0, 2]) {
      const lines = [];
      const console_ = { ...console };
      for (const name of ["log", "info", "warn", "error"]) console[name] = (line) => lines.push(line.slice(line.indexOf("]")));
      const logging = level ? "information" : { log: (level, line) => lines.push(`${level} ${line}`) };
      const connection = build(where, "/hub", { logMessageContent: true }, (builder) => builder.configureLogging(logging));
      await connection.start();
      await connection.invoke("Add", 1, 2);
      await connection.stop();
      Object.assign(console, console_);
      logs[where + level] = lines.map((line) => line.replace(/id=.*|"connection(Id|Token)":"[^"]*"|[\d.]+ ?ms/g, "")).sort();
    }
  }
  const more = (a, b) => a.filter((line) => !b.includes(line));
  return [0, 2].map((level) => [more(logs[`page${level}`], logs[`worker${level}`]), more(logs[`worker${level}`], logs[`page${level}`]), logs[`page${level}`].length > 1]);
}, [[[], [], true], [[], [], true]]);

inPage("a loop over a stream is as slow as it likes, and may be left", async () => {
  const connection = direct("worker", "/parallel");
  await connection.start();
  const heard = [];
  for await (const n of connection.stream("Counter", 20_000, 0)) {
    heard.push(n);
    if (n % 500 === 0) await new Promise((resolve) => setTimeout(resolve));
  }
  let left = 0;
  for await (const n of connection.stream("Counter", 1_000_000, 0)) {
    left = n;
    if (n === 2) break;
  }
  return [heard.length, heard.every((n, index) => n === index), left, await connection.invoke("Add", 1, 2)];
}, [20_000, true, 2, 3]);

inPage("a loop that stands still makes the server wait", async () => {
  const connection = direct("worker", "/parallel");
  await connection.start();
  // Twice what a stream may have waiting: one that is not held back is given up.
  const loop = connection.stream("LargeItems", 60_000, 1000)[Symbol.asyncIterator]();
  await loop.next();
  const quiet = async () => {
    const before = (await (await fetch(`${hub}/stats`)).json()).cpu_s;
    await new Promise((resolve) => setTimeout(resolve, 200));
    return (await (await fetch(`${hub}/stats`)).json()).cpu_s - before < 0.02;
  };
  while (!(await quiet()));
  let count = 1;
  for await (const item of { [Symbol.asyncIterator]: () => loop }) count += item.length === 1000 ? 1 : 0;
  return count;
}, 60_000);

inPage("what cannot go to a worker is refused by its name, and what need not go there works", async () => {
  const refused = (options, how = (builder) => builder) => {
    try {
      how(new hubwire.HubConnectionBuilder().withUrl("/hub", options).withWorker()).build();
      return "built";
    } catch ({ code, message }) {
      return `${code} ${/'\w+'/.exec(message)?.[0]}`;
    }
  };
  const extensionCodec = { tryToEncode: () => null, decode: () => null };
  const own = { name: "json", version: 1, transferFormat: 1, parseMessages: () => [], writeMessage: () => "" };
  return [
    refused({ httpClient: { send() {} } }),
    refused({ transport: { connect() {} } }),
    refused({ WebSocket: class {} }),
    refused({ EventSource: class {} }),
    refused({}, (builder) => builder.withHubProtocol(own)),
    refused({}, (builder) => builder.withHubProtocol(new hubwire.MessagePackHubProtocol({ extensionCodec }))),
    refused({ accessTokenFactory() {}, logger: { log() {} } }, (builder) => builder.withAutomaticReconnect({ nextRetryDelayInMilliseconds() {} })),
  ];
}, [
  "InvalidArgument 'httpClient'", "InvalidArgument 'transport'", "InvalidArgument 'WebSocket'", "InvalidArgument 'EventSource'",
  "InvalidArgument 'withHubProtocol'", "InvalidArgument 'withHubProtocol'", "built",
]);

inPage("three hundred thousand messages reach a page that is busy, in order, while calls go on", async () => {
  const connection = build("worker", "/parallel");
  await connection.start();
  let count = 0;
  let isOrdered = true;
  connection.on("Said", (n) => {
    isOrdered &&= n === count;
    count += 1;
    if (count % 1000 === 0) block(5);
  });
  const pushed = connection.invoke("PushNumbers", "Said", 300_000);
  block(2000);
  const sum = await connection.invoke("Add", 1, 2);
  await pushed;
  return { count, isOrdered, sum };
}, { count: 300_000, isOrdered: true, sum: 3 });

inPage("a flood loses its own connection, not the other one in the worker", async () => {
  const flood = direct("worker", "/firehose?payload=text10k&count=1000000&batch=16");
  const other = build("worker", "/hub");
  let end;
  flood.onclose((error) => { end = error; });
  flood.on("Message", () => {});
  let said = 0;
  other.on("Said", () => { said += 1; });
  await other.start();
  const pushed = other.invoke("PushNumbers", "Said", 20_000);
  await flood.start();
  while (!end) {
    block(8000);
    await new Promise((resolve) => setTimeout(resolve));
  }
  await pushed;
  return [end.code, other.state, said, await other.invoke("Add", 1, 2)];
}, ["SlowConsumer", "Connected", 20_000, 3]);

inPage("many calls without an answer cost the page little, arrive in order, and leave nothing behind", async () => {
  const connection = direct("worker", "/drain?count=200001");
  const done = new Promise((resolve) => connection.on("Done", resolve));
  await connection.start();
  const room = connection.send("Message", 0);
  const sent = Array.from({ length: 200_000 }, (_, n) => connection.send("Message", n));
  await room;
  await Promise.all(sent);
  await done;
  return connection.state;
}, "Connected");

inPage("a flood that nobody awaits is refused beyond 64 MiB, in the page and in the worker, and what is awaited goes on", async () => {
  const outcomes = [];
  for (const where of ["page", "worker"]) {
    const connection = direct(where, "/drain?count=1000000");
    await connection.start();
    const text = "x".repeat(20_000);
    const all = await Promise.all(Array.from({ length: 4000 }, () => failure(connection.send("Message", text))));
    const codes = all.map(({ code }) => code);
    const after = failure(connection.send("Message", text));
    outcomes.push([codes.slice(0, 3300), codes.slice(3320), [(await after).code]].map((some) => [...new Set(some)].join()));
  }
  return outcomes;
}, [["none", "SendBufferFull", "none"], ["none", "SendBufferFull", "none"]]);

inPage("the longest message is what the option says", async () => {
  const ends = [];
  for (const where of ["page", "worker"]) {
    for (const [maximumReceiveMessageSize, length] of [[1000, 2000], [100 << 20, 70 << 20]]) {
      const connection = build(where, "/hub", { maximumReceiveMessageSize });
      await connection.start();
      const end = await connection.stream("LargeItems", 1, length)[Symbol.asyncIterator]().next().catch(({ message }) => message);
      ends.push(end.value?.length ?? /more than 1000 .*'maximumReceiveMessageSize'/.test(end));
      await connection.stop();
    }
  }
  return ends;
}, [true, 70 << 20, true, 70 << 20]);

inPage("a worker that dies during a start is a failed attempt, which the retry policy decides on", async () => {
  const outcomes = [];
  for (const [sources, answers] of [
    [["/dying.js", "/dying.js", "/worker.js"], [1, 1]],
    [["/dying.js"], [1, 1, null]],
    [["/dying.js"], [60_000]],
    [["/broken.js", "/worker.js"], [1]],
  ]) {
    const asked = [];
    const made = [];
    const make = () => (made.push(1), new Worker(sources[Math.min(made.length, sources.length) - 1]));
    const nextRetryDelayInMilliseconds = ({ previousRetryCount, elapsedMilliseconds, retryReason }) => {
      asked.push([previousRetryCount, elapsedMilliseconds > 0, retryReason.code]);
      return answers[previousRetryCount];
    };
    const connection = build("page", "/hub", {}, (builder) => builder.withWorker(make).withFirstConnectRetry().withAutomaticReconnect({ nextRetryDelayInMilliseconds }));
    const states = [];
    connection.onstatechange(({ state }) => states.push(state));
    const started = failure(connection.start());
    if (answers[0] === 60_000) {
      while (!asked.length) await new Promise((resolve) => setTimeout(resolve, 2));
      await connection.stop();
    }
    const { code } = await started;
    outcomes.push([code, asked.map(String).join(" "), states.join(), code === "none" && (await connection.invoke("Add", 1, 2)), made.length].map(String));
    await connection.stop();
  }
  return outcomes;
}, [
  ["none", "0,false,Worker 1,true,Worker", "Connecting,Connected", "3", "3"],
  ["Worker", "0,false,Worker 1,true,Worker 2,true,Worker", "Connecting,Disconnected", "false", "3"],
  ["Stopped", "0,false,Worker", "Connecting,Disconnecting,Disconnected", "false", "1"],
  ["Worker", "", "Connecting,Disconnected", "false", "1"],
]);

inPage("a message that the server refuses is the failure of its sending", async () => {
  const codes = [];
  for (const where of ["page", "worker"]) {
    const connection = build(where, "/lp");
    await connection.start();
    await fetch(`${hub}/cut?path=/lp`, { method: "POST" });
    const error = await connection.send("Message", "x".repeat(100)).catch(facts);
    codes.push(JSON.stringify(error) ?? "none");
    await connection.stop();
  }
  return codes[0] === codes[1] ? "same" : codes;
}, "same");

inPage("a start can be stopped wherever it is", async () => {
  const ends = [];
  for (const turns of [0, 1, 5]) {
    for (const path of ["/hub", "/fault/slow/60000"]) {
      const connection = build("worker", path);
      const started = failure(connection.start());
      for (let n = 0; n < turns; n += 1) await new Promise((resolve) => setTimeout(resolve, n));
      await connection.stop();
      ends.push(connection.state, (await started).code);
    }
  }
  const connection = build("worker", "/hub");
  await connection.start();
  return [[...new Set(ends)].filter((end) => end !== "none"), await connection.invoke("Add", 1, 2)];
}, [["Disconnected", "Stopped"], 3], (page) => assert.equal(page.workers().length, 1));

inPage("a policy without workers says so", async () => {
  const { code, message } = await failure(build("worker", "/hub").start());
  return [code, message.includes("worker-src blob:")];
}, ["Worker", true], undefined, { path: "/strict" });

for (const [n, expected] of [[0, "3"], [1, "says how"], [2, "3"]]) {
  inPage(`Trusted Types: ${["no names are asked for", "the package's name is not allowed", "its name is allowed"][n]}`, async () => {
    const outcomes = [];
    const policy = trustedTypes.createPolicy("app", { createScriptURL: (url) => url });
    for (const worker of [undefined, "/worker.js", () => new Worker(policy.createScriptURL("/worker.js"))]) {
      const connection = build("page", "/hub", {}, (builder) => builder.withWorker(worker));
      const { code, message } = await failure(connection.start());
      if (code === "none") outcomes.push(String(await connection.invoke("Add", 1, 2)));
      else outcomes.push(code === "Worker" && /`trusted-types hubwire`.*function/.test(message) ? "says how" : message);
      await connection.stop();
    }
    return outcomes;
  }, [expected, expected, "3"], undefined, { path: `/trusted${n}` });
}

inPage("where there are no workers it runs in the page", async () => {
  delete globalThis.Worker;
  const connection = build("worker", "/hub");
  await connection.start();
  return connection.invoke("Add", 1, 2);
}, 3, (page) => assert.equal(page.workers().length, 0));

await run({ atOnce: 2 });
