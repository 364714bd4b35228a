// Whole connections, and what goes wrong on their sides: refusals without a text, hub protocols that refuse.
import assert from "node:assert/strict";
import { HttpError as OfficialHttpError } from "@microsoft/signalr";
import { test } from "../../harness.mjs";
import { folder, HttpClient, until, withServer } from "./servers.mjs";

const { HubConnectionBuilder, JsonHubProtocol } = await import(new URL("src/index.js", folder));
const { MockHub } = await import(new URL("src/testing.js", folder));

const build = (url, options) => new HubConnectionBuilder().withUrl(url, options).configureLogging("none");

const refused = (request, response) => {
  response.writeHead(Number(request.url.split("/")[1]));
  response.end();
};

test("connection: a refusal without a text is told in HTTP's words, as by the official client", withServer(refused, async ({ url }) => {
  const failed = "Failed to complete negotiation with the server: Error: ";
  for (const [status, text] of [[401, "Unauthorized"], [403, "Forbidden"], [503, "Service Unavailable"]]) {
    const message = `${failed}${text}: Status code '${status}'`;
    await assert.rejects(build(`${url}/${status}`).build().start(), { message, statusCode: status });
    // An application's HTTP client, whose errors have no more than that.
    const httpClient = new (class extends HttpClient {
      send = async () => {
        throw new OfficialHttpError(text, status);
      };
    })();
    await assert.rejects(build(`${url}/${status}`, { httpClient }).build().start(), { message, statusCode: status });
  }
}));

/** JSON, but for some types of messages. */
function protocol(instead) {
  const json = new JsonHubProtocol();
  return {
    name: json.name,
    version: json.version,
    transferFormat: json.transferFormat,
    parseMessages: (...args) => json.parseMessages(...args),
    writeMessage: (message) => (instead[message.type] ?? ((message) => json.writeMessage(message)))(message),
  };
}

const refuse = (message) => {
  throw new Error(`Nothing of type ${message.type}`);
};
const COMPLETION = 3;
const CANCEL = 5;
const PING = 6;
const CLOSE = 7;

test("connection: a hub protocol that refuses a ping ends the connection, which can be started again", async () => {
  const hub = new MockHub();
  hub.method("Add", (a, b) => a + b);
  const faults = { [PING]: refuse };
  const connection = build("http://hub.test/chat", hub.options()).withHubProtocol(protocol(faults)).withKeepAliveInterval(5).build();
  for (let n = 0; n < 2; n += 1) {
    const closed = new Promise((resolve) => connection.onclose(resolve));
    await connection.start();
    const error = await closed;
    assert.equal(error?.message, "Nothing of type 6");
    assert.equal(connection.state, "Disconnected");
  }
  delete faults[PING];
  await connection.start();
  assert.equal(await connection.invoke("Add", 1, 2), 3);
  await connection.stop();
});

test("connection: a ping that is refused once costs a connection with reconnect no more than that", async () => {
  const hub = new MockHub();
  hub.method("Add", (a, b) => a + b);
  const faults = { [PING]: refuse };
  const connection = build("http://hub.test/chat", hub.options())
    .withHubProtocol(protocol(faults))
    .withKeepAliveInterval(5)
    .withAutomaticReconnect([0])
    .build();
  const reasons = [];
  connection.onreconnecting((error) => {
    reasons.push(error.message);
    delete faults[PING];
  });
  const reconnected = new Promise((resolve) => connection.onreconnected(resolve));
  await connection.start();
  await reconnected;
  assert.deepEqual(reasons, ["Nothing of type 6"]);
  assert.equal(await connection.invoke("Add", 1, 2), 3);
  await connection.stop();
});

test("connection: the other messages that a hub protocol refuses", async () => {
  const hub = new MockHub();
  hub.method("Forever", async function* () {
    for (let n = 0; ; n += 1) {
      yield n;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  });
  // A close: the connection ends without it.
  let connection = build("http://hub.test/chat", hub.options()).withHubProtocol(protocol({ [CLOSE]: refuse })).build();
  const ends = [];
  connection.onclose((error) => ends.push(error));
  await connection.start();
  await connection.stop();
  assert.deepEqual(ends, [undefined]);
  // That a stream is not wanted any more.
  connection = build("http://hub.test/chat", hub.options()).withHubProtocol(protocol({ [CANCEL]: refuse })).build();
  connection.onclose((error) => ends.push(error?.message));
  await connection.start();
  const items = [];
  const stream = connection.stream("Forever").subscribe({ next: (item) => items.push(item), error() {}, complete() {} });
  await until(() => items.length > 0);
  stream.dispose();
  await until(() => ends.length === 2);
  assert.equal(ends[1], "Nothing of type 5");
});

test("connection: a hub protocol may make nothing of a ping", async () => {
  const hub = new MockHub();
  hub.method("Add", (a, b) => a + b);
  let pings = 0;
  const nothing = () => {
    pings += 1;
    return "";
  };
  const connection = build("http://hub.test/chat", hub.options()).withHubProtocol(protocol({ [PING]: nothing })).withKeepAliveInterval(2).build();
  await connection.start();
  await until(() => pings > 3);
  assert.equal(await connection.invoke("Add", 1, 2), 3);
  await connection.stop();
});

test("connection: an answer that cannot be written is told to the log only", async () => {
  const hub = new MockHub();
  hub.method("Add", (a, b) => a + b);
  const lines = [];
  const connection = build("http://hub.test/chat", hub.options())
    .configureLogging({ log: (_level, line) => lines.push(line) })
    .withHubProtocol(protocol({ [COMPLETION]: refuse }))
    .build();
  connection.on("AskName", () => "Ann");
  await connection.start();
  hub.invoke("AskName").catch(() => {});
  await until(() => lines.includes("Invoke client method threw error: Error: Nothing of type 3"));
  assert.equal(await connection.invoke("Add", 1, 2), 3);
  await connection.stop();
});
