// Section 4 and the calls of section 5: messages, invocations, streams, uploads, handlers, client results.
import { HANDSHAKE, behaviour, collect, ear, failure, frame, pause, pieces, sent } from "./support.mjs";

behaviour("handshake: what is sent, and one ping at once", ['{"protocol":"json","version":1}\u001e', '{"type":6}\u001e'], async (run) => {
  await run.started("/hub");
  const { sockets } = await run.until(({ sockets }) => sockets[0]?.frames.length > 1);
  return sockets[0].frames;
});

behaviour("handshake: MessagePack's is text in a text frame", '{"protocol":"messagepack","version":1}\u001e', async (run) => {
  await run.started("/hub", {}, (builder) => builder.withHubProtocol(run.messagePack()));
  const { sockets } = await run.until(({ sockets }) => sockets[0]?.frames.length > 0);
  const [said] = sockets[0].frames;
  return said.base64 ? atob(said.base64) : said;
});

behaviour("handshake: version 2 is asked for where reconnects are stateful", '{"protocol":"json","version":2}\u001e', async (run) => {
  await run.started("/stateful", {}, (builder) => builder.withStatefulReconnect());
  const { sockets } = await run.until(({ sockets }) => sockets[0]?.frames.length > 0);
  return sockets[0].frames[0];
});

behaviour("handshake: what comes in the same frame is not lost", [["early"]], async (run) => {
  const connection = run.direct(pieces([HANDSHAKE + frame({ type: 1, target: "Said", arguments: ["early"] })]));
  const said = ear();
  connection.on("Said", (...args) => said.hear(args));
  await connection.start();
  return said.times(1);
});

behaviour("handshake: the server's refusal", "Server returned handshake error: no such protocol", (run) => failure(run.direct(pieces([frame({ error: "no such protocol" })])).start()));

behaviour("handshake: an empty error is none", "Connected", async (run) => {
  const connection = run.direct(pieces([frame({ error: "" })]));
  await connection.start();
  return connection.state;
});

behaviour("handshake: a message instead of it", true, async (run) => /handshake/i.test(await failure(run.direct(pieces([frame({ type: 1, target: "Said", arguments: [] })])).start())));

behaviour("handshake: one in two frames", "Message is incomplete.", async (run) => {
  const connection = run.direct(pieces(["{", "}\u001e"]));
  const text = await failure(connection.start());
  return text.match(/Message is incomplete\./)?.[0] ?? connection.state;
});

behaviour("handshake: how long a silent server is waited for", "for the server timeout", async (run) => {
  const connection = run.direct("/silent?handshake=false", (builder) => builder.withServerTimeout(300));
  const failed = failure(connection.start()).then((text) => (/time/i.test(text) ? "for the server timeout" : text));
  // All behaviours run side by side, and a busy browser opens their sockets one after the other.
  return Promise.race([failed, pause(10_000).then(() => "longer")]);
});

behaviour("messages: order of properties, unknown properties and unknown types do not matter", [["a", 1], ["b"]], async (run) => {
  const connection = run.direct(pieces([
    HANDSHAKE,
    `{"arguments":["a",1],"colour":"red","target":"Said","type":1}\u001e{"type":99}\u001e`,
    frame({ type: 1, target: "Said", arguments: ["b"] }),
  ]));
  const said = ear();
  connection.on("said", (...args) => said.hear(args));
  await connection.start();
  return said.times(2);
});

for (const [what, text] of [["that is no JSON", '{"type":1,\u001e'], ["without a target", frame({ type: 1, arguments: [] })]]) {
  behaviour(`messages: one ${what} ends the connection with an error`, [true, "Disconnected"], async (run) => {
    const connection = run.direct(pieces([HANDSHAKE, text], { wait: 600 }));
    const ended = ear();
    connection.onclose((error) => ended.hear(error instanceof Error));
    await connection.start();
    return [(await ended.times(1))[0], connection.state];
  });
}

behaviour("invoke: results, null and what a method without one gives", [3, null, null, "renamed"], async (run) => {
  const connection = await run.started("/hub");
  return [await connection.invoke("Add", 1, 2), await connection.invoke("NullResult"), await connection.invoke("Void"), await connection.invoke("named.otherwise")];
});

behaviour("invoke: a completion without a result", true, async (run) => {
  const connection = run.direct(pieces([HANDSHAKE, frame({ type: 3, invocationId: "0" })], { wait: 600 }));
  await connection.start();
  return (await connection.invoke("Whatever")) === undefined;
});

