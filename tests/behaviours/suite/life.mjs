// States, keep-alive, reconnects and stateful reconnects of section 5.
import { HANDSHAKE, behaviour, collect, ear, failure, frame, negotiates, pause, pieces, sent } from "./support.mjs";

behaviour("states: from start to stop", ["Disconnected", "Connecting", "Connected", "Disconnecting", "Disconnected"], async (run) => {
  const connection = run.build("/hub");
  const states = [connection.state];
  const started = connection.start();
  states.push(connection.state);
  await started;
  states.push(connection.state);
  const stopped = connection.stop();
  states.push(connection.state);
  await stopped;
  return [...states, connection.state];
});

behaviour("start: twice", "Cannot start a HubConnection that is not in the 'Disconnected' state.", async (run) => failure((await run.started("/hub")).start()));

behaviour("stop: says goodbye, tells without an error, and can be started again", { goodbye: [{ type: 7 }], closed: [null], again: 3 }, async (run) => {
  const connection = await run.started("/hub");
  const closed = ear();
  connection.onclose((error) => closed.hear(error ?? null));
  await connection.stop();
  const { sockets } = await run.until(({ sockets }) => sockets[0].code);
  await connection.start();
  return { goodbye: sent(sockets[0]), closed: closed.heard, again: await connection.invoke("Add", 1, 2) };
});

behaviour("stop: when there is nothing to stop, and twice", true, async (run) => {
  const connection = run.build("/hub");
  await connection.stop();
  await connection.start();
  await Promise.all([connection.stop(), connection.stop()]);
  return connection.state === "Disconnected";
});

behaviour("stop: while it starts", { failed: true, state: "Disconnected", closed: 0 }, async (run) => {
  const connection = run.build("/fault/slow/500");
  let closed = 0;
  connection.onclose(() => { closed += 1; });
  const started = failure(connection.start());
  await run.until((recorded) => negotiates(recorded).length > 0);
  await connection.stop();
  return { failed: /stopped/.test(await started), state: connection.state, closed };
});

behaviour("the id: the server's while connected, none otherwise", [null, true, null], async (run) => {
  const connection = run.build("/hub");
  const before = connection.connectionId;
  await connection.start();
  const same = connection.connectionId === (await connection.invoke("WhoAmI")).connectionId;
  await connection.stop();
  return [before, same, connection.connectionId];
});

behaviour("baseUrl: can be changed while disconnected only", [3, true], async (run) => {
  const connection = run.build("/nowhere");
  connection.baseUrl = run.url("/hub");
  await connection.start();
  try {
    connection.baseUrl = run.url("/elsewhere");
    return "no error";
  } catch (error) {
    return [await connection.invoke("Add", 1, 2), /Disconnected/.test(error.message)];
  }
});

behaviour("builder: a second reconnect policy", "A reconnectPolicy has already been set.", (run) => {
  const builder = new run.signalr.HubConnectionBuilder().withUrl(run.url("/hub")).withAutomaticReconnect();
  return failure(Promise.resolve().then(() => { builder.withAutomaticReconnect(); }));
});

behaviour("builder: without a URL", "The 'HubConnectionBuilder.withUrl' method must be called before building the connection.", async (run) =>
  failure(Promise.resolve().then(() => { new run.signalr.HubConnectionBuilder().build(); })));

const EXPORTS = [
  "AbortError", "DefaultHttpClient", "HttpClient", "HttpError", "HttpResponse", "HttpTransportType", "HubConnection", "HubConnectionBuilder",
  "HubConnectionState", "JsonHubProtocol", "LogLevel", "MessageType", "NullLogger", "Subject", "TimeoutError", "TransferFormat", "VERSION",
];
behaviour("exports: everything", EXPORTS, async (run) => EXPORTS.filter((name) => name in run.signalr));

behaviour("defaults: timeouts in milliseconds", [30_000, 15_000], async (run) => {
  const connection = run.build("/hub");
  return [connection.serverTimeoutInMilliseconds, connection.keepAliveIntervalInMilliseconds];
});

behaviour("errors: the name of a server's error", "Error", async (run) => (await (await run.started("/hub")).invoke("Throw").catch((error) => error)).name);

behaviour("server timeout: ends the connection with this error", "Server timeout elapsed without receiving a message from the server.", async (run) => {
  const connection = run.direct("/silent", (builder) => builder.withServerTimeout(400));
  const closed = ear();
  connection.onclose((error) => closed.hear(error.message));
  await connection.start();
  return (await closed.times(1))[0];
});

