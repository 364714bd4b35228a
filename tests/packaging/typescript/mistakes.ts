import { HubConnection, HubConnectionBuilder, HubConnectionState, parseClientToken } from "hubwire";
import { initialize } from "hubwire/slim";

new HubConnection(); // wrong: made by the builder
new HubConnectionBuilder().withUrl("/chat", { timeuot: 1 }); // wrong: no such option
const connection = new HubConnectionBuilder().withUrl("/chat").build();
connection.state = HubConnectionState.Connected; // wrong: read-only
const name: string = parseClientToken("").userId; // wrong: may be missing
initialize(); // wrong: the slim entry needs a module
export { name };
