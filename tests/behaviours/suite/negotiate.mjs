// Section 1 and 2 of the protocol: negotiate, tokens, the choice of a transport, what is on the wire of each.
import { behaviour, ear, failure, negotiates, pause, queryOf } from "./support.mjs";

const first = async (run) => negotiates(await run.until((recorded) => negotiates(recorded).length > 0))[0];

behaviour("negotiate: the request and its headers", {
  method: "POST", path: "/hub/negotiate", query: { negotiateVersion: "1" }, body: "", requestedWith: "XMLHttpRequest", own: "contoso", agent: true,
}, async (run) => {
  await run.started("/hub", { headers: { "x-tenant": "contoso" } });
  const { method, path, headers, body } = await first(run);
  return {
    method, path: path.split("?")[0], query: queryOf(path), body, requestedWith: headers["x-requested-with"], own: headers["x-tenant"],
    agent: (headers["x-signalr-user-agent"] ?? headers["user-agent"]).startsWith("Microsoft SignalR/"),
  };
});

behaviour("negotiate: the URL's own query is kept, in the transport's URL too", {
  negotiate: { a: "1", b: "x/y z", negotiateVersion: "1" }, socket: ["a", "b", "id"],
}, async (run) => {
  await run.started("/hub?a=1&b=x/y%20z");
  const { path } = await first(run);
  const { sockets } = await run.recorded();
  return { negotiate: queryOf(path), socket: Object.keys(queryOf(sockets[0].path)) };
});

behaviour("negotiate: a version in the URL is kept, and a slash at the end", ["/hub/negotiate?negotiateVersion=0", ["id"]], async (run) => {
  await run.started("/hub/?negotiateVersion=0", { transport: run.signalr.HttpTransportType.LongPolling });
  const { path } = await first(run);
  const { requests } = await run.until(({ requests }) => requests.some(({ method }) => method === "GET"));
  const poll = queryOf(requests.find(({ method }) => method === "GET").path);
  return [path, Object.keys(poll).filter((name) => name === "id")];
});

behaviour("negotiate: stateful reconnect is asked for in the query", { useStatefulReconnect: "true", negotiateVersion: "1" }, async (run) => {
  await run.started("/stateful", {}, (builder) => builder.withStatefulReconnect());
  return queryOf((await first(run)).path);
});

behaviour("negotiate: 99 redirects are followed", { user: "chained", negotiates: 100 }, async (run) => {
  const connection = await run.started("/redirect/chain/98");
  return { user: (await connection.invoke("WhoAmI")).user, negotiates: negotiates(await run.recorded()).length };
});

/** The text without the address, which is another one in each run. */
const reason = (text) => text.replace(/^negotiating with \S+ failed: /, "");

behaviour("negotiate: the 100th redirect is one too many", ["Negotiate redirection limit exceeded.", 100], async (run) => {
  const text = reason(await failure(run.build("/redirect/chain/99").start()));
  return [text, negotiates(await run.recorded()).length];
});

behaviour("negotiate: a token of an earlier hop stays in use", "kept", async (run) => (await (await run.started("/redirect/kept")).invoke("WhoAmI")).user);

behaviour("negotiate: a token without a URL replaces the factory's", "alice", async (run) => {
  const probe = await run.token();
  const answer = await (await fetch(run.url("/secure/negotiate?negotiateVersion=1"), { method: "POST", headers: { authorization: `Bearer ${probe}` } })).json();
  await run.rules({ method: "POST", path: "/secure/negotiate", answer: { ...answer, accessToken: probe } });
  const connection = run.build("/secure", { accessTokenFactory: () => "worth nothing" });
  await connection.start();
  return (await connection.invoke("WhoAmI")).user;
});

behaviour("negotiate: a redirect's token goes to the first server on the next start", [false, true], async (run) => {
  const connection = await run.started("/redirect/secure");
  await connection.stop();
  await connection.start();
  const asked = negotiates(await run.recorded()).filter(({ path }) => path.startsWith("/redirect/"));
  return asked.map(({ headers }) => "authorization" in headers);
});

behaviour("negotiate: after a stop the first URL is asked again", ["/redirect/plain/negotiate", "/hub/negotiate", "/redirect/plain/negotiate", "/hub/negotiate"], async (run) => {
  const connection = await run.started("/redirect/plain");
  await connection.stop();
  await connection.start();
  return negotiates(await run.recorded()).map(({ path }) => path.split("?")[0]);
});