behaviour("keep-alive: pings to a server that is silent", "one", async (run) => {
  const connection = run.direct("/silent", (builder) => builder.withServerTimeout(1500).withKeepAliveInterval(100));
  await connection.start();
  await pause(800);
  const { sockets } = await run.recorded();
  const pings = sockets[0].frames.filter((text) => text.includes('"type":6')).length;
  return pings === 1 ? "one" : pings > 3 ? "regularly" : `${pings}`;
});

behaviour("keep-alive: an impatient server keeps who pings", "Connected", async (run) => {
  const connection = await run.started("/impatient", {}, (builder) => builder.withKeepAliveInterval(500));
  await pause(3000);
  return connection.state;
});

behaviour("close: the server's error, and no reconnect in spite of a policy", { error: "Server returned an error on close: out of order", reconnecting: 0, state: "Disconnected" }, async (run) => {
  const connection = run.direct(pieces([HANDSHAKE, frame({ type: 7, error: "out of order" })], { wait: 600 }), (builder) => builder.withAutomaticReconnect([0]));
  const closed = ear();
  let reconnecting = 0;
  connection.onclose((error) => closed.hear(error.message));
  connection.onreconnecting(() => { reconnecting += 1; });
  await connection.start();
  return { error: (await closed.times(1))[0], reconnecting, state: connection.state };
});

behaviour("close: with allowReconnect the policy decides", ["reconnecting", "reconnected"], async (run) => {
  const connection = run.direct(pieces([HANDSHAKE, frame({ type: 7, allowReconnect: true })], { wait: 600 }), (builder) => builder.withAutomaticReconnect([0]));
  const order = ear();
  connection.onreconnecting(() => order.hear("reconnecting"));
  connection.onreconnected(() => order.hear("reconnected"));
  await connection.start();
  return (await order.times(2)).slice(0, 2);
});

behaviour("close: a code other than 1000 is an error with the code in it", true, async (run) => {
  const connection = run.direct(pieces([HANDSHAKE], { close: 1011, wait: 600 }));
  const closed = ear();
  connection.onclose((error) => closed.hear(error?.message ?? null));
  await connection.start();
  return (await closed.times(1))[0].includes("1011");
});

behaviour("reconnect: states, events and another id", {
  events: ["reconnecting Reconnecting true", "reconnected Connected true"], another: true, sum: 3, negotiates: 2,
}, async (run) => {
  const connection = await run.started("/hub", {}, (builder) => builder.withAutomaticReconnect([0]));
  const before = connection.connectionId;
  const events = ear();
  connection.onreconnecting((error) => events.hear(`reconnecting ${connection.state} ${error instanceof Error}`));
  connection.onreconnected((id) => events.hear(`reconnected ${connection.state} ${id === connection.connectionId}`));
  await run.cut();
  await events.times(2);
  return {
    events: events.heard, another: connection.connectionId !== before, sum: await connection.invoke("Add", 1, 2),
    negotiates: negotiates(await run.recorded()).length,
  };
});

behaviour("reconnect: no policy, no reconnect", { error: true, reconnecting: 0 }, async (run) => {
  const connection = await run.started("/hub");
  const closed = ear();
  let reconnecting = 0;
  connection.onreconnecting(() => { reconnecting += 1; });
  connection.onclose((error) => closed.hear(error instanceof Error));
  await run.cut();
  return { error: (await closed.times(1))[0], reconnecting };
});

behaviour("reconnect: what a policy is told", { counts: [0, 1, 2], elapsed: [true, true, true], reasons: [true, true, true], closed: ["nothing"] }, async (run) => {
  const told = [];
  const policy = {
    nextRetryDelayInMilliseconds(context) {
      told.push(context);
      return context.previousRetryCount < 2 ? 10 : null;
    },
  };
  const connection = await run.started("/hub", {}, (builder) => builder.withAutomaticReconnect(policy));
  const closed = ear();
  connection.onclose((error) => closed.hear(error ? "an error" : "nothing"));
  await run.rules(...[0, 1, 2, 3].map(() => ({ method: "POST", path: "/negotiate", status: 503 })));
  await run.cut();
  await closed.times(1);
  return {
    counts: told.map(({ previousRetryCount }) => previousRetryCount),
    elapsed: told.map(({ elapsedMilliseconds, previousRetryCount }) => (previousRetryCount === 0 ? elapsedMilliseconds === 0 : elapsedMilliseconds >= 10)),
    reasons: told.map(({ retryReason }) => retryReason instanceof Error),
    closed: closed.heard,
  };
});

