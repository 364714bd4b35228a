// A small hub over every transport, whose faults the tests choose, and a transport that does as it is told.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { WebSocket as Ws, WebSocketServer } from "ws";

const folder = pathToFileURL(`${resolve(process.argv[2])}/`);
export const hubwire = await import(new URL("src/index.js", folder));
const { HttpResponse, HttpTransportType, HubConnectionBuilder, LogLevel } = hubwire;

export const END = "\x1e";
const TYPES = { WebSockets: HttpTransportType.WebSockets, ServerSentEvents: HttpTransportType.ServerSentEvents, LongPolling: HttpTransportType.LongPolling };
const text = (messages) => messages.map((message) => JSON.stringify(message) + END).join("");

/** An HTTP client for a transport that needs no server. */
const offers = Object.keys(TYPES).map((transport) => ({ transport, transferFormats: ["Text", "Binary"] }));
const negotiated = JSON.stringify({ negotiateVersion: 1, connectionId: "a", connectionToken: "b", availableTransports: offers });
export const negotiates = { send: async () => new HttpResponse(200, "", negotiated) };

/** Waits until something is true. */
export async function until(condition) {
  while (!condition()) await new Promise((done) => setTimeout(done, 2));
}

/** Fails a test for a rejection that nobody has handled, or an exception that nobody has caught. */
const unhandled = [];
for (const event of ["unhandledRejection", "uncaughtException"]) process.on(event, (error) => unhandled.push(error));
export const clean = () => assert.deepEqual(unhandled.splice(0), []);

/** A promise, and what settles it. */
export function pending() {
  const parts = {};
  parts.promise = new Promise((fulfil, reject) => Object.assign(parts, { resolve: fulfil, reject }));
  return parts;
}

/** What is pending until the connection has ended: it must not hang. */
export const settled = async (promise) => {
  const [{ status, reason, value }] = await Promise.allSettled([promise]);
  return status === "fulfilled" ? value : reason;
};

/** One client of the hub. */
class Client {
  messages = [];
  polls = [];
  waiting = "";
  handshakes = 0;

  constructor(hub) {
    this.hub = hub;
  }

  send(...messages) {
    this.write(text(messages));
  }

  write(data) {
    if (this.socket) this.socket.send(data);
    else if (this.stream) this.stream.write(`data: ${data}\r\n\r\n`);
    else {
      this.waiting += data;
      this.answerPoll();
    }
  }

  answerPoll() {
    if (!this.waiting || !this.poll) return;
    this.poll.end(this.waiting);
    this.poll = undefined;
    this.waiting = "";
  }

  /** The connection's transport goes away without a word. */
  drop() {
    this.isDropped = true;
    this.socket?.terminate();
    this.stream?.destroy();
    this.poll?.destroy();
  }

  receive(data) {
    for (const part of String(data).split(END).slice(0, -1)) {
      const message = JSON.parse(part);
      if (message.protocol) {
        this.handshakes += 1;
        if (!this.hub.options.silent) this.write(`{}${END}`);
        continue;
      }
      this.messages.push(message);
      const { type, target, invocationId, arguments: values } = message;
      if (type === 1 && target === "Echo") this.send({ type: 3, invocationId, result: values[0] });
      this.hub.options.message?.(message, this);
    }
  }
}

/** Runs a test with a hub: `options` has `refuse(request)` (a status, or a promise of one), `negotiate(request)`, `message(message, client)`. */
export const withHub = (options, body) => async () => {
  const hub = { options: { ...options }, requests: [], clients: new Map(), next: 0 };
  hub.last = () => [...hub.clients.values()].at(-1);
  const client = (request) => {
    const id = new URL(request.url, "http://hub").searchParams.get("id") ?? `skipped ${hub.next++}`;
    if (!hub.clients.has(id)) hub.clients.set(id, new Client(hub));
    return hub.clients.get(id);
  };
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    request.body = Buffer.concat(chunks).toString();
    hub.requests.push(request);
    if (request.method === "GET" && client(request).isDropped) return void response.destroy();
    const refusal = await hub.options.refuse?.(request);
    if (refusal) return void response.writeHead(refusal.status ?? refusal, refusal.headers).end(refusal.body);
    if (request.url.includes("/negotiate")) {
      hub.next += 1;
      const given = await hub.options.negotiate?.(request);
      const answer = { negotiateVersion: 1, connectionId: `c${hub.next}`, connectionToken: `secret-id-${hub.next}`, availableTransports: offers, ...given };
      return void response.end(JSON.stringify(answer));
    }
    const one = client(request);
    if (request.method === "POST") {
      response.end();
      return void one.receive(request.body);
    }
    if (request.method === "DELETE") {
      one.deleted = true;
      one.poll?.writeHead(204).end();
      return void response.writeHead(202).end();
    }
    if (request.headers.accept === "text/event-stream") {
      one.stream = response.writeHead(200, { "Content-Type": "text/event-stream" });
      return void response.write(":\r\n\r\n");
    }
    if (!one.polled) {
      one.polled = true;
      return void response.end();
    }
    one.poll = response;
    one.answerPoll();
  });
  const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });
  server.on("upgrade", async (request, socket, head) => {
    hub.requests.push(request);
    const refusal = await hub.options.refuse?.(request);
    if (refusal) return void socket.end(`HTTP/1.1 ${refusal} Refused\r\nConnection: close\r\n\r\n`);
    sockets.handleUpgrade(request, socket, head, (ws) => {
      const one = client(request);
      one.socket = ws;
      ws.on("message", (data) => one.receive(data));
      ws.on("error", () => {});
      hub.options.connected?.(one);
    });
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  hub.url = `http://127.0.0.1:${server.address().port}/hub`;
  try {
    await body(hub);
  } finally {
    for (const ws of sockets.clients) ws.terminate();
    server.closeAllConnections();
    server.close();
  }
};

/** A connection without a log, but for what is recorded. */
export function connect(url, options = {}, more = (builder) => builder) {
  const lines = [];
  const logger = { log: (level, message) => lines.push(`${LogLevel[level]} ${message}`) };
  const own = typeof globalThis.WebSocket === "function" ? {} : { WebSocket: Ws };
  const transport = TYPES[options.transport] ?? options.transport;
  const connection = more(new HubConnectionBuilder().withUrl(url, { logger, ...own, ...options, transport })).build();
  return Object.assign(connection, { lines });
}

/** Every transport, by its name. */
export const transports = Object.keys(TYPES);

/** A transport that an application gives: it shakes hands, and does the rest as it is told. */
export function ownTransport(given = {}) {
  const transport = {
    sent: [],
    stops: 0,
    connect: async () => {},
    send: async (data) => {
      transport.sent.push(data);
      if (String(data).includes('"protocol"')) queueMicrotask(() => transport.onreceive(`{}${END}`));
    },
    stop: async () => {
      transport.stops += 1;
    },
    onreceive: null,
    onclose: null,
    ...given,
  };
  return transport;
}
