/**
 * A mock hub for front-end tests: a SignalR server in memory, without a socket, a port or a timer. The client under test
 * is the real one, this package's or `@microsoft/signalr`; it speaks the real protocol with the mock.
 *
 * @example
 * import { MockHub } from "hubwire/testing";
 *
 * const hub = new MockHub().method("Add", (a, b) => a + b);
 * const connection = new HubConnectionBuilder().withUrl("http://hub/chat", hub.options()).build();
 * await connection.start();
 * await connection.invoke("Add", 1, 2); // 3
 * await hub.send("ReceiveMessage", "ann", "hi"); // the client's handlers run
 *
 * @packageDocumentation
 */

import type { IHubProtocol, IStreamResult, ISubscription, IStreamSubscriber } from "./index.js";

type IsAny<T> = 0 extends 1 & T ? true : false;
type Method = (...args: any[]) => any;
type MethodName<Hub> = { [K in keyof Hub]: Hub[K] extends Method ? K : never }[keyof Hub] & string;
type Name<Hub> = IsAny<Hub> extends true ? string : MethodName<Hub>;
type ParametersOf<Hub, K> = IsAny<Hub> extends true
  ? any[]
  : K extends keyof Hub
    ? Hub[K] extends (...args: infer A) => any
      ? A
      : never
    : never;
type ReturnOf<Hub, K> = IsAny<Hub> extends true
  ? any
  : K extends keyof Hub
    ? Hub[K] extends (...args: any[]) => infer R
      ? R
      : never
    : never;
type AnyStream = AsyncIterable<any> | IStreamResult<any>;
type IsStream<T> = IsAny<T> extends true ? false : T extends AnyStream ? true : false;
type HasStream<A extends any[]> = true extends { [N in keyof A]: IsStream<A[N]> }[number] ? true : false;
type Plain<A extends any[]> = A extends [infer First, ...infer Rest]
  ? IsStream<First> extends true
    ? Plain<Rest>
    : [First, ...Plain<Rest>]
  : [];
type Streams<A extends any[]> = A extends [infer First, ...infer Rest]
  ? IsStream<First> extends true
    ? [First extends AsyncIterable<infer T> | IStreamResult<infer T> ? MockStream<T> : never, ...Streams<Rest>]
    : Streams<Rest>
  : [];
/** Streams stand apart from a call's other arguments, and come after them. */
type HandlerParameters<A extends any[]> = HasStream<A> extends true ? [...Plain<A>, ...Streams<A>] : A;
type RecordedArguments<A extends any[]> = HasStream<A> extends true ? Plain<A> : A;
/** What can be subscribed to: a `Subject` of this package or the official one, an observable of RxJS. */
type Subscribable<T> = { subscribe(subscriber: IStreamSubscriber<T>): ISubscription<T> | { unsubscribe(): void } };
type HandlerResult<R> = IsAny<R> extends true
  ? any
  : R extends AsyncIterable<infer T> | IStreamResult<infer T>
    ? Iterable<T> | AsyncIterable<T> | Subscribable<T> | Promise<Iterable<T> | AsyncIterable<T> | Subscribable<T>>
    : Awaited<R> | Promise<Awaited<R>>;

/** What a {@link MockHub} can be told. */
export interface MockHubOptions {
  /**
   * The hub protocols that it speaks. Default: JSON and MessagePack. Give `new MessagePackHubProtocol({ … })` with the
   * options of the client where those matter, such as `useBigInt64`.
   */
  protocols?: readonly IHubProtocol[];
  /** The transports that it offers, in its order. Default: `["WebSockets", "LongPolling"]`. Server-Sent Events it cannot. */
  transports?: readonly ("WebSockets" | "LongPolling")[];
  /**
   * Whether it lets connections survive the loss of their sockets, where the client asks for that by
   * `withStatefulReconnect`. {@link MockHub.drop} then drops the socket only. Default: `false`, as in ASP.NET Core.
   */
  statefulReconnect?: boolean;
}

/** A request by which a client connects. */
export interface MockRequest {
  /** What it is for: the negotiation, or opening a transport. */
  readonly transport: "negotiate" | "WebSockets" | "LongPolling";
  readonly url: string;
  /** By lower-case names. A browser's WebSocket sends none of the application's. */
  readonly headers: Readonly<Record<string, string>>;
  /** The access token, from the `Authorization` header or the URL. */
  readonly accessToken: string | undefined;
}

/** What {@link MockHub.refuse} can be told. */
export interface RefuseOptions {
  /** How many requests are refused. Default: all, until the function that `refuse` returned is called. */
  times?: number;
  /** Which requests are refused. Default: every one that negotiates or opens a transport. */
  when?(request: MockRequest): boolean;
  /** Headers of the response, such as `{ "Retry-After": "5" }`. They do not get to a client by `options()`. Default: none. */
  headers?: Record<string, string>;
  /** The response's body. Default: empty. */
  body?: string;
}