behaviour("invoke: the server's errors", [
  "An unexpected error occurred invoking 'Throw' on the server.",
  "An unexpected error occurred invoking 'HubError' on the server. HubException: it broke",
  "Failed to invoke 'NoSuchMethod' due to an error on the server. HubException: Method does not exist.",
], async (run) => {
  const connection = await run.started("/hub");
  return [await failure(connection.invoke("Throw")), await failure(connection.invoke("HubError", "it broke")), await failure(connection.invoke("NoSuchMethod"))];
});

behaviour("invoke: an item of a stream for it", "Unexpected message type: 2", async (run) => {
  const connection = run.direct(pieces([HANDSHAKE, frame({ type: 2, invocationId: "0", item: 1 })], { wait: 600 }));
  await connection.start();
  return failure(connection.invoke("Whatever"));
});

behaviour("invoke: ids count from 0, over streams and restarts", ["0", "1", "2", "3"], async (run) => {
  const connection = await run.started("/hub");
  await connection.invoke("Void");
  await collect(connection.stream("Counter", 1, 0));
  await connection.invoke("Void");
  await connection.stop();
  await connection.start();
  await connection.invoke("Void");
  const { sockets } = await run.until(({ sockets }) => sockets.length === 2 && sent(sockets[1]).length > 0);
  return sockets.flatMap(sent).filter(({ type }) => type === 1 || type === 4).map(({ invocationId }) => invocationId);
});

behaviour("invoke: in any state but Connected", "Cannot send data if the connection is not in the 'Connected' State.", (run) => failure(run.build("/hub").invoke("Void")));
behaviour("send: in any state but Connected", "Cannot send data if the connection is not in the 'Connected' State.", (run) => failure(run.build("/hub").send("Void")));

behaviour("send: has no id, and is done when it is handed over", [{ type: 1, target: "Record", arguments: ["none", 1] }, true], async (run) => {
  const connection = await run.started("/hub");
  const result = await connection.send("Record", "none", 1);
  const { sockets } = await run.until(({ sockets }) => sent(sockets[0]).length > 0);
  return [sent(sockets[0])[0], result === undefined];
});

behaviour("streams: items, then the end", [0, 1, 2, "complete"], async (run) => collect((await run.started("/hub")).stream("Counter", 3, 0)));
behaviour("streams: items, then the server's error", [0, 1, "error: An error occurred on the server while streaming results. HubException: enough"], async (run) =>
  collect((await run.started("/hub")).stream("CounterThenError", 2, "enough")));
behaviour("streams: one that the server refuses", true, async (run) => {
  const [only, ...rest] = await collect((await run.started("/hub")).stream("RefusesToStream"));
  return rest.length === 0 && only.startsWith("error: ") && only.includes("this stream does not start");
});
behaviour("streams: one that is no stream", true, async (run) => {
  const items = await collect((await run.started("/hub")).stream("Add", 1, 2));
  return items.length === 1 && items[0].startsWith("error: ");
});

behaviour("streams: what comes before anybody subscribes", ["complete"], async (run) => {
  const connection = run.direct(pieces([
    HANDSHAKE, frame({ type: 2, invocationId: "0", item: "early" }), frame({ type: 3, invocationId: "0" }),
  ], { wait: 1500 }));
  await connection.start();
  const stream = connection.stream("Whatever");
  await pause(2250);
  return collect(stream);
});

behaviour("streams: giving up tells the server, and nothing comes any more", { cancelled: [{ type: 5, invocationId: "0" }], late: 0 }, async (run) => {
  const connection = await run.started("/hub");
  const items = ear();
  let late = 0;
  let over = false;
  const subscription = connection.stream("Counter", 1000, 5).subscribe({
    next: (item) => {
      items.hear(item);
      if (over) late += 1;
    },
    error: () => {},
    complete: () => {},
  });
  await items.times(2);
  subscription.dispose();
  over = true;
  const { sockets } = await run.until(({ sockets }) => sent(sockets[0]).some(({ type }) => type === 5));
  return { cancelled: sent(sockets[0]).filter(({ type }) => type === 5), late };
});

behaviour("streams: in any state but Connected", true, async (run) => {
  const connection = run.build("/hub");
  try {
    const [error] = await collect(connection.stream("Counter", 1, 0));
    return error.includes("Cannot send data if the connection is not in the 'Connected' State.");
  } catch (error) {
    return error.message;
  }
});

