// Everything that an application may use, as it is typed.
import {
  AbortError,
  HttpError,
  HttpTransportType,
  HubConnectionBuilder,
  HubConnectionState,
  HubwireError,
  JsonHubProtocol,
  LogLevel,
  MessagePackHubProtocol,
  NullLogger,
  Subject,
  TimeoutError,
  VERSION,
  type HubConnection,
  type HubStream,
  type IAsyncRetryPolicy,
  type IRetryPolicy,
  type RetryContext,
} from "hubwire";

// A hub and its clients.
interface Tick {
  symbol: string;
  price: number;
}
interface MarketServer {
  Buy(symbol: string, amount: number): Promise<string>;
  Find(symbol: string): Tick | null;
  Watch(symbol: string): void;
  Ticks(symbol: string): AsyncIterable<Tick>;
  Upload(orders: AsyncIterable<number>, note: string): number;
}
interface MarketClient {
  Opened(name: string): void;
  Confirm(question: string): boolean;
}

export async function typed(): Promise<void> {
  const connection = new HubConnectionBuilder().withUrl("/market").build<MarketServer, MarketClient>();
  const receipt: string = await connection.invoke("Buy", "MSFT", 3);
  const tick: Tick | null = await connection.invoke("Find", "MSFT");
  await connection.send("Watch", receipt);
  for await (const { symbol, price } of connection.stream("Ticks", tick?.symbol ?? "")) console.log(symbol, price);
  connection.stream("Ticks", "MSFT").subscribe({
    next: ({ price }) => console.log(price.toFixed(2)),
    error: (error) => console.log(error),
    complete: () => {},
  });
  const orders = new Subject<number>();
  const sum: number = await connection.invoke("Upload", orders, "note");
  const again: number = await connection.with({ signal: AbortSignal.timeout(sum) }).invoke("Upload", numbers(), "note");
  const opened = (name: string) => console.log(name, again);
  connection.on("Opened", opened);
  connection.on("Opened", async (name) => console.log(name.length));
  connection.on("Confirm", async (question) => question !== "");
  connection.off("Opened", opened);
  const any: HubConnection = connection;
  general(any);
}

async function* numbers(): AsyncGenerator<number> {
  yield 1;
}

function general(connection: HubConnection): void {
  const stream: HubStream<number> = connection.stream<number>("Counter", 1, { signal: "an argument" });
  const subscription = stream.subscribe({ next: (item) => console.log(item.toFixed()), error() {}, complete() {} });
  subscription.dispose();
  const remove: () => void = connection.onstatechange(({ state, previousState, error }) => {
    const connected: boolean = state === HubConnectionState.Connected && previousState === HubConnectionState.Connecting;
    console.log(connected, error?.message);
  });
  remove();
  connection.onreconnecting((error?: Error) => console.log(error));
  connection.onreconnected((connectionId?: string) => console.log(connectionId));
  connection.onAuthenticationRefreshed(({ newTokenLifetimeInSeconds }) => console.log(newTokenLifetimeInSeconds));
  connection.onAuthenticationRefreshFailed(({ error }) => console.log(error.message));
  connection.refreshAuthentication().then((seconds?: number) => console.log(seconds));
}

const policy: IRetryPolicy = {
  nextRetryDelayInMilliseconds: ({ previousRetryCount, elapsedMilliseconds, retryReason }: RetryContext) =>
    retryReason instanceof TimeoutError || elapsedMilliseconds > 60_000 ? null : previousRetryCount * 1_000,
};
const later: IAsyncRetryPolicy = { nextRetryDelayInMilliseconds: async () => null };

export const built: HubConnection = new HubConnectionBuilder()
  .withUrl("/hub", { logger: LogLevel.Debug, logMessageContent: true, transport: HttpTransportType.LongPolling })
  .configureLogging(NullLogger.instance)
  .withHubProtocol(new JsonHubProtocol())
  .withHubProtocol(new MessagePackHubProtocol({ useBigInt64: true, ignoreUndefined: true }))
  .withAutomaticReconnect(policy)
  .withFirstConnectRetry()
  .withStatefulReconnect({ bufferSize: 200_000 })
  .withAuthenticationRefresh({ enableAutoRefresh: false })
  .build();
new HubConnectionBuilder().withUrl("/hub").withAutomaticReconnect().withStatefulReconnect().withAutomaticReconnect([0, 1_000]);
new HubConnectionBuilder().withUrl("/hub").withAutomaticReconnect(later).withAutomaticReconnect([0, null]);
new HubConnectionBuilder().withUrl(new URL("https://example.com/hub"), { WebSocket, EventSource });

export function explain(error: unknown): string {
  if (error instanceof AbortError) return "aborted";
  if (error instanceof HttpError) return error.statusCode.toFixed();
  if (error instanceof HubwireError) return `${error.code} ${error.errorType ?? ""} ${VERSION}`;
  return new HttpError("mine", 500, { cause: error }).message;
}

export type Up = HubConnectionState.Connected | HubConnectionState.Reconnecting;
