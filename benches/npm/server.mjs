// A SignalR server of this process, for benchmarks: it costs little itself and sends bursts. Hub methods: `Add`, `Echo`,
// `Numbers(count)`, and, which end with `Done`: `Burst(payload, count, batch)` and `Pieces(length, size, fragments)`.
// With `?patience=MS` it drops a client that is silent for so long, and sends a ping twice as often.
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { decodeMulti, encode } from "@msgpack/msgpack";
import { WebSocketServer } from "ws";

const RECORD_SEPARATOR = "\x1e";
/** No more than this waits in a socket. */
const HIGH_WATER = 256 * 1024;

export const PAYLOADS = {
  small: ["alice", "hello"],
  "10 kB": ["alice", "x".repeat(10_000)],
};

/** The length of a MessagePack message stands before it, seven bits to a byte. */
function prefixed(bytes) {
  const prefix = [];
  let length = bytes.length;
  do {
    const more = length >> 7;
    prefix.push((length & 0x7f) | (more ? 0x80 : 0));
    length = more;
  } while (length > 0);
  return Buffer.concat([Buffer.from(prefix), bytes]);
}

/** Takes apart what `prefixed` has put together. */
function* unprefixed(data) {
  for (let at = 0; at < data.length; ) {
    let length = 0;
    let shift = 0;
    let byte;
    do {
      byte = data[at];
      length |= (byte & 0x7f) << shift;
      shift += 7;
      at += 1;
    } while (byte & 0x80);
    yield data.subarray(at, at + length);
    at += length;
  }
}

export const PROTOCOLS = {
  json: {
    *read(data) {
      for (const text of data.toString().split(RECORD_SEPARATOR)) if (text) yield JSON.parse(text);
    },
    invocation: (target, args) => Buffer.from(JSON.stringify({ type: 1, target, arguments: args }) + RECORD_SEPARATOR),
    completion: (invocationId, result) => Buffer.from(JSON.stringify({ type: 3, invocationId, result }) + RECORD_SEPARATOR),
    ping: Buffer.from(`{"type":6}${RECORD_SEPARATOR}`),
  },
  messagepack: {
    *read(data) {
      for (const bytes of unprefixed(data)) {
        for (const [type, , invocationId, target, args] of decodeMulti(bytes)) {
          yield { type, invocationId: invocationId ?? undefined, target, arguments: args };
        }
      }
    },
    invocation: (target, args) => prefixed(encode([1, {}, null, target, args, []])),
    completion: (invocationId, result) => prefixed(encode([3, {}, invocationId, 3, result])),
    ping: prefixed(encode([6])),
  },
};

/** Sends, and waits while too much is on its way. */
async function send(socket, data, options) {
  await new Promise((resolve) => {
    if (socket.bufferedAmount < HIGH_WATER) {
      socket.send(data, options);
      resolve();
    } else socket.send(data, options, resolve);
  });
}

const METHODS = {
  Add: (a, b) => a + b,
  Echo: (value) => value,
  async Burst({ socket, protocol, binary }, payload, count, batch) {
    const message = protocol.invocation("Message", PAYLOADS[payload]);
    const frame = Buffer.concat(Array.from({ length: batch }, () => message));
    for (let sent = 0; sent < count; sent += batch) await send(socket, frame, { binary });
    await send(socket, protocol.invocation("Done", []), { binary });
  },
  /** Says the numbers, few and many to a frame by turns. */
  async Numbers({ socket, protocol, binary }, count) {
    for (let said = 0, batch = 1; said < count; batch = (batch * 7) % 31) {
      const messages = [];
      for (const end = Math.min(said + batch, count); said < end; said += 1) messages.push(protocol.invocation("Said", [said]));
      await send(socket, Buffer.concat(messages), { binary });
    }
    return count;
  },
  /** One long message, in WebSocket messages of `size` bytes, or in fragments of one WebSocket message. */
  async Pieces({ socket, protocol, binary }, length, size, fragments) {
    const message = protocol.invocation("Done", ["x".repeat(length)]);
    for (let at = 0; at < message.length; at += size) {
      const fin = !fragments || at + size >= message.length;
      await send(socket, message.subarray(at, at + size), { binary, fin });
    }
  },
};

/** The methods that are told of the connection they are called on. */
const NEED_CONNECTION = new Set(["Burst", "Numbers", "Pieces"]);

function serve(socket, request) {
  let connection;
  const patience = Number(new URL(request.url, "http://localhost").searchParams.get("patience"));
  if (patience > 0) {
    let heard = performance.now();
    socket.on("message", () => { heard = performance.now(); });
    const watch = setInterval(() => {
      if (performance.now() - heard > patience) socket.terminate();
      else if (connection) socket.send(connection.protocol.ping, { binary: connection.binary });
    }, patience / 2);
    socket.on("close", () => clearInterval(watch));
  }
  socket.on("error", () => socket.terminate());
  socket.on("message", async (data) => {
    if (!connection) {
      const { protocol } = JSON.parse(data.toString().split(RECORD_SEPARATOR)[0]);
      connection = { socket, protocol: PROTOCOLS[protocol], binary: protocol === "messagepack" };
      socket.send(Buffer.from(`{}${RECORD_SEPARATOR}`), { binary: connection.binary });
      return;
    }
    for (const message of connection.protocol.read(data)) {
      if (message.type === 7) socket.close();
      if (message.type !== 1) continue;
      const { target, invocationId, arguments: args } = message;
      const result = await METHODS[target](...(NEED_CONNECTION.has(target) ? [connection] : []), ...args);
      if (invocationId !== undefined) {
        socket.send(connection.protocol.completion(invocationId, result), { binary: connection.binary });
      }
    }
  });
}

const NEGOTIATED = () => ({
  negotiateVersion: 1,
  connectionId: randomUUID(),
  connectionToken: randomUUID(),
  availableTransports: [{ transport: "WebSockets", transferFormats: ["Text", "Binary"] }],
});

/** Serves scripts by their paths, a page for every folder, and the hub at `/hub`. Gives the origin, and how it ends. */
export async function listen(scripts = {}) {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    // Clocks of a page are finer where it is isolated. What is fresh is not asked for again.
    response.setHeader("cross-origin-opener-policy", "same-origin");
    response.setHeader("cross-origin-embedder-policy", "require-corp");
    if (request.method === "POST") {
      request.resume();
      response.setHeader("content-type", "application/json").end(JSON.stringify(NEGOTIATED()));
    } else if (scripts[pathname]) {
      response.setHeader("cache-control", "max-age=600");
      response.setHeader("content-type", "text/javascript").end(scripts[pathname]);
    } else if (pathname.endsWith("/")) {
      response.setHeader("content-type", "text/html").end('<!doctype html><script type="module" src="page.js"></script>');
    } else response.writeHead(404).end();
  });
  const sockets = new WebSocketServer({ server, perMessageDeflate: false, maxPayload: 64 * 1024 * 1024 });
  sockets.on("connection", serve);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    sockets: sockets.clients,
    close() {
      for (const socket of sockets.clients) socket.terminate();
      server.close();
      server.closeAllConnections();
    },
  };
}
