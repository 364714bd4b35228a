// A chat room with everything around it that a page has: sign-in, logging, reconnects shown to the user, typing of
// what comes and goes. Written against the official package; moving it changes its imports and nothing else.
import {
  AbortError,
  HttpError,
  HttpTransportType,
  HubConnection,
  HubConnectionBuilder,
  HubConnectionState,
  IHttpConnectionOptions,
  ILogger,
  IRetryPolicy,
  LogLevel,
  NullLogger,
  RetryContext,
  TimeoutError,
} from "@microsoft/signalr";

interface Message {
  id: number;
  author: string;
  text: string;
  sentAt: string;
}

interface Session {
  token(): Promise<string>;
  signOut(): void;
}

interface View {
  show(message: Message): void;
  remove(id: number): void;
  typing(author: string, isTyping: boolean): void;
  status(text: string, detail?: string): void;
}

class ViewLogger implements ILogger {
  constructor(private readonly least: LogLevel) {}

  log(logLevel: LogLevel, message: string): void {
    if (logLevel < this.least) return;
    switch (logLevel) {
      case LogLevel.Critical:
      case LogLevel.Error:
        console.error(`${LogLevel[logLevel]}: ${message}`);
        break;
      case LogLevel.Warning:
        console.warn(message);
        break;
      default:
        console.debug(message);
    }
  }
}

/** Tries for two minutes, less and less often, and not at all when the user was signed out. */
class Patience implements IRetryPolicy {
  nextRetryDelayInMilliseconds(retryContext: RetryContext): number | null {
    const { previousRetryCount, elapsedMilliseconds, retryReason } = retryContext;
    if (retryReason instanceof HttpError && retryReason.statusCode === 401) return null;
    if (elapsedMilliseconds > 120_000) return null;
    return Math.min(1000 * 2 ** previousRetryCount, 15_000);
  }
}

export class Room {
  private readonly connection: HubConnection;
  private readonly onTyping = (author: string, isTyping: boolean): void => this.view.typing(author, isTyping);

  constructor(
    url: string,
    private readonly session: Session,
    private readonly view: View,
    quiet = false,
  ) {
    const options: IHttpConnectionOptions = {
      accessTokenFactory: () => session.token(),
      headers: { "x-client": "room" },
      transport: HttpTransportType.WebSockets | HttpTransportType.LongPolling,
      withCredentials: true,
      timeout: 30_000,
      skipNegotiation: false,
    };
    this.connection = new HubConnectionBuilder()
      .withUrl(url, options)
      .configureLogging(quiet ? NullLogger.instance : new ViewLogger(LogLevel.Information))
      .withAutomaticReconnect(new Patience())
      .withStatefulReconnect({ bufferSize: 50_000 })
      .withServerTimeout(60_000)
      .withKeepAliveInterval(20_000)
      .build();

    this.connection.on("Posted", (message: Message) => view.show(message));
    this.connection.on("Removed", (id: number) => view.remove(id));
    this.connection.on("Typing", this.onTyping);
    this.connection.on("MayLeave", async (reason: string): Promise<boolean> => confirm(reason));
    this.connection.onreconnecting((error?: Error) => view.status("Reconnecting", error?.message));
    this.connection.onreconnected((connectionId?: string) => view.status("Connected", connectionId));
    this.connection.onclose((error?: Error) => view.status("Disconnected", error?.message));
  }

  get isConnected(): boolean {
    return this.connection.state === HubConnectionState.Connected;
  }

  async enter(): Promise<void> {
    if (this.connection.state !== HubConnectionState.Disconnected) return;
    this.view.status("Connecting");
    try {
      await this.connection.start();
    } catch (error) {
      if (error instanceof TimeoutError) this.view.status("Too slow", error.message);
      else if (error instanceof AbortError) this.view.status("Given up");
      else if (error instanceof HttpError && error.statusCode === 403) this.session.signOut();
      throw error;
    }
    const id: string | null = this.connection.connectionId;
    this.view.status("Connected", id ?? undefined);
    for (const message of await this.connection.invoke<Message[]>("History", 50)) this.view.show(message);
  }

  async post(text: string): Promise<Message> {
    return this.connection.invoke<Message>("Post", { text, mentions: text.match(/@\w+/g) ?? [] });
  }

  typing(isTyping: boolean): Promise<void> {
    return this.connection.send("Typing", isTyping);
  }

  mute(): void {
    this.connection.off("Typing", this.onTyping);
  }

  async move(url: string): Promise<void> {
    await this.connection.stop();
    this.connection.off("Typing");
    this.connection.baseUrl = url;
    this.connection.serverTimeoutInMilliseconds = 90_000;
    this.connection.keepAliveIntervalInMilliseconds = 30_000;
    await this.enter();
  }
}

/** The shortest that works. */
export function simple(): HubConnection {
  return new HubConnectionBuilder().withUrl("/chat").withAutomaticReconnect().configureLogging("warning").build();
}
