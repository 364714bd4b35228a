/**
 * SignalR for the browser and Node.js, in WebAssembly. Takes the place of `@microsoft/signalr` and its MessagePack protocol.
 *
 * @example
 * import { HubConnectionBuilder } from "hubwire";
 *
 * const connection = new HubConnectionBuilder().withUrl("/chat").build();
 * connection.on("ReceiveMessage", (user, text) => console.log(user, text));
 * await connection.start();
 * await connection.send("SendMessage", "alice", "hello");
 *
 * @packageDocumentation
 */

/** What a connection is doing. */
export declare enum HubConnectionState {
  /** Not connected. The only state in which `start` may be called. */
  Disconnected = "Disconnected",
  /** `start` was called and has not finished. */
  Connecting = "Connecting",
  /** Connected: calls can be made. */
  Connected = "Connected",
  /** `stop` was called and has not finished. */
  Disconnecting = "Disconnecting",
  /** The connection was lost, and another may replace it soon. */
  Reconnecting = "Reconnecting",
}

/** How important a log message is. */
export declare enum LogLevel {
  Trace = 0,
  Debug = 1,
  Information = 2,
  Warning = 3,
  Error = 4,
  Critical = 5,
  /** Log nothing. */
  None = 6,
}

/** How messages travel. Several can be allowed: `HttpTransportType.WebSockets | HttpTransportType.LongPolling`. */
export declare enum HttpTransportType {
  /** No choice: whatever the server offers. */
  None = 0,
  /** WebSockets. */
  WebSockets = 1,
  /** Server-Sent Events: a stream down, requests up. By `fetch`, so that the token is in no URL. Text only. */
  ServerSentEvents = 2,
  /** Long polling: requests both ways. */
  LongPolling = 4,
}

/** What a hub protocol's messages are made of. */
export declare enum TransferFormat {
  Text = 1,
  Binary = 2,
}

/** Receives log messages. */
export interface ILogger {
  /** Called for every message. Neither tokens nor the query of a URL are ever in it. */
  log(logLevel: LogLevel, message: string): void;
}

/** Logs nothing. */
export declare class NullLogger implements ILogger {
  static instance: ILogger;
  private constructor();
  log(logLevel: LogLevel, message: string): void;
}

/** Headers by their names. */
export interface MessageHeaders {
  [key: string]: string;
}

/** Tells that a request is no longer wanted. The `signal` of an `AbortController` is one. */
export interface AbortSignal {
  /** Whether it is so. */
  aborted: boolean;
  /** Called when it becomes so. */
  onabort: (() => void) | null;
}

/** A request of an {@link HttpClient}. */
export interface HttpRequest {
  method?: string;
  url?: string;
  content?: string | ArrayBuffer;
  headers?: MessageHeaders;
  /** The kind of the response's content: `"arraybuffer"` or text. */
  responseType?: "" | "arraybuffer" | "blob" | "document" | "json" | "text";
  abortSignal?: AbortSignal;
  /** Time limit in milliseconds. */
  timeout?: number;
  /** Whether cookies go along to another origin. */
  withCredentials?: boolean;
}

/** What a server answers to an {@link HttpRequest}. */
export declare class HttpResponse {
  readonly statusCode: number;
  readonly statusText?: string;
  readonly content?: string | ArrayBuffer;
  constructor(statusCode: number, statusText?: string, content?: string | ArrayBuffer);
}

/** Makes the HTTP requests of a connection. To be extended by an application that wants to make them itself. */
export declare abstract class HttpClient {
  get(url: string): Promise<HttpResponse>;
  get(url: string, options: HttpRequest): Promise<HttpResponse>;
  post(url: string): Promise<HttpResponse>;
  post(url: string, options: HttpRequest): Promise<HttpResponse>;
  delete(url: string): Promise<HttpResponse>;
  delete(url: string, options: HttpRequest): Promise<HttpResponse>;
  /** Makes a request. Rejects with an {@link HttpError} when the status is not a success. */
  abstract send(request: HttpRequest): Promise<HttpResponse>;
  /** The cookies for a URL, as the header `Cookie` has them. Default: none. */
  getCookieString(url: string): string;
}

/** The {@link HttpClient} of the package: by `fetch`, and with cookies in Node.js. */
export declare class DefaultHttpClient extends HttpClient {
  constructor(logger: ILogger);
  send(request: HttpRequest): Promise<HttpResponse>;
  getCookieString(url: string): string;
}

