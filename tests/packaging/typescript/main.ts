import {
  HttpTransportType,
  HubConnection,
  HubConnectionBuilder,
  HubConnectionState,
  HubwireError,
  LogLevel,
  initialize,
  parseClientToken,
  parseNegotiateResponse,
  type ClientToken,
  type IHttpConnectionOptions,
  type ILogger,
} from "hubwire";
import { HubConnectionBuilder as EagerBuilder } from "hubwire/eager";
import { initialize as initializeSlim, type HubConnection as SlimConnection } from "hubwire/slim";

const logger: ILogger = { log: (level: LogLevel, message: string) => console.log(LogLevel[level], message) };
const options: IHttpConnectionOptions = {
  accessTokenFactory: async () => "token",
  headers: { "x-tenant": "contoso" },
  transport: HttpTransportType.WebSockets,
  skipNegotiation: true,
  withCredentials: false,
  timeout: 5_000,
};

export async function chat(): Promise<number> {
  await initialize();
  const connection: HubConnection = new HubConnectionBuilder()
    .withUrl("/chat", options)
    .configureLogging(logger)
    .configureLogging(LogLevel.Warning)
    .configureLogging("warning")
    .withServerTimeout(60_000)
    .withKeepAliveInterval(20_000)
    .build();
  const handler = (user: string, text: string) => console.log(user, text);
  connection.on("ReceiveMessage", handler);
  connection.off("ReceiveMessage", handler);
  connection.off("ReceiveMessage");
  connection.onclose((error?: Error) => console.log(error?.message));
  try {
    await connection.start();
  } catch (error) {
    if (error instanceof HubwireError) console.log(error.code === "Negotiate", error.statusCode?.toFixed());
  }
  const connected: boolean = connection.state === HubConnectionState.Connected;
  const state: HubConnectionState = connection.state;
  const id: string | null = connection.connectionId;
  console.log(connected, state, id, connection.negotiated?.transport);
  await connection.send("SendMessage", "alice", 1);
  const sum = await connection.invoke<number>("Add", 1, 2);
  await connection.stop();
  return sum;
}

export function claims(response: string): ClientToken {
  const { url, accessToken, availableTransports } = parseNegotiateResponse(response);
  console.log(url, availableTransports.map(({ transport }) => transport).join());
  return parseClientToken(accessToken ?? "");
}

export async function slim(connection: SlimConnection): Promise<HubConnection> {
  await initializeSlim(fetch("/hubwire.wasm"));
  return connection;
}

export const eager: HubConnection = new EagerBuilder().withUrl("/chat").build();
