import { HubConnectionBuilder, Subject } from "hubwire";
import { MockHub } from "hubwire/testing";

interface Server {
  Add(a: number, b: number): number;
  Ticks(symbol: string): AsyncIterable<number>;
  Upload(items: AsyncIterable<number>): void;
}
interface Client {
  Opened(name: string): void;
  Confirm(question: string): boolean;
}
const connection = new HubConnectionBuilder().withUrl("/hub").build<Server, Client>();
connection.invoke("Add", 1, "2"); // wrong: a text
connection.invoke("Add", 1); // wrong: one is missing
connection.invoke("Ad", 1, 2); // wrong: no such method
connection.invoke("Ticks", "MSFT"); // wrong: it streams
connection.stream("Add", 1, 2); // wrong: it does not stream
connection.invoke("Add", 1, 2).then((sum: string) => sum); // wrong: a number
connection.send("Upload", new Subject<string>()); // wrong: another kind of items
connection.on("Opened", (name: number) => name); // wrong: a text
connection.on("Closed", () => {}); // wrong: no such method
connection.on("Confirm", () => "yes"); // wrong: another result
connection.with({ sginal: undefined }); // wrong: no such option
new HubConnectionBuilder().withAutomaticReconnect({}); // wrong: no policy

const hub = new MockHub<Server, Client>({ statefulReconect: true }); // wrong: no such option
hub.method("Ad", () => 1); // wrong: no such method
hub.method("Add", () => "3"); // wrong: another result
hub.method("Add", (a: string) => a.length); // wrong: a number
hub.method("Ticks", () => 1); // wrong: it streams
hub.method("Ticks", () => ["1"]); // wrong: another kind of items
hub.send("Opened", 1); // wrong: a number
hub.send("Closed"); // wrong: no such method
hub.invoke("Confirm", "sure?").then((sure: string) => sure); // wrong: a boolean
hub.received("Ad"); // wrong: no such method
hub.install(1); // wrong: no URL
new HubConnectionBuilder().withUrl("/hub", { httpClient: {} }); // wrong: no client
new HubConnectionBuilder().withUrl("/hub", { tokenFactory: () => "" }); // wrong: no such option