/** Carries messages to the server and back. Those of the package are chosen by {@link HttpTransportType}. */
export interface ITransport {
  connect(url: string, transferFormat: TransferFormat): Promise<void>;
  send(data: any): Promise<void>;
  stop(): Promise<void>;
  onreceive: ((data: string | ArrayBuffer) => void) | null;
  onclose: ((error?: Error) => void) | null;
}

/** What `withUrl` can be told about the HTTP side of a connection. What is `null` or `undefined` counts as not given. */
export interface IHttpConnectionOptions {
  /**
   * Gives the access token for the hub. Called on every start, and when a reconnect finds the token close to its end or
   * refused. Default: no token.
   * After a negotiate response that redirects with a token of its own, that one is used instead.
   */
  accessTokenFactory?(): string | Promise<string>;
  /**
   * Headers of HTTP requests, read at every start. A WebSocket takes none in a browser. `Authorization` and `Cookie` do not
   * go to another origin that negotiate redirects to. Names and values have to be ASCII, without line ends. Default: none.
   */
  headers?: MessageHeaders;
  /** Makes the HTTP requests. Default: a {@link DefaultHttpClient}. */
  httpClient?: HttpClient;
  /** Where log messages of HTTP and transports go, unless {@link HubConnectionBuilder.configureLogging} names a logger. */
  logger?: ILogger | LogLevel;
  /** Log the content of messages, at level `Trace`. Default: `false`. */
  logMessageContent?: boolean;
  /**
   * The longest message that is received, in bytes, or in UTF-16 units of JSON: a longer one ends the connection. `Infinity`
   * means no limit. Default: 33 554 432 (32 MiB).
   */
  maximumReceiveMessageSize?: number;
  /** Connect without a negotiate request. Needs `transport: HttpTransportType.WebSockets`. Default: `false`. */
  skipNegotiation?: boolean;
  /** Time limit of an HTTP request in milliseconds; 0 for no limit. Default: 100 000. */
  timeout?: number;
  /** The transports that may be used, in the server's order, or one of the application's own. Default: all. */
  transport?: HttpTransportType | ITransport;
  /** The class that makes WebSockets. Default: the global `WebSocket`. */
  WebSocket?: new (url: string, protocols?: string | string[], options?: any) => any;
  /** The class that reads Server-Sent Events, with the token in the URL. Default: the package reads them by `fetch`. */
  EventSource?: new (url: string, options?: any) => any;
  /**
   * Whether cookies go along with requests to another origin, whose CORS rules have to allow it. Those to the page's own
   * origin always carry them. Default: `true`.
   */
  withCredentials?: boolean;
}

/** What {@link HubConnectionBuilder.withStatefulReconnect} can be told. */
export interface IStatefulReconnectOptions {
  /**
   * How many bytes of messages are kept before sending waits for the server's acknowledgement. Default: 100 000.
   */
  bufferSize: number;
}

/** What {@link HubConnectionBuilder.withAuthenticationRefresh} can be told. */
export interface IAuthenticationRefreshOptions {
  /** Whether it happens automatically, where the server tells how long credentials are valid. Default: `true`. */
  enableAutoRefresh?: boolean;
  /** How long before they expire, in milliseconds; after half of their lifetime if that is later. Default: 300 000. */
  refreshBeforeExpirationInMilliseconds?: number;
}

/** What a retry policy decides by. */
export interface RetryContext {
  /** How many attempts have failed since the connection was lost; 0 the first time. */
  readonly previousRetryCount: number;
  /** How long ago the connection was lost, in milliseconds. */
  readonly elapsedMilliseconds: number;
  /** Why it was lost, or why the last attempt failed: a {@link HubwireError}. */
  readonly retryReason: Error & { readonly code?: HubwireErrorCode; readonly statusCode?: number };
  /** How long the server asked to be left alone (`Retry-After`), in milliseconds; 0 if it did not. */
  readonly retryAfterMilliseconds?: number;
}

/** When to try again after the connection was lost. */
export interface IRetryPolicy {
  /** The delay before the next attempt, in milliseconds; `null` gives up. A policy that throws gives up. */
  nextRetryDelayInMilliseconds(retryContext: RetryContext): number | null;
}

