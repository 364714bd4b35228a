// Everything of the mock hub, with types and without.
import * as signalr from "@microsoft/signalr";
import { HubConnectionBuilder, JsonHubProtocol, Subject } from "hubwire";
import { MockHub, type MockCall, type MockConnection, type MockStream } from "hubwire/testing";

interface Server {
  Add(a: number, b: number): number;
  Join(room: string): Promise<void>;
  Ticks(symbol: string): AsyncIterable<{ price: number }>;
  Total(items: AsyncIterable<number>, unit: string): number;
}
interface Client {
  Opened(name: string): void;
  Confirm(question: string): boolean;
}

const hub = new MockHub<Server, Client>({
  protocols: [new JsonHubProtocol()],
  transports: ["LongPolling"],
  statefulReconnect: true,
});
hub
  .method("Add", (a, b) => a + b)
  .method("Add", async (a: number, b: number) => a + b)
  .method("Join", async function (room) {
    await this.send("Opened", room.toUpperCase());
    const sure: boolean = await this.invoke("Confirm", this.accessToken ?? this.headers.authorization);
    if (!sure) throw new Error("not sure");
  })
  .method("Ticks", async function* (symbol) {
    yield { price: symbol.length };
  })
  .method("Ticks", () => [{ price: 1 }])
  .method("Ticks", () => new Subject<{ price: number }>())
  .method("Ticks", () => new signalr.Subject<{ price: number }>())
  .method("Total", async (unit, items) => {
    let sum = unit.length;
    for await (const item of items) sum += item;
    const seen: readonly number[] = items.items;
    return sum + seen.length;
  });
const connection = new HubConnectionBuilder().withUrl("/hub").build<Server, Client>();
new signalr.HubConnectionBuilder().withUrl("/hub", hub.options());
new signalr.HubConnectionBuilder().withUrl("/hub", { ...hub.options(), accessTokenFactory: () => "token" });

export async function use(page: Parameters<typeof hub.route>[0], frame: Window) {
  const [a, b]: [number, number] = await hub.received("Add");
  const [unit]: [string] = await hub.received("Total");
  const there: MockConnection<Client> = await hub.connected();
  const sure: boolean = await hub.invoke("Confirm", "really?");
  await hub.send("Opened", "door");
  await there.send("Opened", "door");
  there.close({ error: "bye", allowReconnect: true });
  hub.stall();
  hub.drop();
  hub.close();
  const accept = hub.refuse(401, { times: 1, when: ({ accessToken, transport }) => !accessToken && transport === "negotiate" });
  accept();
  const restore = hub.install("/chat");
  restore();
  hub.install(/chat/, frame)();
  const off = await hub.route(page, "/chat");
  await off();
  const call: MockCall | undefined = hub.calls.at(-1);
  const stream: MockStream | undefined = call?.streams[0];
  return [a, b, unit, sure, stream?.isDone, stream?.error, connection, hub.connections.map(({ connectionId }) => connectionId)];
}

const loose = new MockHub();
loose.method("Anything", (a, b) => [a, b]).method("Other", async function* () {});
loose.method("Third", () => {});
export const ends = [loose.send("Event", 1, "2"), loose.invoke("Ask"), loose.received("Anything")];
