// The official JavaScript client against `hubwire local`, on each transport in both protocols. Arguments: where it negotiates,
// and the names under which a version of the client and its MessagePack protocol are installed.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

// Version 5 is older than `fetch` in Node, and takes what has it for a browser.
globalThis.self ??= globalThis;
const [url, client, msgpack] = process.argv.slice(2);
const require = createRequire(import.meta.url);
const { HttpTransportType, HubConnectionBuilder, JsonHubProtocol, LogLevel } = require(client);
const { MessagePackHubProtocol } = require(msgpack);
/** From version 7 on, a client answers. */
const answers = Number(require(`${client}/package.json`).version.split('.')[0]) >= 7;

/** Resolves when this text comes; others are for other clients. */
const heard = (hub, text) =>
  new Promise((resolve) => {
    hub.on('Message', function handler(got) {
      if (got !== text) return;
      hub.off('Message', handler);
      resolve();
    });
  });

const builder = (user, transport, protocol) =>
  new HubConnectionBuilder()
    .withUrl(`${url}?user=${encodeURIComponent(user)}`, { transport: HttpTransportType[transport] })
    .withHubProtocol(protocol)
    .configureLogging(LogLevel.None);

async function calls(transport, protocol) {
  const user = `${client} ${transport} ${protocol.name}`;
  const hub = builder(user, transport, protocol).build();
  hub.on('Question', async (question) => `${question}, because`);
  await hub.start();
  const value = { a: [1, 2.5, null, true, 'ü'] };
  assert.deepEqual(await hub.invoke('Echo', value), value);
  await assert.rejects(hub.invoke('Fail', 'told'), /told/);

  for (const [text, ...call] of [
    [`${user} all`, 'Broadcast'],
    [`${user} user`, 'ToUser', user],
    [`${user} group`, 'ToGroup', 'room'],
  ]) {
    if (call[0] === 'ToGroup') await hub.invoke('Join', 'room');
    const received = heard(hub, text);
    await hub.send(...call, text);
    await received;
  }
  if (answers) assert.equal(await hub.invoke('Ask', 'why'), 'why, because');

  const closed = new Promise((resolve) => hub.onclose(resolve));
  await hub.send('Bye');
  await closed;
  // Another one: version 7 still stops its own when it says that it is closed.
  const again = builder(user, transport, protocol).withAutomaticReconnect([0, 100, 500]).build();
  await again.start();
  assert.equal(await again.invoke('Echo', 'again'), 'again');
  const reconnected = new Promise((resolve) => again.onreconnected(resolve));
  await again.send('Cut');
  await reconnected;
  assert.equal(await again.invoke('Echo', 'back'), 'back');
  await again.stop();
}

for (const transport of ['WebSockets', 'ServerSentEvents', 'LongPolling']) {
  await calls(transport, new JsonHubProtocol());
  if (transport !== 'ServerSentEvents') await calls(transport, new MessagePackHubProtocol());
}
console.log('done');
process.exit(0);