/** What {@link MockHub.close} can be told. */
export interface CloseOptions {
  /** The error that the client is told. Default: none. */
  error?: string;
  /** Whether the client may reconnect, if it does so at all. Default: `false`. */
  allowReconnect?: boolean;
}

/** A stream that a client sends as an argument. Can be looped over more than once: it begins with the first item. */
export interface MockStream<T = any> extends AsyncIterable<T> {
  /** What has come so far. */
  readonly items: readonly T[];
  /** Whether it has ended, with or without an error. */
  readonly isDone: boolean;
  /** Why it has failed, or that the connection ended before it did. */
  readonly error: Error | undefined;
}

/** A call that a client has made. */
export interface MockCall {
  /** The method's name as the client wrote it. */
  readonly method: string;
  /** As they came: with JSON a `Date` is a text, and `undefined` is `null`. Streams are not among them. */
  readonly arguments: any[];
  /** The streams among the arguments. */
  readonly streams: MockStream[];
  /** By what the client made it: a `send` does not wait for a result. */
  readonly kind: "send" | "invoke" | "stream";
  /** Headers of the invocation message. */
  readonly headers: Readonly<Record<string, string>>;
  readonly connection: MockConnection;
  /** Whether the client ended it before the method did. */
  readonly cancelled: boolean;
  /** What the method threw. */
  readonly error: unknown;
}

/** A connection of a client. */
export interface MockConnection<Client = any> {
  /** The id that the client has as well. `mock-1`, `mock-2` and so on, by the order of the connects. */
  readonly connectionId: string;
  /** Whether client and hub have shaken hands, and neither has ended it. */
  readonly isOpen: boolean;
  readonly transport: "WebSockets" | "LongPolling";
  /** The name of the hub protocol: `"json"` or `"messagepack"`. */
  readonly protocol: string;
  /** The URL that its transport was opened with. */
  readonly url: string;
  /** Headers of negotiation and transport, by lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  /** The access token that the client connected with. */
  readonly accessToken: string | undefined;
  /**
   * Calls a method of this client. Resolves when the client has received it, which does not say that its handlers have
   * done all of their work. Never rejects.
   * @throws {Error} when the connection is not open; so do the others.
   */
  send<K extends Name<Client>>(method: K, ...args: ParametersOf<Client, K>): Promise<void>;
  /** Calls a method of this client and resolves with its result. Rejects when it fails, and when the connection ends. */
  invoke<K extends Name<Client>>(method: K, ...args: ParametersOf<Client, K>): Promise<Awaited<ReturnOf<Client, K>>>;
  /** See {@link MockHub.drop}. */
  drop(): void;
  /** See {@link MockHub.close}. */
  close(options?: CloseOptions): void;
  /** See {@link MockHub.stall}. */
  stall(): void;
}

/** An HttpClient whose requests all go to the hub. Fits the options of this package and of `@microsoft/signalr`. */
export interface MockHttpClient {
  get(url: string, options?: any): Promise<any>;
  post(url: string, options?: any): Promise<any>;
  delete(url: string, options?: any): Promise<any>;
  send(request: any): Promise<any>;
  getCookieString(url: string): string;
}

/** What {@link MockHub.options} returns, for `withUrl`. */
export interface MockConnectionOptions {
  httpClient: MockHttpClient;
  WebSocket: {
    new (url: string, protocols?: string | string[], options?: any): WebSocket;
    readonly CONNECTING: 0;
    readonly OPEN: 1;
    readonly CLOSING: 2;
    readonly CLOSED: 3;
  };
}

/** A window: where an application finds `fetch` and `WebSocket`. */
export type MockTarget = object;

/** What {@link MockHub.route} needs of a `Page` or `BrowserContext` of Playwright, 1.48 or newer. */
export interface RoutablePage {
  route(url: any, handler: any): Promise<any>;
  unroute(url: any, handler?: any): Promise<any>;
  routeWebSocket(url: any, handler: any): Promise<any>;
}

/**
 * A hub in memory. Connections get to it in one of three ways: by {@link options}, {@link install} or {@link route}.
 *
 * It sets no timers and runs on promises alone, in a fixed order; so it works with the fake timers of Vitest, Jest and
 * Sinon, and a client that is idle stays connected however far they are advanced. A method that takes its time waits in its
 * handler.
 *
 * `Server` is the interface of the hub and `Client` that of its clients, as for `HubConnectionBuilder.build`; without
 * them, any call is allowed.
 */
export declare class MockHub<Server = any, Client = any> {
  constructor(options?: MockHubOptions);

