// Calls a hub hosted in Rust with @microsoft/signalr, on each transport in both protocols. Arguments: the hub's address, and
// the names under which a version of the client and its MessagePack protocol are installed.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

// Version 5 is older than `fetch` in Node, and takes what has it for a browser.
globalThis.self ??= globalThis;
const [url, client, msgpack] = process.argv.slice(2);
const require = createRequire(import.meta.url);
const { HttpTransportType, HubConnectionBuilder, JsonHubProtocol, LogLevel, Subject } = require(client);
const { MessagePackHubProtocol } = require(msgpack);
/** From version 7 on, a client answers. */
const answers = Number(require(`${client}/package.json`).version.split('.')[0]) >= 7;

const next = (hub, method) =>
  new Promise((resolve) => {
    const handler = (...values) => {
      hub.off(method, handler);
      resolve(values);
    };
    hub.on(method, handler);
  });

/** What a stream gives before it ends, and its error. */
const items = (stream) =>
  new Promise((resolve) => {
    const all = [];
    stream.subscribe({
      next: (item) => all.push(item),
      complete: () => resolve([all]),
      error: (error) => resolve([all, error.message]),
    });
  });

function upload(values, error) {
  const subject = new Subject();
  // The client subscribes when it has sent the call.
  setTimeout(() => {
    values.forEach((value) => subject.next(value));
    error === undefined ? subject.complete() : subject.error(error);
  });
  return subject;
}

async function fails(call, text) {
  await assert.rejects(call, (error) => {
    assert.ok(error.message.includes(text), error.message);
    return true;
  });
}

async function calls(transport, protocol) {
  const hub = new HubConnectionBuilder()
    .withUrl(`${url}?colour=blue`, { transport, accessTokenFactory: () => 'ann' })
    .withHubProtocol(protocol)
    .configureLogging(LogLevel.None)
    .build();
  const closed = new Promise((resolve) => hub.onclose(resolve));
  await hub.start();
  assert.equal(await hub.invoke('Add', 1, 2), 3);
  assert.ok(!(await hub.invoke('Void')));
  assert.equal(await hub.invoke('NullResult'), null);
  assert.equal((await hub.invoke('WhoAmI')).user, 'ann');
  assert.equal(await hub.invoke('Query', 'colour'), 'blue');
  assert.equal((await hub.invoke('LargeString', 100_000)).length, 100_000);
  assert.deepEqual(await hub.invoke('Echo', { a: [1, 2.5, null, true, 'ü'] }), { a: [1, 2.5, null, true, 'ü'] });

  await fails(hub.invoke('HubError', 'told'), 'HubException: told');
  await fails(hub.invoke('Throw'), "invoking 'Throw' on the server.");
  await fails(hub.invoke('Nothing'), 'Method does not exist.');
  await fails(hub.invoke('Add', 1), "Failed to invoke 'Add'");
  await fails(hub.invoke('Counter', 3, 0), "invoke the streaming 'Counter' method");
  assert.match((await items(hub.stream('Add', 1, 2)))[1], /non-streaming 'Add' method/);

  assert.deepEqual(await items(hub.stream('Counter', 3, 1)), [[0, 1, 2]]);
  assert.equal((await items(hub.stream('CounterChannel', 2000)))[0].length, 2000);
  const [some, error] = await items(hub.stream('CounterThenError', 2, 'broken'));
  assert.deepEqual(some, [0, 1]);
  assert.match(error, /HubException: broken/);
  const cancelled = await new Promise((resolve) => {
    const subscription = hub.stream('Counter', 1_000_000, 1).subscribe({
      next: () => resolve(subscription),
      complete: () => {},
      error: () => {},
    });
  });
  cancelled.dispose();

  assert.equal(await hub.invoke('UploadSum', upload([1, 2, 3])), 6);
  // Not two in a row: this client takes the second one for a value.
  assert.equal(await hub.invoke('UploadConcat', upload(['a', 'b']), '-'), 'a-b');
  assert.match(await hub.invoke('UploadOutcome', upload([1], new Error('gone'))), /^HubException: .*gone/);
  assert.deepEqual(await items(hub.stream('EchoStream', upload([1, 'two', null]))), [[1, 'two', null]]);
  const uploaded = next(hub, 'Uploaded');
  await hub.send('UploadQuietly', upload([1, 2]));
  assert.deepEqual(await uploaded, [3]);

  if (answers) {
    hub.on('Question', async (question) => `${question}, because`);
    assert.equal(await hub.invoke('Ask', 'Question', 'why'), 'why, because');
    hub.on('Trouble', async () => Promise.reject(new Error('no idea')));
    assert.match(await hub.invoke('Ask', 'Trouble', 'why'), /no idea/);
  }

  await hub.invoke('Join', 'room');
  const told = next(hub, 'News');
  await hub.invoke('ToGroup', 'room', 'News', 'hello');
  assert.deepEqual(await told, ['hello']);
  const mine = next(hub, 'News');
  await hub.invoke('ToOthers', 'News', 'not to me');
  await hub.invoke('ToUser', 'ann', 'News', 'mine');
  assert.deepEqual(await mine, ['mine']);

  await hub.send('Close');
  assert.equal(await closed, undefined);
}

for (const transport of ['WebSockets', 'ServerSentEvents', 'LongPolling']) {
  await calls(HttpTransportType[transport], new JsonHubProtocol());
  if (transport !== 'ServerSentEvents') await calls(HttpTransportType[transport], new MessagePackHubProtocol());
}
await assert.rejects(
  new HubConnectionBuilder().withUrl(url, { accessTokenFactory: () => 'refused' }).configureLogging(LogLevel.None).build().start(),
  /401|Unauthorized/,
);
console.log('done');
process.exit(0);