/** A policy that may answer later. */
export interface IAsyncRetryPolicy {
  /** As in {@link IRetryPolicy}. A promise that takes longer than a request may (`timeout`) gives up. */
  nextRetryDelayInMilliseconds(retryContext: RetryContext): number | null | PromiseLike<number | null>;
}

/**
 * What went wrong, for programs to look at:
 *
 * - before connecting: `InvalidArgument`, `InvalidState`, `InvalidUrl`, `InsecureUrl`, `NotInitialized`, `ModuleLoad`,
 *   `Worker` (it could not be started, or failed)
 * - while connecting: `AccessToken` (the factory failed), `Negotiate`, `NoTransport`, `Transport`, `Timeout`,
 *   `Handshake`, `Stopped`
 * - while connected: `Protocol`, `ServerTimeout`, `ServerClosed`, `RetriesExhausted`
 * - of a call: `Server` (the hub's method failed), `Aborted` (its signal), `NotAStream`, `SlowConsumer` (too many items of
 *   a stream wait to be taken), `SendBufferFull` (too much waits to be sent)
 * - `AuthenticationRefresh`: the server did not take a new token
 * - `Token`: a text that is not a client token
 * - `Http`: an {@link HttpError} that the application made
 *
 * Later versions may add more.
 */
export type HubwireErrorCode =
  | "Aborted"
  | "AccessToken"
  | "AuthenticationRefresh"
  | "Handshake"
  | "Http"
  | "InvalidArgument"
  | "InvalidState"
  | "InvalidUrl"
  | "ModuleLoad"
  | "Negotiate"
  | "NoTransport"
  | "NotAStream"
  | "NotInitialized"
  | "Protocol"
  | "RetriesExhausted"
  | "SendBufferFull"
  | "Server"
  | "ServerClosed"
  | "ServerTimeout"
  | "SlowConsumer"
  | "Stopped"
  | "Timeout"
  | "Token"
  | "Transport"
  | "Worker"
  | (string & {});

/** An error of this package. Its `name` is `Error`, as in the official client; it is known by its class and its `code`. */
export declare class HubwireError extends Error {
  /** What went wrong. */
  readonly code: HubwireErrorCode;
  /** The status of the HTTP response behind it, if there was one. */
  statusCode?: number;
  /** What the official client calls it: `"FailedToNegotiateWithServerError"` for code `Negotiate`, for example. */
  readonly errorType?: string;
  /** Why each of several transports could not be used. */
  readonly innerErrors?: readonly (Error | string)[];
  /** The transport that it is about. */
  readonly transport?: HttpTransportType;
  constructor(message: string, details?: { code?: HubwireErrorCode; statusCode?: number; cause?: unknown });
}

/** An HTTP response was behind the error. */
export declare class HttpError extends HubwireError {
  statusCode: number;
  /** Its message ends with the status, as in the official client. */
  constructor(errorMessage: string, statusCode: number, details?: { code?: HubwireErrorCode; cause?: unknown });
}

/** Something took too long: codes `Timeout` and `ServerTimeout`. */
export declare class TimeoutError extends HubwireError {
  constructor(errorMessage?: string, details?: { code?: HubwireErrorCode; cause?: unknown });
}

/**
 * The client ended it: codes `Aborted`, where `cause` is the reason of the `AbortSignal`, and `Stopped`.
 */
export declare class AbortError extends HubwireError {
  constructor(errorMessage?: string, details?: { code?: HubwireErrorCode; cause?: unknown });
}

/** Receives the items and the end of a stream. */
export interface IStreamSubscriber<T> {
  closed?: boolean;
  /** An item has come. */
  next(value: T): void;
  /** The stream has failed; nothing follows. */
  error(err: any): void;
  /** The stream has ended; nothing follows. */
  complete(): void;
}

/** A subscription to a stream. */
export interface ISubscription<T> {
  /** Ends it. */
  dispose(): void;
}

/** What can be subscribed to. */
export interface IStreamResult<T> {
  subscribe(subscriber: IStreamSubscriber<T>): ISubscription<T>;
}

