// Sends and receives numbers with @microsoft/signalr while its sockets are cut. Arguments: the hub's address, the protocol, how many numbers.
import assert from 'node:assert/strict';

import { HttpTransportType, HubConnectionBuilder, JsonHubProtocol, LogLevel } from '@microsoft/signalr';
import { MessagePackHubProtocol } from '@microsoft/signalr-protocol-msgpack';

const [url, protocol, count] = [process.argv[2], process.argv[3], Number(process.argv[4])];
const numbers = Array.from({ length: count }, (_, number) => number);
const hub = new HubConnectionBuilder()
  .withUrl(url, { transport: HttpTransportType.WebSockets })
  .withHubProtocol(protocol === 'json' ? new JsonHubProtocol() : new MessagePackHubProtocol())
  .withStatefulReconnect()
  .configureLogging(LogLevel.None)
  .build();
hub.onclose((error) => {
  console.error(error);
  process.exit(1);
});
const heard = [];
const all = new Promise((resolve) => {
  hub.on('Number', (number) => heard.push(number) === count && resolve());
});
await hub.start();
const id = hub.connectionId;
await hub.send('SendNumbers', count);
for (const number of numbers) {
  if (number % 100 === 50) console.log('cut');
  await hub.send('Note', number);
  await new Promise((resolve) => setTimeout(resolve, 2));
}
await all;
assert.deepEqual(heard, numbers);
assert.deepEqual(await hub.invoke('Noted'), numbers);
assert.equal(hub.connectionId, id);
console.log('done');
process.exit(0);
