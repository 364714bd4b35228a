// What the package does on a real hub: the reference hub of ASP.NET Core. The same tests run in Node.js and in a page.

/**
 * The tests as `[name, body]`. `hubwire` is the package, `official` the official package's MessagePack protocol, `url` where
 * the hub listens.
 */
export function suite(hubwire, official, url) {
  const {
    AbortError,
    HttpError,
    HttpTransportType,
    HubConnectionBuilder,
    HubConnectionState,
    HubwireError,
    LogLevel,
    MessagePackHubProtocol,
    Subject,
    TimeoutError,
  } = hubwire;
  const tests = [];
  const test = (name, body) => tests.push([name, body]);

  const builder = (path = "/hub", options = {}) =>
    new HubConnectionBuilder().withUrl(`${url}${path}`, options).configureLogging(LogLevel.None);

  /** A connection that is up, and stopped after the test. */
  async function connected(body, builds = builder(), prepare = () => {}) {
    const connection = builds.build();
    await prepare(connection);
    await connection.start();
    try {
      return await body(connection);
    } finally {
      await connection.stop();
    }
  }

  const post = async (path) => {
    const response = await fetch(url + path, { method: "POST" });
    assert(response.ok, `${path}: ${response.status}`);
  };

  const collect = async (stream) => {
    const items = [];
    for await (const item of stream) items.push(item);
    return items;
  };

  /** What is subscribed to, until its end. */
  const drain = (stream) =>
    new Promise((resolve, reject) => {
      const items = [];
      stream.subscribe({ next: (item) => items.push(item), error: reject, complete: () => resolve(items) });
    });

  /** A promise for a call of the server. */
  const called = (connection, name) =>
    new Promise((resolve) => {
      const handler = (...args) => {
        connection.off(name, handler);
        resolve(args);
      };
      connection.on(name, handler);
    });

  for (const path of ["/ws", "/sse", "/lp"]) {
    test(`calls go both ways over ${path}`, () =>
      connected(async (connection) => {
        equal(await connection.invoke("Add", 1, 2), 3);
        equal(await connection.invoke("Void"), null);
        equal(await connection.invoke("NullResult"), null);
        equal(await connection.invoke("EchoString", "Grüße, 你好 👋"), "Grüße, 你好 👋");
        const pushed = called(connection, "Pushed");
        await connection.send("Push", "pushed", [1, "b", { c: [null] }]);
        equal(await pushed, [1, "b", { c: [null] }]);
        equal(await collect(connection.stream("Counter", 5, 0)), [0, 1, 2, 3, 4]);
        equal(connection.negotiated.connectionId, connection.connectionId);
      }, builder(path)));
  }

  test("an error of the server rejects the call, and nothing else", () =>
    connected(async (connection) => {
      const error = await rejected(connection.invoke("HubError", "no such luck"));
      assert(error instanceof HubwireError && error.code === "Server", error);
      assert(error.message.includes("no such luck"), error.message);
      equal((await rejected(connection.invoke("Counter", 3, 0))).code, "Server");
      equal(await connection.invoke("Add", 1, 2), 3);
    }));

  test("an argument that cannot be written rejects the call, and takes no number", () =>
    connected(async (connection) => {
      const circle = {};
      circle.circle = circle;
      assert((await rejected(connection.invoke("Echo", circle))) instanceof TypeError);
      assert((await rejected(connection.send("Echo", circle))) instanceof TypeError);
      assert((await rejected(drain(connection.stream("EchoStream", circle)))) instanceof TypeError);
      equal(await connection.invoke("Add", 2, 2), 4);
    }));

  test("streams: subscribers, and loops", () =>
    connected(async (connection) => {
      equal(await drain(connection.stream("Counter", 4, 1)), [0, 1, 2, 3]);
      equal(await collect(connection.stream("CounterChannel", 1000)), Array.from({ length: 1000 }, (_, n) => n));
      const items = [];
      const loop = async () => {
        for await (const item of connection.stream("CounterThenError", 2, "that's all")) items.push(item);
      };
      assert((await rejected(loop())).message.includes("that's all"));
      equal(items, [0, 1]);
      const refused = await rejected(drain(connection.stream("RefusesToStream")));
      assert(refused.message.includes("this stream does not start"), refused.message);
    }));

  test("streams: nothing is lost before someone subscribes", () =>
    connected(async (connection) => {
      const stream = connection.stream("Counter", 3, 0);
      await connection.invoke("Slow", 50);
      equal(await drain(stream), [0, 1, 2]);
      // Its end is still known.
      equal(await drain(stream), []);
    }));

  test("streams: several subscribers; the last one that goes cancels", () =>
    connected(async (connection) => {
      const before = await connection.invoke("CancelledStreams");
      const stream = connection.stream("Counter", 1_000_000, 1);
      const heard = [[], []];
      const both = [0, 1].map((n) => stream.subscribe({ next: (item) => heard[n].push(item), error() {}, complete() {} }));
      await until(() => heard[0].length > 3);
      both[0].dispose();
      const { length } = heard[0];
      await until(() => heard[1].length > length + 3);
      equal(heard[0].length, length);
      both[1].dispose();
      await until(async () => (await connection.invoke("CancelledStreams")) > before);
    }));

  test("streams: leaving a loop cancels", () =>
    connected(async (connection) => {
      const before = await connection.invoke("CancelledStreams");
      for await (const item of connection.stream("Counter", 1_000_000, 1)) if (item === 2) break;
      await until(async () => (await connection.invoke("CancelledStreams")) > before);
    }));

  test("streams: a loop that is slow makes the server wait, and loses nothing", () =>
    connected(async (connection) => {
      let next = 0;
      for await (const item of connection.stream("Counter", 100_000, 0)) {
        if (item !== next) throw new Error(`got ${item}, expected ${next}`);
        // So long that far more would have come meanwhile than may wait.
        if (next === 10) await new Promise((resolve) => setTimeout(resolve, 500));
        next += 1;
      }
      equal(next, 100_000);
    }));

  test("streams: what an observer throws disturbs nobody", () =>
    connected(async (connection) => {
      const stream = connection.stream("Counter", 3, 1);
      stream.subscribe({ next() { throw new Error("mine"); }, error() {}, complete() {} });
      equal(await drain(stream), [0, 1, 2]);
    }));

  async function* numbers(count) {
    for (let n = 0; n < count; n += 1) yield n;
  }

  test("uploads: subjects and async iterables, in calls of every kind", () =>
    connected(async (connection) => {
      const subject = new Subject();
      const sum = connection.invoke("UploadSum", subject);
      for (const n of [1, 2, 3]) subject.next(n);
      subject.complete();
      equal(await sum, 6);
      equal(await connection.invoke("UploadSum", numbers(100)), 4950);
      const quietly = called(connection, "Uploaded");
      await connection.send("UploadQuietly", numbers(10));
      equal(await quietly, [45]);
      equal(await collect(connection.stream("Double", numbers(4))), [0, 2, 4, 6]);
      async function* texts() {
        yield* ["a", "b", "c"];
      }
      equal(await connection.invoke("UploadConcat", texts(), "-"), "a-b-c");
    }));

  test("uploads: two side by side", () =>
    connected(async (connection) => {
      const [first, second] = [new Subject(), new Subject()];
      const both = connection.invoke("UploadTwo", first, second);
      second.next("x");
      first.next(40);
      second.next("y");
      first.next(2);
      second.complete();
      first.complete();
      equal(await both, "42 x,y");
    }));

  test("uploads: an error ends them, on the server too", () =>
    connected(async (connection) => {
      const subject = new Subject();
      const outcome = connection.invoke("UploadOutcome", subject);
      subject.next(1);
      subject.error(new Error("torn"));
      assert((await outcome).includes("torn"), await outcome);
      async function* failing() {
        yield 1;
        throw new Error("broken");
      }
      assert((await connection.invoke("UploadOutcome", failing())).includes("broken"));
      const unwritable = connection.invoke("UploadOutcome", (async function* () { yield 10n; })());
      assert((await unwritable).includes("BigInt"), await unwritable);
    }));

  test("uploads: the end of the call ends them", () =>
    connected(async (connection) => {
      let released = false;
      async function* endless() {
        try {
          for (let n = 0; ; n += 1) yield n;
        } finally {
          released = true;
        }
      }
      equal(await connection.invoke("UploadTake", endless(), 3), 3);
      await until(() => released);
    }));

  test("uploads: of any library's kind", () =>
    connected(async (connection) => {
      const observable = {
        subscribe(observer) {
          [1, 2, 3].forEach((n) => observer.next(n));
          observer.complete();
          return { unsubscribe() {} };
        },
      };
      equal(await connection.invoke("UploadSum", observable), 6);
    }));

  test("client results: values, errors, and none", () =>
    connected(async (connection) => {
      const answers = async (...handlers) => {
        connection.off("Question");
        for (const handler of handlers) connection.on("Question", handler);
        return connection.invoke("Ask", "Question", "why");
      };
      equal(await answers((question) => `${question} not`), "why not");
      equal(await answers(async (question) => `${question} later`), "why later");
      equal(await answers(() => undefined, () => "last"), "last");
      const fails = async (text, ...handlers) => {
        const answer = await answers(...handlers);
        assert(answer.includes(text), answer);
      };
      await fails("Error: bad", () => {
        throw new Error("bad");
      });
      await fails("Client didn't provide a result.", () => "first", () => {});
      await fails("Client didn't provide a result.");
      await fails("Client provided multiple results.", () => "a", () => "b");
      await fails("BigInt", () => 1n);
    }, builder("/parallel")));

  test("abort: a call is no longer waited for", () =>
    connected(async (connection) => {
      const controller = new AbortController();
      const slow = connection.with({ signal: controller.signal }).invoke("Slow", 10_000);
      controller.abort("enough");
      const error = await rejected(slow);
      assert(error instanceof AbortError && error.code === "Aborted" && error.cause === "enough", error);
      assert((await rejected(connection.with({ signal: controller.signal }).invoke("Add", 1, 2))) instanceof AbortError);
      assert((await rejected(connection.with({ signal: controller.signal }).send("Void"))) instanceof AbortError);
      // An object with a signal is an argument like any other.
      equal(await connection.invoke("Echo", { signal: null }), { signal: null });
    }, builder("/parallel")));

  test("abort: a stream ends, and the server stops", () =>
    connected(async (connection) => {
      const before = await connection.invoke("CancelledStreams");
      const controller = new AbortController();
      const loop = async () => {
        const stream = connection.with({ signal: controller.signal }).stream("Counter", 1_000_000, 1);
        for await (const item of stream) if (item === 2) controller.abort();
      };
      assert((await rejected(loop())) instanceof AbortError);
      await until(async () => (await connection.invoke("CancelledStreams")) > before);
    }));

  test("abort: streams that go to the server end, and the server hears why", () =>
    connected(async (connection) => {
      const controller = new AbortController();
      const subject = new Subject();
      const calls = connection.with({ signal: controller.signal });
      const quietly = called(connection, "Uploaded");
      let uploaded = false;
      quietly.then(() => (uploaded = true));
      await calls.send("UploadQuietly", subject);
      subject.next(1);
      controller.abort();
      subject.next(2);
      subject.complete();
      // Had it been told of an end without an error, the server would have said so before it answers this.
      equal(await connection.invoke("Add", 1, 2), 3);
      equal(uploaded, false);
    }));

  test("states: every change is told, with what came before", async () => {
    const changes = [];
    const connection = builder().build();
    const remove = connection.onstatechange(({ state, previousState }) => {
      equal(connection.state, state);
      changes.push(`${previousState}-${state}`);
    });
    await connection.start();
    await connection.stop();
    equal(changes, [
      "Disconnected-Connecting",
      "Connecting-Connected",
      "Connected-Disconnecting",
      "Disconnecting-Disconnected",
    ]);
    remove();
    await connection.start();
    await connection.stop();
    equal(changes.length, 4);
  });

  test("reconnect: after a cut, with everything told in order", async () => {
    const builds = builder("/parallel").withAutomaticReconnect([0, 100, 100]);
    await connected(async (connection) => {
      const told = [];
      connection.onstatechange(({ state }) => told.push(state));
      connection.onreconnecting((error) => told.push(`reconnecting ${error instanceof Error} ${connection.state}`));
      connection.onclose((error) => told.push(`closed ${error}`));
      const first = connection.connectionId;
      const back = new Promise((resolve) => connection.onreconnected(resolve));
      const pending = rejected(connection.invoke("Slow", 60_000)).then((error) => {
        told.push(`failed ${connection.state}`);
        return error;
      });
      await connection.send("Drop");
      const second = await back;
      assert(second && second !== first, second);
      equal(connection.connectionId, second);
      assert((await pending) instanceof Error);
      equal(told, ["Reconnecting", "reconnecting true Reconnecting", "failed Reconnecting", "Connected"]);
      equal(await connection.invoke("Add", 1, 2), 3);
      await connection.stop();
      equal(told.at(-1), "closed undefined");
    }, builds);
  });

  test("reconnect: a policy is asked, and what it says is done", async () => {
    const asked = [];
    const policy = {
      nextRetryDelayInMilliseconds({ previousRetryCount, elapsedMilliseconds, retryReason }) {
        asked.push([previousRetryCount, elapsedMilliseconds >= 0, retryReason instanceof Error]);
        return previousRetryCount < 2 ? 1 : null;
      },
    };
    const connection = builder().withAutomaticReconnect(policy).build();
    await connection.start();
    const reconnecting = [];
    connection.onreconnecting(() => {
      reconnecting.push(connection.state);
      // Where nobody listens.
      connection.baseUrl = `${url}/nowhere-at-all`;
    });
    const closed = new Promise((resolve) => connection.onclose(resolve));
    await connection.send("Drop");
    const error = await closed;
    equal(error.code, "RetriesExhausted");
    equal(asked, [[0, true, true], [1, true, true], [2, true, true]]);
    equal(reconnecting, ["Reconnecting"]);
    equal(connection.state, HubConnectionState.Disconnected);
  });

  test("reconnect: a policy may take its time, and one that throws gives up", async () => {
    const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
    await connected(async (connection) => {
      const back = new Promise((resolve) => connection.onreconnected(resolve));
      await connection.send("Drop");
      await back;
    }, builder().withAutomaticReconnect({ nextRetryDelayInMilliseconds: () => wait(5).then(() => 0) }));
    const throws = () => {
      throw new Error("no idea");
    };
    const connection = builder().withAutomaticReconnect({ nextRetryDelayInMilliseconds: throws }).build();
    await connection.start();
    let reconnecting = false;
    connection.onreconnecting(() => (reconnecting = true));
    const closed = new Promise((resolve) => connection.onclose(resolve));
    await connection.send("Drop");
    assert((await closed) instanceof Error);
    equal(reconnecting, false);
  });

  test("reconnect: stop ends it", async () => {
    const connection = builder().withAutomaticReconnect([60_000]).build();
    await connection.start();
    const reconnecting = new Promise((resolve) => connection.onreconnecting(resolve));
    const closed = [];
    connection.onclose((error) => closed.push(error));
    await connection.send("Drop");
    await reconnecting;
    assert((await rejected(connection.invoke("Add", 1, 2))).message.includes("not in the 'Connected' State"));
    await connection.stop();
    equal(closed, [undefined]);
  });

  test("reconnect: not when the server closes without leave", async () => {
    const connection = builder().withAutomaticReconnect().build();
    await connection.start();
    let reconnecting = false;
    connection.onreconnecting(() => (reconnecting = true));
    const closed = new Promise((resolve) => connection.onclose(resolve));
    await connection.send("Close");
    equal(await closed, undefined);
    equal(reconnecting, false);
  });

  test("first connect: tried again as the policy says", async () => {
    const asked = [];
    const policy = {
      nextRetryDelayInMilliseconds({ previousRetryCount, retryReason, retryAfterMilliseconds }) {
        asked.push(retryReason.statusCode, retryAfterMilliseconds);
        return previousRetryCount < 2 ? 0 : null;
      },
    };
    // This status comes with Retry-After, one second.
    const connection = builder("/fault/status/503").withAutomaticReconnect(policy).withFirstConnectRetry().build();
    const error = await rejected(connection.start());
    equal(asked, [503, 1000, 503, 1000, 503, 1000]);
    assert(error instanceof HttpError, error);
    equal(error.statusCode, 503);
    equal(connection.state, HubConnectionState.Disconnected);
  });

  test("stateful reconnect: a cut goes unnoticed", async () => {
    await connected(async (connection) => {
      equal(connection.negotiated.statefulReconnect, true);
      const events = [];
      connection.onstatechange(({ state }) => events.push(state));
      const got = [];
      const all = new Promise((resolve) => connection.on("Number", (n) => (got.push(n) === 200 ? resolve() : undefined)));
      await connection.send("PushSeries", "Number", 200, 1);
      await until(() => got.length > 20);
      await post("/cut?path=/stateful");
      equal(await connection.invoke("Add", 1, 2), 3);
      await all;
      equal(got, Array.from({ length: 200 }, (_, n) => n));
      equal(events, []);
    }, builder("/stateful").withStatefulReconnect());
  });

  test("errors: a start that fails says why", async () => {
    const unauthorized = await rejected(builder("/secure").build().start());
    assert(unauthorized instanceof HttpError && unauthorized instanceof HubwireError, unauthorized);
    equal([unauthorized.statusCode, unauthorized.code, unauthorized.errorType], [401, "Negotiate", "FailedToNegotiateWithServerError"]);
    const slow = await rejected(builder("/fault/slow/60000", { timeout: 50 }).build().start());
    assert(slow instanceof TimeoutError, slow);
    const connection = builder("/fault/slow/60000").build();
    const start = rejected(connection.start());
    await until(() => connection.state === HubConnectionState.Connecting);
    const stop = connection.stop();
    equal(connection.state, HubConnectionState.Disconnecting);
    await stop;
    assert((await start) instanceof AbortError);
    equal(connection.state, HubConnectionState.Disconnected);
  });

  test("errors: a silent server is noticed", async () => {
    const connection = builder("/silent?handshake=true", {
      skipNegotiation: true,
      transport: HttpTransportType.WebSockets,
    }).withServerTimeout(200).build();
    const closed = new Promise((resolve) => connection.onclose(resolve));
    await connection.start();
    equal(connection.connectionId, null);
    const error = await closed;
    assert(error instanceof TimeoutError, error);
    equal([error.code, error.message], ["ServerTimeout", "Server timeout elapsed without receiving a message from the server."]);
  });

  test("errors: a broken message ends the connection, and says what was wrong with it", async () => {
    const broken = btoa('{}\x1e{"type":1,"target":"x","arguments":{}}\x1e');
    const connection = builder(`/pieces?frame=${encodeURIComponent(broken)}`, {
      skipNegotiation: true,
      transport: HttpTransportType.WebSockets,
    }).build();
    const closed = new Promise((resolve) => connection.onclose(resolve));
    await connection.start();
    const error = await closed;
    equal(error.code, "Protocol");
    assert(error.message.includes("Invalid payload for Invocation message"), error.message);
  });

  test("authentication: tokens are asked for, and refreshed", async () => {
    let asked = 0;
    const accessTokenFactory = async () => {
      asked += 1;
      return (await fetch(`${url}/token?user=alice&ttl=3600`)).text();
    };
    const connection = builder("/refreshing", { accessTokenFactory }).build();
    const refreshed = [];
    connection.onAuthenticationRefreshed((event) => refreshed.push(event.newTokenLifetimeInSeconds > 0, event.connection === connection));
    await connection.start();
    equal((await connection.invoke("WhoAmI")).user, "alice");
    equal(asked, 1);
    assert((await connection.refreshAuthentication()) > 0);
    equal(asked, 2);
    await until(() => refreshed.length === 2);
    equal(refreshed, [true, true]);
    await connection.stop();
    equal((await rejected(connection.refreshAuthentication())).code, "InvalidState");
  });

  for (const [name, protocol] of [["ours", MessagePackHubProtocol], ["the official package's", official.MessagePackHubProtocol]]) {
    for (const path of ["/ws", "/lp"]) {
      test(`MessagePack, ${name}: calls, streams and uploads over ${path}`, () =>
        connected(async (connection) => {
          equal(await connection.invoke("Add", 1, 2), 3);
          equal((await connection.invoke("Void")) ?? null, null);
          const pushed = called(connection, "Pushed");
          await connection.send("Push", "pushed", [1, "b", [null]]);
          equal(await pushed, [1, "b", [null]]);
          const bytes = await connection.invoke("EchoBytes", new Uint8Array([0, 255, 7]));
          assert(bytes instanceof Uint8Array, bytes);
          equal([...bytes], [0, 255, 7]);
          const date = new Date("2026-11-24T10:30:00.123Z");
          const back = await connection.invoke("EchoDateTime", date);
          assert(back instanceof Date && back.getTime() === date.getTime(), back);
          equal(await connection.invoke("EchoPoint", { X: 1, Y: 0.5, Label: "Grüße" }), { X: 1, Y: 0.5, Label: "Grüße" });
          equal(await connection.invoke("EchoLong", -(2 ** 40)), -(2 ** 40));
          equal(await collect(connection.stream("Counter", 100, 0)), Array.from({ length: 100 }, (_, n) => n));
          equal((await collect(connection.stream("Points", 2)))[1], { X: 1, Y: 0.5, Label: "p1" });
          equal(await connection.invoke("UploadSum", numbers(100)), 4950);
          equal((await connection.invoke("Bytes", 20_000)).length, 20_000);
          connection.on("Question", (question) => `${question} not`);
          const answered = called(connection, "Answered");
          await connection.send("AskLater", "Question", "why");
          equal(await answered, ["why not"]);
          const error = await rejected(connection.invoke("HubError", "no such luck"));
          assert(error.message.includes("no such luck"), error);
          assert((await rejected(connection.invoke("Echo", Symbol("s")))) instanceof Error);
          equal(await connection.invoke("Add", 2, 2), 4);
        }, builder(path).withHubProtocol(new protocol())));
    }
  }

  test("MessagePack: integers of 64 bits arrive whole", () =>
    connected(async (connection) => {
      for (const value of [2n ** 64n - 1n, 2n ** 53n + 1n]) {
        assert((await connection.invoke("EchoULong", value)) === value, value);
      }
      assert((await connection.invoke("EchoLong", -(2n ** 63n))) === -(2n ** 63n));
    }, builder().withHubProtocol(new MessagePackHubProtocol({ useBigInt64: true }))));

  test("MessagePack: not over Server-Sent Events", async () => {
    const connection = builder("/sse").withHubProtocol(new MessagePackHubProtocol()).build();
    equal((await rejected(connection.start())).code, "NoTransport");
  });

  test("MessagePack: a stateful reconnect goes unnoticed", async () => {
    await connected(async (connection) => {
      const got = [];
      const all = new Promise((resolve) => connection.on("Number", (n) => (got.push(n) === 200 ? resolve() : undefined)));
      await connection.send("PushSeries", "Number", 200, 1);
      await until(() => got.length > 20);
      await post("/cut?path=/stateful");
      const sent = Array.from({ length: 50 }, (_, n) => connection.send("Record", `npm ${connection.connectionId}`, n));
      await Promise.all([all, ...sent]);
      equal(got, Array.from({ length: 200 }, (_, n) => n));
      const { Count, InOrder } = await connection.invoke("Recorded", `npm ${connection.connectionId}`);
      equal([Count, InOrder], [50, true]);
    }, builder("/stateful").withStatefulReconnect().withHubProtocol(new MessagePackHubProtocol()));
  });

  return tests;
}

export function assert(condition, message) {
  if (!condition) throw new Error(`not so: ${message?.stack ?? message ?? "no details"}`);
}

export function equal(actual, expected) {
  const text = (value) => JSON.stringify(value, (_, part) => (part === undefined ? "undefined" : part));
  if (text(actual) !== text(expected)) throw new Error(`got ${text(actual)}, expected ${text(expected)}`);
}

export async function rejected(promise) {
  const value = await promise.then((result) => ({ result }), (error) => ({ error }));
  if (!("error" in value)) throw new Error(`resolved with ${JSON.stringify(value.result)}`);
  return value.error;
}

/** Waits until something is so. The test's own time limit ends it. */
export async function until(condition) {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 5));
}