/**
 * What a hub's method streams: to subscribe to, or to loop over. Items that come before are kept, up to 32 768 of them
 * or 64 MiB. A loop that is slower than the server makes the server wait: once 1 024 items or 2 MiB wait in loops, the socket
 * is not read until some are taken, unless the result of an `invoke` is awaited. The server stops when the last subscriber has disposed of
 * its subscription, or the loop was left.
 *
 * @example
 * for await (const tick of connection.stream("Ticks", "MSFT")) console.log(tick);
 */
export interface HubStream<T> extends IStreamResult<T>, AsyncIterable<T> {}

/**
 * A source of items to give a call as an argument: what is put in while the call lasts goes to the server. Async iterables
 * can be used as well, and anything with a method `subscribe`, such as the observables of RxJS.
 */
export declare class Subject<T> implements IStreamResult<T> {
  constructor();
  /** Hands an item to the subscribers. */
  next(item: T): void;
  /** Ends it with an error. */
  error(err: any): void;
  /** Ends it. */
  complete(): void;
  subscribe(observer: IStreamSubscriber<T>): ISubscription<T>;
}

/** Options of one call, see {@link HubConnection.with}. */
export interface CallOptions {
  /**
   * Ends the call: it rejects with an {@link AbortError}, and the server is told. Servers before .NET 11 go on with the
   * call unless it is a stream. Streams among its arguments end as well; those of a `send` also after it has resolved.
   */
  signal?: InstanceType<typeof globalThis.AbortSignal>;
}

type IsAny<T> = 0 extends 1 & T ? true : false;
type Method = (...args: any[]) => any;
type MethodName<Hub> = { [K in keyof Hub]: Hub[K] extends Method ? K : never }[keyof Hub] & string;
type StreamOf<R> = R extends AsyncIterable<infer T> ? T : R extends IStreamResult<infer T> ? T : never;
type StreamName<Hub> = {
  [K in keyof Hub]: Hub[K] extends (...args: any[]) => AsyncIterable<any> | IStreamResult<any> ? K : never;
}[keyof Hub] &
  string;
type Argument<T> = IsAny<T> extends true
  ? any
  : T extends AsyncIterable<infer Item> | IStreamResult<infer Item>
    ? AsyncIterable<Item> | IStreamResult<Item>
    : T;
type ArgumentsOf<M> = M extends (...args: infer A) => any ? { [N in keyof A]: Argument<A[N]> } : never;
type ResultOf<M> = M extends (...args: any[]) => infer R ? Awaited<R> : never;

/** {@link HubConnection.send} of a hub with this interface. */
export type Send<Server> = IsAny<Server> extends true
  ? (methodName: string, ...args: any[]) => Promise<void>
  : <K extends MethodName<Server>>(methodName: K, ...args: ArgumentsOf<Server[K]>) => Promise<void>;
/** {@link HubConnection.invoke} of a hub with this interface. */
export type Invoke<Server> = IsAny<Server> extends true
  ? <T = any>(methodName: string, ...args: any[]) => Promise<T>
  : <K extends Exclude<MethodName<Server>, StreamName<Server>>>(
      methodName: K,
      ...args: ArgumentsOf<Server[K]>
    ) => Promise<ResultOf<Server[K]>>;
/** {@link HubConnection.stream} of a hub with this interface. */
export type StreamCall<Server> = IsAny<Server> extends true
  ? <T = any>(methodName: string, ...args: any[]) => HubStream<T>
  : <K extends StreamName<Server>>(
      methodName: K,
      ...args: ArgumentsOf<Server[K]>
    ) => HubStream<Server[K] extends (...args: any[]) => infer R ? StreamOf<R> : never>;
/** {@link HubConnection.on} of a hub that calls its clients by this interface. */
export type On<Client> = IsAny<Client> extends true
  ? (methodName: string, newMethod: (...args: any[]) => any) => void
  : <K extends MethodName<Client>>(
      methodName: K,
      // What a handler returns does not matter where no result is wanted.
      newMethod: Client[K] extends (...args: infer A) => infer R
        ? (...args: A) => [R] extends [void] ? unknown : R | Promise<Awaited<R>>
        : never,
    ) => void;
/** {@link HubConnection.off} of a hub that calls its clients by this interface. */
export type Off<Client> = (
  methodName: IsAny<Client> extends true ? string : MethodName<Client>,
  method?: (...args: any[]) => any,
) => void;