behaviour("negotiate: a relative redirect fails", true, async (run) => {
  await run.rules({ method: "POST", path: "/negotiate", answer: { url: "/hub" } });
  return !(await failure(run.build("/hub").start())).startsWith("no error");
});

behaviour("negotiate: the server's error is the start's", true, async (run) => (await failure(run.build("/fault/error").start())).endsWith("the server says no"));

behaviour("negotiate: a server of old ASP.NET SignalR is refused", true, async (run) => /ASP\.NET SignalR/.test(await failure(run.build("/fault/legacy").start())));

for (const status of [401, 404, 503]) {
  behaviour(`negotiate: status ${status} fails the start and leaves it disconnected`, { said: true, statusCode: null, state: "Disconnected", closed: 0 }, async (run) => {
    const connection = run.build(`/fault/status/${status}`);
    let closed = 0;
    connection.onclose(() => { closed += 1; });
    const error = await connection.start().catch((error) => error);
    return { said: error.message.includes(String(status)), statusCode: error.statusCode ?? null, state: connection.state, closed };
  });
}

for (const [fault, what] of [["html", "a web page"], ["empty", "nothing"], ["truncated", "half an answer"]]) {
  behaviour(`negotiate: ${what} fails the start`, [true, "Disconnected"], async (run) => {
    const connection = run.build(`/fault/${fault}`);
    return [!(await failure(connection.start())).startsWith("no error"), connection.state];
  });
}

behaviour("negotiate: a stateful answer that was not asked for", "Client didn't negotiate Stateful Reconnect but the server did.", async (run) => {
  await run.rules({ method: "POST", path: "/negotiate", answer: { negotiateVersion: 1, connectionId: "a", connectionToken: "b", useStatefulReconnect: true, availableTransports: [] } });
  return reason(await failure(run.build("/hub").start()));
});

behaviour("tokens: how often the factory is asked for one start by WebSockets", 2, async (run) => {
  let asked = 0;
  const token = await run.token();
  const connection = run.build("/secure", { accessTokenFactory: () => { asked += 1; return token; } });
  await connection.start();
  return asked;
});

behaviour("tokens: a factory that fails fails the start", [true, "Disconnected"], async (run) => {
  const connection = run.build("/secure", { accessTokenFactory: () => Promise.reject(new Error("nobody is signed in")) });
  return [(await failure(connection.start())).includes("nobody is signed in"), connection.state];
});

behaviour("tokens: an empty one sends no header", [false], async (run) => {
  await run.started("/hub", { accessTokenFactory: () => "" });
  return negotiates(await run.recorded()).map(({ headers }) => "authorization" in headers);
});

behaviour("tokens: polls, sends and the end of long polling carry the token", true, async (run) => {
  const token = await run.token();
  const connection = await run.started("/secure", { accessTokenFactory: () => token, transport: run.signalr.HttpTransportType.LongPolling });
  await connection.invoke("Void");
  await connection.stop();
  const { requests } = await run.until(({ requests }) => requests.some(({ method }) => method === "DELETE"));
  return requests.every(({ headers }) => headers.authorization === `Bearer ${token}`);
});

behaviour("tokens: a 401 on a poll ends the connection", { closed: 1, asked: 1 }, async (run) => {
  let asked = 0;
  const token = await run.token();
  const connection = await run.started("/secure", {
    accessTokenFactory: () => { asked += 1; return token; }, transport: run.signalr.HttpTransportType.LongPolling,
  });
  const ended = ear();
  connection.onclose(ended.hear);
  asked = 1;
  await run.rules({ method: "GET", path: "/secure", status: 401 });
  // The poll that is under way comes back with this answer, and the next one meets the rule.
  await failure(connection.invoke("Void"));
  await Promise.race([ended.times(1), run.until(({ requests }) => requests.filter(({ method }) => method === "GET").length > 4)]);
  return { closed: ended.heard.length, asked };
});

behaviour("transports: the server's order counts, within the mask", ["WebSockets", "ServerSentEvents", "LongPolling"], async (run) => {
  const { WebSockets, ServerSentEvents, LongPolling } = run.signalr.HttpTransportType;
  const used = [];
  for (const mask of [LongPolling | ServerSentEvents | WebSockets, LongPolling | ServerSentEvents, LongPolling]) {
    const connection = await run.started("/hub", { transport: mask });
    used.push((await connection.invoke("WhoAmI")).transport);
    await connection.stop();
  }
  return used;
});

