import hubwire = require("hubwire");
import slim = require("hubwire/slim");

export function build(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  const connection: hubwire.HubConnection = new hubwire.HubConnectionBuilder().withUrl("/chat").build();
  // Both entries give the same class.
  const same: slim.HubConnection = connection;
  console.log(same.state === hubwire.HubConnectionState.Disconnected);
  return slim.initialize(bytes);
}