/** The calls that can be made. */
export interface HubCalls<Server = any> {
  /** See {@link HubConnection.send}. */
  send: Send<Server>;
  /** See {@link HubConnection.invoke}. */
  invoke: Invoke<Server>;
  /** See {@link HubConnection.stream}. */
  stream: StreamCall<Server>;
}

/** Describes a connection to a hub, then builds it. */
export declare class HubConnectionBuilder {
  /**
   * The hub's URL. A relative one is resolved against the page. Options that were set by an earlier call stay.
   * @throws {HubwireError} when the URL cannot be resolved, or an option has a value that cannot be used.
   */
  withUrl(url: string | URL, transport?: HttpTransportType): this;
  withUrl(url: string | URL, options?: IHttpConnectionOptions): this;
  withUrl(url: string | URL, transportOrOptions?: HttpTransportType | IHttpConnectionOptions): this;
  /**
   * The least important level that goes to the console, or a logger that takes everything.
   * Default: `LogLevel.Information`.
   */
  configureLogging(logging: LogLevel | string | ILogger): this;
  /** How messages are written. Default: {@link JsonHubProtocol}. */
  withHubProtocol(protocol: IHubProtocol): this;
  /**
   * Replaces a lost connection: after 0, 2, 10 and 30 seconds, after the delays given (in milliseconds), or as a policy
   * says. A server that asks for more time by `Retry-After` gets it, unless a policy decides. Default: off.
   */
  withAutomaticReconnect(retryDelaysOrPolicy?: readonly (number | null)[] | IRetryPolicy | IAsyncRetryPolicy): this;
  /**
   * Asks the retry policy also when the first connect fails in a way that may pass: the server cannot be reached, is
   * busy, takes too long. `start` then waits until the connection is up or the policy gives up. The policy is that of
   * {@link withAutomaticReconnect}, or its default one. Default: off.
   */
  withFirstConnectRetry(retry?: boolean): this;
  /**
   * Lets the connection survive the loss of its socket: messages are kept until the server has them, and sent again
   * on the next socket. Neither calls nor events notice. It needs WebSockets, and a server that allows it. Default: off.
   */
  withStatefulReconnect(options?: Partial<IStatefulReconnectOptions>): this;
  /** How the server is given new credentials, where it offers that (ASP.NET Core 11). Default: automatically. */
  withAuthenticationRefresh(options?: IAuthenticationRefreshOptions): this;
  /** How long the server may be silent before the connection is given up, in milliseconds. Default: 30 000. */
  withServerTimeout(milliseconds: number): this;
  /** How long the client may be silent before it sends a ping, in milliseconds. Default: 15 000. */
  withKeepAliveInterval(milliseconds: number): this;
  /**
   * Runs the connection in a dedicated worker: socket, hub protocol and timers. Messages cross to the page in
   * batches, pings go out however busy or hidden the page is, and everything else stays as it is: handlers, the access
   * token factory, retry policy and logger are called in the page. All connections of a page share one worker.
   *
   * Without an argument the package makes the worker itself, from a `blob:` URL; a content security policy has to
   * allow `worker-src blob:`. With the URL of the script `hubwire/worker.js`, or a function that makes a worker of it,
   * `worker-src 'self'` is enough. The hub protocol has to be one of this package's. Where there are no workers, as in
   * Node.js and in service workers, the connection stays where it is.
   * @throws {HubwireError} when the argument is of any other kind.
   *
   * @example
   * const connection = new HubConnectionBuilder().withUrl("/chat").withWorker().build();
   */
  withWorker(worker?: string | URL | (() => Worker)): this;
  /**
   * Makes the connection. With the interfaces of the hub and of its clients, calls are checked when they are compiled.
   * @throws {HubwireError} when `withUrl` was not called.
   *
   * @example
   * interface Chat {
   *   SendMessage(user: string, text: string): void;
   *   Add(a: number, b: number): number;
   *   Ticks(symbol: string): AsyncIterable<number>;
   * }
   * interface ChatClient {
   *   ReceiveMessage(user: string, text: string): void;
   * }
   * const connection = new HubConnectionBuilder().withUrl("/chat").build<Chat, ChatClient>();
   * const sum = await connection.invoke("Add", 1, 2); // a number
   */
  build<Server = any, Client = any>(): HubConnection<Server, Client>;
}