  /**
   * Scripts a method, or replaces it. The case of its name does not count. What the handler returns, or a promise of it, is
   * the result; for a call by `stream` it is what is streamed: an iterable, an async iterable or a `Subject`. What it throws
   * fails the call, with the error's message as its text. (ASP.NET Core puts `An unexpected error occurred invoking
   * '…' on the server.` before it, and leaves it out unless it is a `HubException`.) `this` is the connection of the caller.
   * Streams among the arguments come last.
   *
   * A `send` of a method that is not scripted is recorded; `invoke` and `stream` fail.
   * @throws {TypeError} without a name or a function.
   *
   * @example
   * hub.method("Add", (a, b) => a + b);
   * hub.method("Join", async function (room) {
   *   this.send("Joined", room);
   * });
   * hub.method("Ticks", async function* (symbol) {
   *   yield { symbol, price: 1 };
   * });
   */
  method<K extends Name<Server>>(
    name: K,
    handler: (
      this: MockConnection<Client>,
      ...args: HandlerParameters<ParametersOf<Server, K>>
    ) => HandlerResult<ReturnOf<Server, K>>,
  ): this;

  /**
   * The options that have a connection go to this hub, whatever its URL. Others go beside them.
   *
   * @example
   * builder.withUrl("http://hub/chat", { ...hub.options(), accessTokenFactory: () => "token" });
   */
  options(): MockConnectionOptions;

  /**
   * Has every connection to a URL go to this hub, by replacing `fetch` and `WebSocket` of a window; everything else goes where
   * it went before. Returns a function that undoes it. The application stays as it is. Connections in workers are
   * not reached, and in Node.js those of `@microsoft/signalr` are not, which uses a WebSocket of its own there.
   *
   * @param url A path (`"/chat"`, on any host), a whole URL, or a RegExp for the URL with its query.
   * @param target The window of the application. Default: `globalThis`.
   * @throws {TypeError} when `url` is anything else.
   *
   * @example
   * afterEach(hub.install("/chat"));
   * cy.visit("/", { onBeforeLoad: (window) => hub.install("/chat", window) }); // Cypress
   */
  install(url: string | RegExp, target?: MockTarget): () => void;

  /**
   * Has the connections of a page in Playwright go to this hub, which stays in the test. Before the page is opened. Returns
   * a function that undoes it for connections made later.
   *
   * @param page A `Page`, or a `BrowserContext` for all of its pages.
   * @param url As for {@link install}.
   *
   * @example
   * await hub.route(page, "/chat");
   * await page.goto("/");
   */
  route(page: RoutablePage, url: string | RegExp): Promise<() => Promise<void>>;

  /** The open connections, oldest first. */
  readonly connections: readonly MockConnection<Client>[];
  /** Every call that clients have made, in order. */
  readonly calls: readonly MockCall[];

  /** The newest open connection; waits for one while there is none, so also for the one that follows a {@link drop}. */
  connected(): Promise<MockConnection<Client>>;
  /**
   * Waits for a call of a method, scripted or not, and resolves with its arguments. Each call is returned once, those made
   * before included: the second `received("SendMessage")` waits for the second call.
   */
  received<K extends Name<Server>>(method: K): Promise<RecordedArguments<ParametersOf<Server, K>>>;

  /**
   * Calls a method of every connected client. Resolves when they have received it, which does not say that their handlers
   * have done all of their work. Never rejects.
   * @throws {Error} when no client is connected. So do the following.
   */
  send<K extends Name<Client>>(method: K, ...args: ParametersOf<Client, K>): Promise<void>;
  /**
   * Calls a method of the one client that is connected, and resolves with its result. Rejects with the client's
   * error, and when the connection ends.
   * @throws {Error} when several are connected: use {@link MockConnection.invoke}.
   */
  invoke<K extends Name<Client>>(method: K, ...args: ParametersOf<Client, K>): Promise<Awaited<ReturnOf<Client, K>>>;
  /** Has every connection be lost, as when the network fails. What was sent before arrives. */
  drop(): void;
  /** Closes every connection, as a hub does that shuts down. */
  close(options?: CloseOptions): void;
  /**
   * Has every connection fall silent while its socket stays open: nothing is sent, and nothing that comes is looked at. The
   * clients' server timeouts (30 seconds by default) then end them. Those that connect later are not silent.
   */
  stall(): void;

  /**
   * Refuses clients that connect. Of several refusals that apply, the newest decides. Returns a function that ends it.
   * Connections that are open stay open.
   *
   * @param status The HTTP status of the response, 300 to 599; 0 when the hub cannot be reached. Default: 503.
   * @throws {RangeError} for other numbers.
   *
   * @example
   * hub.refuse(503, { times: 2 }); // the third attempt succeeds
   * hub.refuse(401, { when: ({ accessToken }) => accessToken !== "good" });
   */
  refuse(status?: number, options?: RefuseOptions): () => void;
}
