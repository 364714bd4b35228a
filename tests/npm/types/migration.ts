// An application of the official package. It has to compile against this one with nothing but its import changed.
import * as signalR from "@microsoft/signalr";

class SignalRLogger implements signalR.ILogger {
  log(logLevel: signalR.LogLevel, message: string): void {
    if (logLevel >= signalR.LogLevel.Warning) console.log(signalR.LogLevel[logLevel], message);
  }
}

class Backoff implements signalR.IRetryPolicy {
  nextRetryDelayInMilliseconds(retryContext: signalR.RetryContext): number | null {
    if (retryContext.elapsedMilliseconds > 60_000) return null;
    return Math.min(1_000 * 2 ** retryContext.previousRetryCount, 10_000);
  }
}

export class ChatService {
  private readonly connection: signalR.HubConnection;
  private stocks?: signalR.ISubscription<number>;
  public state: signalR.HubConnectionState = signalR.HubConnectionState.Disconnected;

  constructor(private readonly token: () => Promise<string>) {
    const options: signalR.IHttpConnectionOptions = {
      accessTokenFactory: () => this.token(),
      transport: signalR.HttpTransportType.WebSockets | signalR.HttpTransportType.ServerSentEvents,
      headers: { "x-tenant": "contoso" },
      withCredentials: true,
      timeout: 30_000,
      logMessageContent: false,
      logger: signalR.LogLevel.Information,
    };
    this.connection = new signalR.HubConnectionBuilder()
      .withUrl("https://example.com/chat", options)
      .withAutomaticReconnect(new Backoff())
      .configureLogging(new SignalRLogger())
      .withHubProtocol(new signalR.JsonHubProtocol())
      .withStatefulReconnect({ bufferSize: 100_000 })
      .withServerTimeout(60_000)
      .withKeepAliveInterval(15_000)
      .build();
    this.connection.serverTimeoutInMilliseconds = 120_000;
    this.connection.onreconnecting((error?: Error) => this.changed(error?.message));
    this.connection.onreconnected((id?: string) => this.changed(id));
    this.connection.onclose(async (error?: Error) => {
      this.changed(error?.message);
      await this.start();
    });
    this.connection.on("ReceiveMessage", (user: string, message: string) => console.log(user, message));
    this.connection.on("GetName", async (): Promise<string> => "alice");
  }

  async start(): Promise<void> {
    try {
      await this.connection.start();
      console.assert(this.connection.state === signalR.HubConnectionState.Connected);
    } catch (error) {
      if (error instanceof signalR.HttpError && error.statusCode === 401) return;
      if (error instanceof signalR.TimeoutError || error instanceof signalR.AbortError) console.log(error.message);
      setTimeout(() => this.start(), 5_000);
    }
  }

  async talk(): Promise<number> {
    await this.connection.send("SendMessage", "alice", "hello");
    const subject = new signalR.Subject<string>();
    this.connection.send("UploadStream", subject).catch((error: Error) => console.error(error.toString()));
    subject.next("item");
    subject.complete();
    const stream: signalR.IStreamResult<number> = this.connection.stream<number>("Counter", 10, 500);
    const subscriber: signalR.IStreamSubscriber<number> = { next: (item) => console.log(item), complete() {}, error() {} };
    this.stocks = stream.subscribe(subscriber);
    return this.connection.invoke<number>("Add", 1, 2);
  }

  async stop(): Promise<void> {
    this.stocks?.dispose();
    this.connection.off("ReceiveMessage");
    await this.connection.stop();
    console.log(this.connection.connectionId ?? "none", this.connection.baseUrl, signalR.VERSION);
  }

  private changed(detail = ""): void {
    this.state = this.connection.state;
    switch (this.state) {
      case signalR.HubConnectionState.Connected:
      case signalR.HubConnectionState.Reconnecting:
        console.log(detail);
        break;
      case signalR.HubConnectionState.Disconnected:
        break;
      default:
        console.log(this.state);
    }
  }
}

/** Works with any hub protocol. */
export function frame(protocol: signalR.IHubProtocol): signalR.HubMessage[] {
  const ping: signalR.PingMessage = { type: signalR.MessageType.Ping };
  const written = protocol.writeMessage(ping);
  return protocol.parseMessages(written, signalR.NullLogger.instance);
}
