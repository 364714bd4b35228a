/**
 * SignalR for the browser, in WebAssembly. Names and behaviour follow `@microsoft/signalr`.
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
export declare const HubConnectionState: {
  /** Not connected. The only state in which `start` may be called. */
  readonly Disconnected: "Disconnected";
  /** `start` was called and has not finished. */
  readonly Connecting: "Connecting";
  /** Connected: calls can be made. */
  readonly Connected: "Connected";
  /** `stop` was called and has not finished. */
  readonly Disconnecting: "Disconnecting";
};
export type HubConnectionState = (typeof HubConnectionState)[keyof typeof HubConnectionState];

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
  /** No choice: whatever the server offers and this package speaks. */
  None = 0,
  /** WebSockets. */
  WebSockets = 1,
  /** Server-Sent Events: a stream down, requests up. By `fetch`, so that the token is in no URL. */
  ServerSentEvents = 2,
  /** Long polling: requests both ways. */
  LongPolling = 4,
}

/** Takes log messages. */
export interface ILogger {
  /** Called for every message. Neither tokens nor the query of a URL are ever in it. */
  log(logLevel: LogLevel, message: string): void;
}

/** What `withUrl` can be told about the HTTP side of a connection. */
export interface IHttpConnectionOptions {
  /**
   * Gives the access token for the hub. Called on every start. Default: no token.
   * After a negotiate response that redirects with a token of its own, that one is used instead.
   */
  accessTokenFactory?(): string | Promise<string>;
  /** Headers of HTTP requests. A WebSocket takes none in a browser. Default: none. */
  headers?: Record<string, string>;
  /** Connect without a negotiate request. Needs `transport: HttpTransportType.WebSockets`. Default: `false`. */
  skipNegotiation?: boolean;
  /** Time limit of an HTTP request in milliseconds. Default: 100 000. */
  timeout?: number;
  /** The transports that may be used, in the server's order. Default: all. */
  transport?: HttpTransportType;
  /** Whether cookies go along with requests to another origin. Default: `true`. */
  withCredentials?: boolean;
}

/**
 * What went wrong, for programs to look at:
 *
 * - before connecting: `InvalidArgument`, `InvalidState`, `InvalidUrl`, `InsecureUrl`, `NotInitialized`, `ModuleLoad`
 * - while connecting: `AccessToken` (the factory failed), `Negotiate`, `NoTransport`, `Transport`, `Timeout`,
 *   `Handshake`, `Stopped`
 * - while connected: `Protocol`, `ServerTimeout`, `ServerClosed`, `Server` (the hub's method failed), `NotAStream`
 * - `Token`: a text that is no client token
 *
 * Later versions may add more.
 */
export type HubwireErrorCode =
  | "AccessToken"
  | "Handshake"
  | "InsecureUrl"
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
  | "Server"
  | "ServerClosed"
  | "ServerTimeout"
  | "SlowConsumer"
  | "Stopped"
  | "Timeout"
  | "Token"
  | "Transport"
  | (string & {});

/** An error of this package. */
export declare class HubwireError extends Error {
  /** What went wrong. */
  readonly code: HubwireErrorCode;
  /** The status of the HTTP response behind it, if there was one. */
  readonly statusCode?: number;
  constructor(message: string, details: { code: HubwireErrorCode; statusCode?: number; cause?: unknown });
}

/** Describes a connection to a hub, then builds it. */
export declare class HubConnectionBuilder {
  /**
   * The hub's URL. A relative one is resolved against the page.
   * @throws {HubwireError} when an option is unknown or has a value that makes no sense.
   */
  withUrl(url: string, transport?: HttpTransportType): this;
  withUrl(url: string, options?: IHttpConnectionOptions): this;
  /**
   * The least important level that goes to the console, or a logger that takes everything.
   * Default: `LogLevel.Information`.
   */
  configureLogging(
    logging: LogLevel | "trace" | "debug" | "info" | "information" | "warn" | "warning" | "error" | "critical" | "none" | ILogger,
  ): this;
  /** How long the server may be silent before the connection is closed, in milliseconds. Default: 30 000. */
  withServerTimeout(milliseconds: number): this;
  /** How long this side may be silent before it sends a ping, in milliseconds. Default: 15 000. */
  withKeepAliveInterval(milliseconds: number): this;
  /** @throws {HubwireError} when `withUrl` was not called. */
  build(): HubConnection;
}

/** A connection to a hub. Made by {@link HubConnectionBuilder}; it can be started again after it ended. */
export declare class HubConnection {
  private constructor();

  /** What the connection is doing. */
  readonly state: HubConnectionState;
  /** The connection's id on the server; `null` while there is none. */
  readonly connectionId: string | null;
  /** What was negotiated with the server; `undefined` before the first start. */
  readonly negotiated: Negotiated | undefined;
  /** The hub's URL. May be changed while disconnected. */
  baseUrl: string;
  /** See {@link HubConnectionBuilder.withServerTimeout}. Takes effect at the next start. */
  serverTimeoutInMilliseconds: number;
  /** See {@link HubConnectionBuilder.withKeepAliveInterval}. Takes effect at the next start. */
  keepAliveIntervalInMilliseconds: number;

  /**
   * Connects: negotiates, opens the transport, shakes hands.
   * Rejects with a {@link HubwireError} when that fails, or when the connection is not disconnected.
   */
  start(): Promise<void>;
  /** Disconnects. Every call that still waits for its answer is rejected. */
  stop(): Promise<void>;
  /** Calls a hub method and does not wait for its end. Resolves when the message was handed to the transport. */
  send(methodName: string, ...args: any[]): Promise<void>;
  /** Calls a hub method and waits for its result. Rejects with the server's error when the method fails. */
  invoke<T = any>(methodName: string, ...args: any[]): Promise<T>;
  /**
   * Has a function called when the server calls this method. Case does not count in the name. Several functions
   * run in the order they were added, one after the other; the same function is kept once.
   */
  on(methodName: string, newMethod: (...args: any[]) => any): void;
  /** Removes all functions of a method. */
  off(methodName: string): void;
  /** Removes one function of a method. */
  off(methodName: string, method: (...args: any[]) => void): void;
  /** Has a function called when the connection ends; with an error, unless it was stopped. */
  onclose(callback: (error?: Error) => void): void;
}

/** What client and server agreed on. */
export interface Negotiated {
  /** The transport in use. */
  transport: string;
  /** Where the connection goes, after redirects and without query. */
  url: string;
  /** The connection's id on the server. */
  connectionId?: string;
  /** The version of the negotiate protocol that the server answered with. */
  negotiateVersion?: number;
}

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
  /** Whom the token is for (`aud`). */
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
 * @throws {HubwireError} when it is none, or when the server refused.
 */
export declare function parseNegotiateResponse(text: string): NegotiateResponse;

/**
 * Looks into a client token (a JWT) without verifying it. {@link initialize} has to be done before.
 * @throws {HubwireError} when it is none.
 */
export declare function parseClientToken(token: string): ClientToken;

/**
 * Loads the WebAssembly module. `start` does so by itself; call this to load it ahead of time, and before
 * {@link parseNegotiateResponse} and {@link parseClientToken}.
 */
export declare function initialize(): Promise<void>;
