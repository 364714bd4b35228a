import { HubConnectionBuilder, Subject } from "hubwire";

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
new HubConnectionBuilder().withUrl("/hub", { httpClient: {} }); // wrong: no client
new HubConnectionBuilder().withUrl("/hub", { tokenFactory: () => "" }); // wrong: no such option
