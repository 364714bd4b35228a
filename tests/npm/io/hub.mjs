// The transports against a real hub: negotiate, a token, a handshake, and a call that comes back.
import assert from "node:assert/strict";
import { WebSocket as Ws } from "ws";
import { test } from "../../harness.mjs";
import { DefaultHttpClient, LongPollingTransport, make, requestHeaders, ServerSentEventsTransport, TransferFormat, until, WebSocketTransport } from "./servers.mjs";

const base = process.env.HUBWIRE_TEST_HUB_URL;
const SEPARATOR = "\x1e";

async function converse(Transport, io) {
  const httpClient = new DefaultHttpClient({ log() {} });
  const url = `${base}/secure`;
  const token = (await httpClient.get(`${base}/token?user=ada`)).content;
  const negotiated = await httpClient.post(`${url}/negotiate?negotiateVersion=1`, { content: "", headers: requestHeaders({}, token) });
  const { connectionToken } = JSON.parse(negotiated.content);
  const { transport, told } = make(Transport, { httpClient, authorization: { token: () => token }, ...io });
  await transport.connect(`${url}?id=${encodeURIComponent(connectionToken)}`, TransferFormat.Text);
  const messages = () => told.received.join("").split(SEPARATOR);
  await transport.send(`{"protocol":"json","version":1}${SEPARATOR}`);
  await until(() => messages().includes("{}"));
  const text = "grüße ".repeat(3000);
  await transport.send(`${JSON.stringify({ type: 1, invocationId: "1", target: "Echo", arguments: [text] })}${SEPARATOR}`);
  let completion;
  await until(() => (completion = messages().find((message) => message.includes('"invocationId":"1"') && message.endsWith("}"))));
  assert.equal(JSON.parse(completion).result, text);
  await transport.stop();
  assert.deepEqual(told.closed, [undefined]);
  assert.ok(!told.lines.join().includes(connectionToken));
  return told;
}

if (base) {
  test("hub: WebSocket", () => converse(WebSocketTransport, globalThis.WebSocket ? {} : { WebSocket: Ws }));
  test("hub: Server-Sent Events", () => converse(ServerSentEventsTransport));
  test("hub: long polling", async () => {
    const { lines } = await converse(LongPollingTransport);
    assert.ok(lines.includes("Trace (LongPolling transport) DELETE request accepted."));
  });
}