/** A change of {@link HubConnection.state}. */
export interface HubConnectionStateChange {
  /** What the connection is doing now. */
  readonly state: HubConnectionState;
  /** What it was doing before. */
  readonly previousState: HubConnectionState;
  /** What went wrong, if that is the reason. */
  readonly error?: Error;
  /** The connection. */
  readonly connection: HubConnection;
}

/**
 * A connection to a hub. Made by {@link HubConnectionBuilder}; it can be started again after it ended.
 *
 * `Server` is the interface of the hub, `Client` that of its clients; without them, any call is allowed.
 */
export declare class HubConnection<Server = any, Client = any> implements HubCalls<Server> {
  private constructor();

  /** What the connection is doing. */
  readonly state: HubConnectionState;
  /** The connection's id on the server; `null` while there is none. It is another one after every reconnect. */
  readonly connectionId: string | null;
  /** What was negotiated with the server; `undefined` unless connected. */
  readonly negotiated: Negotiated | undefined;
  /** The hub's URL. May be changed while disconnected or reconnecting. */
  baseUrl: string;
  /** See {@link HubConnectionBuilder.withServerTimeout}. While connected, it holds from the next message on. */
  serverTimeoutInMilliseconds: number;
  /** See {@link HubConnectionBuilder.withKeepAliveInterval}. While connected, it holds from the next message on. */
  keepAliveIntervalInMilliseconds: number;

  /**
   * Connects: negotiates, opens the transport, shakes hands.
   * Rejects with a {@link HubwireError} when that fails, or when the connection is not disconnected.
   */
  start(): Promise<void>;
  /** Disconnects. The promise of every pending call is rejected. */
  stop(): Promise<void>;
  /**
   * Calls a hub method and does not wait for its end. Resolves when the transport has taken the message and has room for
   * another. Streams among the arguments follow the call. Rejects with the code `SendBufferFull` where 64 MiB of calls that
   * were not awaited wait already.
   */
  send: Send<Server>;
  /**
   * Calls a hub method and waits for its result. Rejects with the server's error when the method fails, and when the
   * connection is lost meanwhile. Streams among the arguments follow the call, until it ends.
   */
  invoke: Invoke<Server>;
  /** Calls a hub method that streams. The call is made at once. */
  stream: StreamCall<Server>;
  /**
   * The same calls with options.
   *
   * @example
   * await connection.with({ signal: AbortSignal.timeout(5000) }).invoke("Add", 1, 2);
   */
  with(options: CallOptions): HubCalls<Server>;
  /**
   * Calls a function when the server calls this method. Case does not count in the name. Several functions
   * run in the order they were added, one after the other; the same function is kept once. Where the server awaits a
   * result, the last one gives it.
   */
  on: On<Client>;
  /** Removes all functions of a method, or one. */
  off: Off<Client>;
  /**
   * Calls a function when the connection ends; with an error, unless it was stopped, or the server closed it without
   * one. This and the following return a function that removes it again.
   */
  onclose(callback: (error?: Error) => void): () => void;
  /** Calls a function when the connection was lost and will be tried again. */
  onreconnecting(callback: (error?: Error) => void): () => void;
  /** Calls a function when the connection is back, with its new id. */
  onreconnected(callback: (connectionId?: string) => void): () => void;
  /** Calls a function whenever {@link state} has changed, before those of the events that go with it. */
  onstatechange(callback: (change: HubConnectionStateChange) => void): () => void;
  /**
   * Gets a new token from the factory and gives it to the server, without a new connection (ASP.NET Core 11). Resolves
   * with the seconds that the new credentials are valid, if the server tells. When it fails, the connection goes on.
   */
  refreshAuthentication(): Promise<number | undefined>;
  /** Calls a function when the server has taken new credentials. */
  onAuthenticationRefreshed(callback: (event: AuthenticationRefreshed) => void): () => void;
  /** Calls a function when the credentials could not be renewed. The connection goes on while they are valid. */
  onAuthenticationRefreshFailed(callback: (event: AuthenticationRefreshFailed) => void): () => void;
}

/** The server has taken new credentials. */
export interface AuthenticationRefreshed {
  readonly connection: HubConnection;
  /** How long they are valid, if the server told. */
  readonly newTokenLifetimeInSeconds?: number;
  readonly refreshedAt: Date;
}

/** The credentials could not be renewed. */
export interface AuthenticationRefreshFailed {
  readonly connection: HubConnection;
  readonly error: Error;
}

