// What the log tells, in the official client's words, and that no secret gets into it or into an error.
import assert from "node:assert/strict";
import { inspect } from "node:util";
import * as signalr from "@microsoft/signalr";
import { WebSocket as Ws } from "ws";
import { test } from "../../harness.mjs";
import { connect, hubwire, settled, transports, until, withHub } from "./hub.mjs";

const { LogLevel } = hubwire;
const secrets = {
  accessTokenFactory: () => "secret.token.value",
  headers: { "X-Api-Key": "secret-api-key", Cookie: "session=secret-cookie" },
};
const retries = (delays) => (builder) => builder.withAutomaticReconnect(delays);
const noSecret = (...told) => assert.ok(!/secret/.test(inspect(told, { depth: 9 })), inspect(told, { depth: 9 }));
const quoting = (request) => ({ status: 500, body: `It failed at ${request.url}\n${JSON.stringify(request.headers)}` });
const lines = (connection, level) => connection.lines.filter((line) => line.startsWith(level));

for (const transport of transports) {
  test(`no secret in the log or in an error, ${transport}`, withHub({}, async ({ url, ...hub }) => {
    const own = `${url}?api_key=secret-query`;
    const connection = connect(own, { transport, ...secrets }, retries([0, 0]));
    await connection.start();
    hub.options.refuse = (request) => request.body?.includes("Bad") && quoting(request);
    noSecret(await settled(connection.send("Bad")), await settled(connection.invoke(transport === "WebSockets" ? "Echo" : "Bad")));
    const again = new Promise((done) => connection.onreconnected(done));
    hub.last().drop();
    await again;
    const closed = new Promise((done) => connection.onclose(done));
    hub.options.refuse = (request) => (request.headers.upgrade ? 500 : quoting(request));
    hub.last().drop();
    const error = await closed;
    assert.match(error.message, /exhausted/);
    noSecret(error);
    noSecret(await settled(connection.start()));
    // Negotiated, and then refused.
    hub.options.refuse = (request) => (request.url.includes("negotiate") ? undefined : request.headers.upgrade ? 500 : quoting(request));
    noSecret(await settled(connection.start()));
    noSecret(connection.lines);
    assert.ok(connection.lines.includes(`Debug Sending negotiation request: ${url}/negotiate.`));
  }));
}

test("no password of a URL in the log", async () => {
  const connection = connect("http://ada:secret-password@127.0.0.1:1/a/../hub?x=secret");
  noSecret(await settled(connection.start()), connection.lines);
});

test("the log of a start and a stop", withHub({}, async ({ url }) => {
  const connection = connect(url);
  await connection.start();
  await connection.stop();
  assert.deepEqual(connection.lines.map((line) => line.replace(url.slice(4), "")), [
    "Debug Starting HubConnection.",
    "Debug Starting connection with transfer format 'Text'.",
    "Debug Sending negotiation request: http/negotiate.",
    "Debug Selecting transport 'WebSockets'.",
    "Trace (WebSockets transport) Connecting.",
    "Information WebSocket connected to ws.",
    "Debug The HttpConnection connected successfully.",
    "Debug Sending handshake request.",
    "Information Using HubProtocol 'json'.",
    "Trace (WebSockets transport) sending data. String data of length 32.",
    "Trace (WebSockets transport) data received. String data of length 3.",
    "Debug Server handshake complete.",
    "Trace (WebSockets transport) sending data. String data of length 11.",
    "Debug HubConnection connected successfully.",
    "Debug Stopping HubConnection.",
    "Trace (WebSockets transport) sending data. String data of length 11.",
    "Trace (WebSockets transport) socket closed.",
    "Information Connection disconnected.",
  ]);
}));

for (const logMessageContent of [true, false]) {
  test(`each message is logged once${logMessageContent ? ", with its content" : ""}, as by the official client`, withHub({}, async ({ url }) => {
    const kept = {};
    for (const [name, { HubConnectionBuilder, HttpTransportType }] of Object.entries({ official: signalr, ours: hubwire })) {
      const lines = [];
      const logger = { log: (level, message) => lines.push([level, message]) };
      const options = { logger, logMessageContent, transport: HttpTransportType.WebSockets, WebSocket: Ws };
      const connection = new HubConnectionBuilder().withUrl(url, options).configureLogging(logger).build();
      await connection.start();
      await connection.invoke("Echo", "in the log");
      await connection.stop();
      kept[name] = lines.filter(([, line]) => /in the log|data of length/.test(line) && !/"type":[67]|length 11/.test(line));
      // The ping, and what goes before the end.
      assert.equal(lines.filter(([, line]) => line.includes("in the log")).length, logMessageContent ? 2 : 0);
    }
    // The client's numbers begin alike; the order of a message's members is not the same.
    const members = ([level, line]) => [level, [...line].sort().join("")];
    assert.deepEqual(kept.ours.map(members), kept.official.map(members));
  }));
}

test("the log of a fallback, a loss and a failure", withHub({}, async ({ url, ...hub }) => {
  hub.options.refuse = (request) => (request.headers.upgrade ? 503 : request.headers.accept === "text/event-stream" ? 501 : undefined);
  const connection = connect(url, {}, retries([0, 0]));
  await connection.start();
  const [first, second] = lines(connection, "Error");
  assert.match(first, /^Error Failed to start the transport 'WebSockets': Error: WebSocket failed to connect\./);
  assert.match(second, /^Error Failed to start the transport 'ServerSentEvents': Error: EventSource failed to connect\./);
  assert.equal(lines(connection, "Error").length, 2);
  await connection.stop();

  const other = connect(url, { transport: "LongPolling" }, retries([0, 0]));
  await other.start();
  for (const name of ["WebSockets", "ServerSentEvents"]) {
    assert.ok(other.lines.includes(`Debug Skipping transport '${name}' because it was disabled by the client.`));
  }
  const closed = new Promise((done) => other.onclose(done));
  hub.options.refuse = () => 503;
  other.lines.length = 0;
  hub.last().drop();
  await closed;
  const failure = "Error: Failed to complete negotiation with the server: Error: Service Unavailable: Status code '503'";
  assert.match(lines(other, "Error")[0], /^Error Connection disconnected with error 'Error: /);
  for (const line of [
    "Information Reconnect attempt number 1 will start in 0 ms.",
    `Information Reconnect attempt failed because of error '${failure}'.`,
    "Information Reconnect attempt number 2 will start in 0 ms.",
  ]) assert.ok(other.lines.includes(line), `${line} is not in\n${other.lines.join("\n")}`);
  assert.match(lines(other, "Information Reconnect retries")[0], /exhausted after \d+ ms and 2 failed attempts\. Connection disconnecting\.$/);
  assert.match(lines(other, "Information Connection reconnecting")[0], /because of error 'Error: /);
  other.lines.length = 0;
  assert.equal(`${await settled(other.start())}`, failure);
  assert.deepEqual(lines(other, "Error"), [`Error Failed to start the connection: ${failure}`]);
}));

test("the console gets each line once", withHub({}, async ({ url }) => {
  const methods = ["error", "warn", "info", "log", "debug"];
  const before = methods.map((method) => console[method]);
  const written = [];
  for (const method of methods) console[method] = (line) => written.push(line.replace(/^\[\S+\] /, ""));
  try {
    const level = LogLevel.Debug;
    const connection = connect(url, { logger: level }, (builder) => builder.configureLogging(level));
    await connection.start();
    await connection.stop();
  } finally {
    methods.forEach((method, n) => (console[method] = before[n]));
  }
  assert.ok(written.length > 5);
  assert.deepEqual(written, [...new Set(written)]);
}));