behaviour("transports: MessagePack passes over what takes only text", "LongPolling", async (run) => {
  const { ServerSentEvents, LongPolling } = run.signalr.HttpTransportType;
  const connection = await run.started("/hub", { transport: ServerSentEvents | LongPolling }, (builder) => builder.withHubProtocol(run.messagePack()));
  return (await connection.invoke("WhoAmI")).transport;
});

behaviour("transports: each that fails costs a new negotiate, and all are named", { negotiates: 3, named: [true, true, true] }, async (run) => {
  const text = await failure(run.build("/fault/dead-transports").start());
  return {
    negotiates: negotiates(await run.recorded()).length,
    named: ["WebSockets", "ServerSentEvents", "LongPolling"].map((name) => text.includes(name)),
  };
});

behaviour("transports: a server that offers none", "None of the transports supported by the client are supported by the server.", (run) => failure(run.build("/fault/no-transports").start()));

behaviour("transports: a name that nobody knows is passed over", true, async (run) => (await failure(run.build("/fault/unknown-transport").start())).includes("CarrierPigeon"));

behaviour("transports: skipping negotiation needs WebSockets alone", "Negotiation can only be skipped when using the WebSocket transport directly.", async (run) => {
  try {
    return await failure(run.build("/hub", { skipNegotiation: true }).start());
  } catch (error) {
    return error.message;
  }
});

behaviour("transports: without negotiation there is no request and no id", { negotiates: 0, id: null, sum: 3 }, async (run) => {
  const connection = run.direct("/hub");
  await connection.start();
  return { negotiates: negotiates(await run.recorded()).length, id: connection.connectionId, sum: await connection.invoke("Add", 1, 2) };
});

behaviour("WebSockets: a stop closes without a code", 1005, async (run) => {
  const connection = await run.started("/hub");
  await connection.stop();
  const { sockets } = await run.until(({ sockets }) => sockets[0]?.code);
  return sockets[0].code;
});

behaviour("WebSockets: what is sent at once goes in how many frames", 1, async (run) => {
  const connection = await run.started("/hub");
  await Promise.all([1, 2, 3].map((number) => connection.send("Record", "none", number)));
  const { sockets } = await run.until(({ sockets }) => sockets[0].frames.join().includes('"none",3'));
  return sockets[0].frames.filter((text) => text.includes('"none"')).length;
});

behaviour("Server-Sent Events: sends are requests with the token in a header and in no URL", true, async (run) => {
  const token = await run.token();
  const connection = await run.started("/secure", { accessTokenFactory: () => token, transport: run.signalr.HttpTransportType.ServerSentEvents });
  await connection.invoke("Void");
  const { requests } = await run.recorded();
  const sends = requests.filter(({ method, path }) => method === "POST" && !path.includes("negotiate"));
  return sends.length > 0 && sends.every(({ path, headers }) => !path.includes("access_token") && headers.authorization === `Bearer ${token}`);
});

behaviour("Server-Sent Events: the token is in the stream's URL", true, async (run) => {
  const token = await run.token();
  await run.started("/secure", { accessTokenFactory: () => token, transport: run.signalr.HttpTransportType.ServerSentEvents });
  const { requests } = await run.recorded();
  return requests.find(({ method }) => method === "GET").path.includes("access_token");
});

behaviour("long polling: a stop says goodbye, deletes the connection and tells", { last: ["DELETE", "POST"], closed: true }, async (run) => {
  const connection = await run.started("/hub", { transport: run.signalr.HttpTransportType.LongPolling });
  const ended = ear();
  connection.onclose(ended.hear);
  await connection.stop();
  const { requests } = await run.until(({ requests }) => requests.some(({ method }) => method === "DELETE"));
  const last = requests.filter(({ method }) => method !== "GET").slice(-2).map(({ method }) => method).sort();
  return { last, closed: ended.heard.length === 1 };
});

behaviour("long polling: no pings, and silence is no timeout", { pings: 0, state: "Connected" }, async (run) => {
  const connection = await run.started("/hub", { transport: run.signalr.HttpTransportType.LongPolling }, (builder) => builder.withServerTimeout(300).withKeepAliveInterval(100));
  await pause(700);
  const { requests } = await run.recorded();
  return { pings: requests.filter(({ body }) => body.includes('"type":6')).length, state: connection.state };
});