/** What client and server agreed on. */
export interface Negotiated {
  /** The transport in use. */
  transport: string;
  /** Where the connection goes, after redirects and without query. */
  url: string;
  /** Whether it survives the loss of its socket. */
  statefulReconnect: boolean;
  /** The connection's id on the server. */
  connectionId?: string;
  /** The version of the negotiate protocol that the server answered with. */
  negotiateVersion?: number;
}

/** The kind of a hub message. */
export declare enum MessageType {
  Invocation = 1,
  StreamItem = 2,
  Completion = 3,
  StreamInvocation = 4,
  CancelInvocation = 5,
  Ping = 6,
  Close = 7,
  Ack = 8,
  Sequence = 9,
}
export interface HubMessageBase {
  readonly type: MessageType;
}
export interface HubInvocationMessage extends HubMessageBase {
  readonly headers?: MessageHeaders;
  readonly invocationId?: string;
}
export interface InvocationMessage extends HubInvocationMessage {
  readonly type: MessageType.Invocation;
  readonly target: string;
  readonly arguments: any[];
  readonly streamIds?: string[];
}
export interface StreamInvocationMessage extends HubInvocationMessage {
  readonly type: MessageType.StreamInvocation;
  readonly invocationId: string;
  readonly target: string;
  readonly arguments: any[];
  readonly streamIds?: string[];
}
export interface StreamItemMessage extends HubInvocationMessage {
  readonly type: MessageType.StreamItem;
  readonly invocationId: string;
  readonly item?: any;
}
export interface CompletionMessage extends HubInvocationMessage {
  readonly type: MessageType.Completion;
  readonly invocationId: string;
  readonly error?: string;
  readonly result?: any;
}
export interface PingMessage extends HubMessageBase {
  readonly type: MessageType.Ping;
}
export interface CloseMessage extends HubMessageBase {
  readonly type: MessageType.Close;
  readonly error?: string;
  readonly allowReconnect?: boolean;
}
export interface CancelInvocationMessage extends HubInvocationMessage {
  readonly type: MessageType.CancelInvocation;
  readonly invocationId: string;
}
export interface AckMessage extends HubMessageBase {
  readonly type: MessageType.Ack;
  readonly sequenceId: number;
}
export interface SequenceMessage extends HubMessageBase {
  readonly type: MessageType.Sequence;
  readonly sequenceId: number;
}
/** A message of the hub protocol. */
export type HubMessage =
  | InvocationMessage
  | StreamInvocationMessage
  | StreamItemMessage
  | CompletionMessage
  | CancelInvocationMessage
  | PingMessage
  | CloseMessage
  | AckMessage
  | SequenceMessage;

/** Reads and writes hub messages. Those of the official packages can be used as well. */
export interface IHubProtocol {
  /** The name in the handshake. */
  readonly name: string;
  /** The newest version of the hub protocol that it knows. */
  readonly version: number;
  readonly transferFormat: TransferFormat;
  /** Every message of a chunk, which begins and ends with messages. Throws when one is malformed. */
  parseMessages(input: string | ArrayBuffer, logger: ILogger): HubMessage[];
  /** Throws when something in the message cannot be written. */
  writeMessage(message: HubMessage): string | ArrayBuffer;
}

/** The JSON hub protocol. */
export declare class JsonHubProtocol implements IHubProtocol {
  readonly name: string;
  readonly version: number;
  readonly transferFormat: TransferFormat;
  parseMessages(input: string | ArrayBuffer, logger?: ILogger): HubMessage[];
  writeMessage(message: HubMessage): string;
}

/** Encodes and decodes extension types, as the `ExtensionCodec` of `@msgpack/msgpack` does. */
export interface MessagePackExtensionCodec {
  /** The bytes of a value, or `null` when it is not an extension. */
  tryToEncode(object: unknown, context: any): { type: number; data: Uint8Array } | null;
  decode(data: Uint8Array, extensionType: number, context: any): unknown;
}