/** Feeds a subject when the call that takes it was made. */
function upload(run, items, end = (subject) => subject.complete()) {
  const subject = new run.signalr.Subject();
  setTimeout(() => {
    for (const item of items) subject.next(item);
    end(subject);
  }, 100);
  return subject;
}

behaviour("uploads: items, then the end, in order", {
  sum: 6,
  messages: [
    { type: 1, target: "UploadSum", arguments: [], streamIds: true, invocationId: true },
    { type: 2, item: 1 }, { type: 2, item: 2 }, { type: 2, item: 3 }, { type: 3 },
  ],
}, async (run) => {
  const connection = await run.started("/hub");
  const sum = await connection.invoke("UploadSum", upload(run, [1, 2, 3]));
  const { sockets } = await run.recorded();
  const messages = sent(sockets[0]).map(({ invocationId, streamIds, ...rest }) =>
    rest.type === 1 ? { ...rest, streamIds: streamIds?.length === 1, invocationId: typeof invocationId === "string" } : rest);
  return { sum, messages };
});

behaviour("uploads: the client's error reaches the server", true, async (run) => {
  const connection = await run.started("/hub");
  const outcome = await connection.invoke("UploadOutcome", upload(run, [1], (subject) => subject.error(new Error("the disk is full"))));
  return outcome.includes("the disk is full");
});

behaviour("uploads: beside other arguments", "a-b-c", async (run) => (await run.started("/hub")).invoke("UploadConcat", upload(run, ["a", "b", "c"]), "-"));

behaviour("uploads: two streams side by side", { ids: 1, arguments: [{ observers: [] }] }, async (run) => {
  const connection = await run.started("/hub");
  void connection.invoke("UploadTwo", upload(run, [1, 2]), upload(run, ["a", "b"])).catch(() => {});
  const { sockets } = await run.until(({ sockets }) => sent(sockets[0]).length > 0);
  const [call] = sent(sockets[0]);
  return { ids: call.streamIds.length, arguments: call.arguments };
});

behaviour("handlers: case, order, once each, off", [["a", 1], ["b", 1], ["b", 2]], async (run) => {
  const connection = await run.started("/hub");
  const said = ear();
  const a = (n) => said.hear("a", n);
  connection.on("Said", a);
  connection.on("SAID", a);
  connection.on("said", (n) => said.hear("b", n));
  await connection.invoke("Push", "sAiD", [1]);
  await said.times(2);
  connection.off("said", a);
  await connection.invoke("Push", "Said", [2]);
  return said.times(3);
});

behaviour("handlers: each is awaited, the next message is not", ["a2", "b2", "a1", "b1"], async (run) => {
  const connection = await run.started("/hub");
  const said = ear();
  connection.on("Said", async (n) => {
    // The first message's handler goes on when the second one's have run.
    if (n === 1) await said.times(2);
    said.hear(`a${n}`);
  });
  connection.on("Said", (n) => said.hear(`b${n}`));
  await connection.invoke("Push", "Said", [1]);
  await connection.invoke("Push", "Said", [2]);
  return said.times(4);
});

behaviour("handlers: one that throws keeps neither the others nor the connection from going on", ["after", 3], async (run) => {
  const connection = await run.started("/hub");
  const said = ear();
  connection.on("Said", () => { throw new Error("oh no"); });
  connection.on("Said", () => said.hear("after"));
  await connection.invoke("Push", "Said", []);
  return [(await said.times(1))[0], await connection.invoke("Add", 1, 2)];
});

const results = {
  "a value": [[() => "yes"], "yes"],
  "a promise of one": [[async () => "later"], "later"],
  "null": [[() => null], ""],
  "an empty text": [[() => ""], ""],
  "nothing": [[() => {}], "HubException: Client didn't provide a result."],
  "no handler": [[], "HubException: Client didn't provide a result."],
  "an error": [[() => { throw new Error("bad"); }], "HubException: Error: bad"],
  "two values": [[() => "a", () => "b"], "HubException: Client provided multiple results."],
  "a value, then nothing": [[() => "a", () => {}], "HubException: Client didn't provide a result."],
  "an error, then a value": [[() => { throw new Error("bad"); }, () => "b"], "b"],
};
for (const [what, [handlers, expected]] of Object.entries(results)) {
  behaviour(`client results: ${what}`, expected, async (run) => {
    const connection = await run.started("/hub");
    const answered = ear();
    connection.on("Answered", answered.hear);
    for (const handler of handlers) connection.on("Ask", handler);
    await connection.invoke("AskLater", "Ask", "?");
    return (await answered.times(1))[0] ?? "";
  });
}

