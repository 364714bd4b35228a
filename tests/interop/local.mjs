// The official client, driven by lines of JSON: it hears `Push`, answers `Add`, and calls what it is told to.
// Arguments: the transport and the protocol. The first line says `{url, token}`.
import { createInterface } from "node:readline";
import { HttpTransportType, HubConnectionBuilder, LogLevel } from "@microsoft/signalr";
import { MessagePackHubProtocol } from "@microsoft/signalr-protocol-msgpack";

const [transport, protocol] = process.argv.slice(2);
const say = (line) => console.log(JSON.stringify(line));
let connection;

async function connect({ url, token }) {
  const builder = new HubConnectionBuilder()
    .withUrl(url, { accessTokenFactory: () => token, transport: HttpTransportType[transport] })
    .configureLogging(LogLevel.None);
  if (protocol === "messagepack") builder.withHubProtocol(new MessagePackHubProtocol());
  connection = builder.build();
  connection.on("Push", (...heard) => say({ heard }));
  connection.on("Add", (a, b) => a + b);
  connection.onclose((error) => say(error ? { failed: String(error) } : { stopped: true }));
  await connection.start();
  say({ connected: connection.connectionId });
}

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  try {
    if (command.url) await connect(command);
    else if (command.call) say({ answer: await connection.invoke(command.call, command.number) });
    else await connection.stop();
  } catch (error) {
    say({ failed: String(error) });
  }
}
process.exit(0);