/** What {@link MessagePackHubProtocol} can be told. Names and defaults are those of the official package. */
export interface MessagePackOptions {
  /** Default: timestamps are `Date`s, other extensions {@link ExtData}. */
  extensionCodec?: MessagePackExtensionCodec | any;
  /** Handed to the extension codec. */
  context?: any;
  /** How deep the values that are written may be nested. Default: 100. */
  maxDepth?: number;
  /** Default: 2048 bytes. */
  initialBufferSize?: number;
  /** Write the keys of objects in order. Default: `false`. */
  sortKeys?: boolean;
  /** Write numbers that are not integers in 4 bytes. Default: `false`. */
  forceFloat32?: boolean;
  /** Write integers as floating-point numbers. Default: `false`. */
  forceIntegerToFloat?: boolean;
  /** Leave out what is `undefined` in objects, instead of writing nil. Default: `false`. */
  ignoreUndefined?: boolean;
  /** The longest text that is read, in bytes. Default: as long as the message. */
  maxStrLength?: number;
  /** The same for bytes. */
  maxBinLength?: number;
  /** The most elements of an array that is read. */
  maxArrayLength?: number;
  /** The same for keys of an object. */
  maxMapLength?: number;
  /** The longest extension that is read, in bytes. */
  maxExtLength?: number;
  /** Read integers of 64 bits as `BigInt`, without loss. A `BigInt` is written in any case. Default: `false`. */
  useBigInt64?: boolean;
}

/**
 * The MessagePack hub protocol. `Uint8Array` is bin, `Date` a timestamp, and values are otherwise those of the official
 * package, `@microsoft/signalr-protocol-msgpack`. Bytes that come in share the memory of their message.
 *
 * @example
 * new HubConnectionBuilder().withUrl("/chat").withHubProtocol(new MessagePackHubProtocol()).build();
 */
export declare class MessagePackHubProtocol implements IHubProtocol {
  readonly name: string;
  readonly version: number;
  readonly transferFormat: TransferFormat;
  constructor(messagePackOptions?: MessagePackOptions);
  parseMessages(input: string | ArrayBuffer, logger?: ILogger): HubMessage[];
  writeMessage(message: HubMessage): ArrayBuffer;
}

/** A MessagePack extension value of an unknown type. */
export declare class ExtData {
  readonly type: number;
  readonly data: Uint8Array;
  constructor(type: number, data: Uint8Array);
}

/** The version of this package. */
export declare const VERSION: string;

/** The answer to a negotiate request. */
export interface NegotiateResponse {
  connectionId?: string;
  connectionToken?: string;
  /** The version of the negotiate protocol; 0 when the server names none. */
  negotiateVersion: number;
  /** What the server offers, in its order of preference; empty in a redirect. */
  availableTransports: { transport: string; transferFormats: string[] }[];
  /** How long the credentials are valid, in seconds, if the server says so. */
  tokenLifetimeSeconds?: number;
  /** Where to go instead, as Azure SignalR Service needs it. */
  url?: string;
  /** The token to use there. */
  accessToken?: string;
}

/** What a client token says. Nothing of it is verified: only the service can do that. */
export interface ClientToken {
  /** The signature's algorithm, such as `HS256`. */
  algorithm?: string;
  /** The id of the key it was signed with. */
  keyId?: string;
  /** The audience that the token is for (`aud`). */
  audience: string[];
  /** The hub in the audience. */
  hub?: string;
  /** The user id, found as Azure SignalR Service does: `asrs.s.uid`, else `nameid`, else the first `sub`. */
  userId?: string;
  /** The roles: every value of `role` and `roles`. */
  roles: string[];
  /** When it expires (`exp`), in seconds since 1970. */
  expiresAt?: number;
  /** When it was issued (`iat`), in seconds since 1970. */
  issuedAt?: number;
  /** When it becomes valid (`nbf`), in seconds since 1970. */
  notBefore?: number;
  /** All claims, as they stand in the token. */
  claims: Record<string, unknown>;
}

/**
 * Reads the body of a negotiate response. {@link initialize} has to be done before.
 * @throws {HubwireError} when it is not a negotiate response, or when the server refused.
 */
export declare function parseNegotiateResponse(text: string): NegotiateResponse;

/**
 * Looks into a client token (a JWT) without verifying it. {@link initialize} has to be done before.
 * @throws {HubwireError} when it is not a client token.
 */
export declare function parseClientToken(token: string): ClientToken;

/**
 * Loads the WebAssembly module. `start` does so automatically; call this to load it ahead of time, and before
 * {@link parseNegotiateResponse} and {@link parseClientToken}.
 */
export declare function initialize(): Promise<void>;