for (const [what, policy] of [
  ["null at once", { nextRetryDelayInMilliseconds: () => null }],
  ["an error", { nextRetryDelayInMilliseconds: () => { throw new Error("oh no"); } }],
]) {
  behaviour(`reconnect: a policy that gives ${what} closes at once`, { error: true, reconnecting: 0 }, async (run) => {
    const connection = await run.started("/hub", {}, (builder) => builder.withAutomaticReconnect(policy));
    const closed = ear();
    let reconnecting = 0;
    connection.onreconnecting(() => { reconnecting += 1; });
    connection.onclose((error) => closed.hear(error instanceof Error));
    await run.cut();
    return { error: (await closed.times(1))[0], reconnecting };
  });
}

behaviour("reconnect: a stop while it waits", { closed: [null], state: "Disconnected", reconnected: 0 }, async (run) => {
  const connection = await run.started("/hub", {}, (builder) => builder.withAutomaticReconnect([60_000]));
  const [reconnecting, closed] = [ear(), ear()];
  let reconnected = 0;
  connection.onreconnecting(() => reconnecting.hear(1));
  connection.onreconnected(() => { reconnected += 1; });
  connection.onclose((error) => closed.hear(error ?? null));
  await run.cut();
  await reconnecting.times(1);
  await connection.stop();
  return { closed: await closed.times(1), state: connection.state, reconnected };
});

behaviour("reconnect: calls meanwhile fail, and calls in flight have failed", {
  meanwhile: "Cannot send data if the connection is not in the 'Connected' State.", before: true, stream: true,
}, async (run) => {
  const connection = await run.started("/parallel", {}, (builder) => builder.withAutomaticReconnect([60_000]));
  const reconnecting = ear();
  connection.onreconnecting(() => reconnecting.hear(1));
  const before = failure(connection.invoke("Slow", 10_000));
  const stream = collect(connection.stream("Counter", 10, 5000));
  await run.until(({ sockets }) => sent(sockets[0]).length === 2);
  await run.cut();
  await reconnecting.times(1);
  return {
    meanwhile: await failure(connection.invoke("Void")),
    before: !(await before).startsWith("no error"),
    stream: (await stream)[0].startsWith("error: "),
  };
});

behaviour("reconnect: the factory is asked anew", true, async (run) => {
  let asked = 0;
  const token = await run.token();
  const connection = run.build("/secure", { accessTokenFactory: () => { asked += 1; return token; } }, (builder) => builder.withAutomaticReconnect([0]));
  const reconnected = ear();
  connection.onreconnected(reconnected.hear);
  await connection.start();
  const before = asked;
  await run.cut();
  await reconnected.times(1);
  return asked > before;
});

behaviour("stateful: the same connection after a cut, without an event", { events: 0, same: true, negotiates: 1, second: { type: 9, sequenceId: 2 }, sum: 7 }, async (run) => {
  const connection = await run.started("/stateful", {}, (builder) => builder.withStatefulReconnect().withAutomaticReconnect([0]));
  let events = 0;
  for (const name of ["onreconnecting", "onreconnected", "onclose"]) connection[name](() => { events += 1; });
  const id = connection.connectionId;
  await connection.invoke("Add", 1, 2);
  // The server acknowledges it after a second.
  await pause(1300);
  await run.cut();
  const { sockets } = await run.until(({ sockets }) => sockets.length === 2 && sent(sockets[1]).length > 0);
  return {
    events, same: connection.connectionId === id, negotiates: negotiates(await run.recorded()).length, second: sent(sockets[1])[0],
    sum: await connection.invoke("Add", 3, 4),
  };
});

behaviour("stateful: what was called in the gap arrives once", { count: 20, inOrder: true, duplicates: [], missing: [] }, async (run) => {
  const connection = await run.started("/stateful", {}, (builder) => builder.withStatefulReconnect());
  const series = `gap-${Math.random()}`;
  const calls = [];
  for (let number = 0; number < 20; number++) {
    calls.push(connection.send("Record", series, number));
    if (number === 10) await run.cut();
  }
  await Promise.all(calls);
  for (;;) {
    const { count, inOrder, duplicates, missing } = await connection.invoke("Recorded", series);
    if (count >= 20) return { count, inOrder, duplicates, missing };
    await pause(50);
  }
});