behaviour("MessagePack: values", {
  text: "Grüße, 你好 👋", bytes: [0, 1, 2], date: "2026-03-04T05:06:07.000Z", isDate: true, large: 2 ** 53 - 1, object: { X: 1, Y: 2.5, Label: "p" }, numbers: [1, -1, 3],
}, async (run) => {
  const connection = await run.started("/hub", {}, (builder) => builder.withHubProtocol(run.messagePack()));
  const date = await connection.invoke("EchoDateTime", new Date("2026-03-04T05:06:07Z"));
  const bytes = await connection.invoke("EchoBytes", new Uint8Array([0, 1, 2]));
  if (!(bytes instanceof Uint8Array)) throw new Error("bytes are no Uint8Array");
  return {
    text: await connection.invoke("EchoString", "Grüße, 你好 👋"),
    bytes: [...bytes],
    date: new Date(date).toISOString(),
    isDate: date instanceof Date,
    large: await connection.invoke("EchoLong", 2 ** 53 - 1),
    object: await connection.invoke("EchoPoint", { X: 1, Y: 2.5, Label: "p" }),
    numbers: await connection.invoke("EchoInts", [1, -1, 3]),
  };
});

behaviour("MessagePack: whole numbers beyond 2^53 are numbers", 2 ** 53, async (run) => {
  // The invocation of `Said` with 2^53 + 1 as an unsigned number of 64 bits.
  const said = "\x13\x95\x01\x80\xc0\xa4Said\x91\xcf\x00\x20\x00\x00\x00\x00\x00\x01";
  const connection = run.direct(pieces([HANDSHAKE, said], { binary: true, wait: 600 }), (builder) => builder.withHubProtocol(run.messagePack()));
  const heard = ear();
  connection.on("Said", heard.hear);
  await connection.start();
  return (await heard.times(1))[0];
});

behaviour("MessagePack: streams, pushes and client results", { stream: [0, 1, 2, "complete"], pushed: ["hello", 5], asked: "yes" }, async (run) => {
  const connection = await run.started("/hub", {}, (builder) => builder.withHubProtocol(run.messagePack()));
  const [pushed, answered] = [ear(), ear()];
  connection.on("Said", pushed.hear);
  connection.on("Answered", answered.hear);
  connection.on("Ask", () => "yes");
  const stream = await collect(connection.stream("Counter", 3, 0));
  await connection.invoke("Push", "Said", ["hello", 5]);
  await connection.invoke("AskLater", "Ask", "?");
  return { stream, pushed: (await pushed.times(1))[0], asked: (await answered.times(1))[0] };
});

behaviour("JSON: values are JavaScript's own", { object: { x: 1, y: 2.5, label: "p" }, list: [1, "two", null, { three: 3 }], text: "Grüße, 你好 👋", bytes: "AAEC" }, async (run) => {
  const connection = await run.started("/hub");
  return {
    object: await connection.invoke("EchoPoint", { x: 1, y: 2.5, label: "p" }),
    list: await connection.invoke("Echo", [1, "two", null, { three: 3 }]),
    text: await connection.invoke("EchoString", "Grüße, 你好 👋"),
    bytes: await connection.invoke("EchoBytes", "AAEC"),
  };
});

behaviour("calls in flight when the connection ends: who hears of it in which order", ["stream", "onclose", "invoke"], async (run) => {
  const connection = await run.started("/parallel");
  const order = ear();
  connection.onclose(() => order.hear("onclose"));
  connection.stream("Counter", 100, 1000).subscribe({ next() {}, complete() {}, error: () => order.hear("stream") });
  connection.invoke("Slow", 10_000).catch(() => order.hear("invoke"));
  await run.until(({ sockets }) => sent(sockets[0]).length === 2);
  await run.cut();
  return order.times(3);
});

behaviour("calls in flight when the connection is stopped", "Invocation canceled due to the underlying connection being closed.", async (run) => {
  const connection = await run.started("/hub");
  const call = failure(connection.invoke("Slow", 10_000));
  await run.until(({ sockets }) => sent(sockets[0]).length === 1);
  await connection.stop();
  return call;
});

