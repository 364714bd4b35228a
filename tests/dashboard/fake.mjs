// A service with a dashboard, for its page: what it tells is made up, so that tests know it, and can be as many, as hostile
// and as broken as they want. It speaks SignalR's JSON protocol by WebSockets, and sends the policy that the real one does.
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { WebSocketServer } from "ws";

const RECORD_SEPARATOR = "\x1e";
const TYPES = { "index.html": "text/html; charset=utf-8", "page.js": "text/javascript", "page.css": "text/css", "icon.svg": "image/svg+xml" };
export const POLICY = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");

export const KEY = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789ABCDEFGH";
export const CONNECTION_STRING = `Endpoint=http://127.0.0.1;Port=8888;AccessKey=${KEY};Version=1.0;`;

/** What the service says of itself. */
export const INFO = {
  kind: "local",
  version: "0.1.0",
  mode: "serverless",
  endpoint: "http://127.0.0.1:8888",
  httpsEndpoint: "https://127.0.0.1:8889",
  authority: "https://127.0.0.1:8889/",
  canSend: true,
  canClose: true,
  connectionStrings: [{ name: "AzureSignalRConnectionString", value: CONNECTION_STRING }],
  applications: [{ tenant: "contoso", clientId: "11111111-2222-3333-4444-555555555555", roles: ["SignalR Service Owner"] }],
  identities: [{ clientId: "worker", roles: ["SignalR REST API Owner"] }],
  upstream: [{ url: "http://localhost:7071/runtime/webhooks/signalr", hubs: ["*"], categories: ["connections", "messages"], events: ["*"] }],
  settings: [
    { name: "AZURE_AUTHORITY_HOST", value: "https://127.0.0.1:8889/", secret: false },
    { name: "IDENTITY_HEADER", value: "8c0fd3f6a1b94e12", secret: true },
  ],
  snippets: [
    { title: "Azure Functions, local.settings.json", language: "json", text: `{\n  "Values": {\n    "AzureSignalRConnectionString": "${CONNECTION_STRING}"\n  }\n}` },
    { title: "JavaScript client", language: "js", text: 'import { HubConnectionBuilder } from "hubwire";\n\nconst connection = new HubConnectionBuilder().withUrl("http://localhost:7071/api").build();' },
  ],
  limits: { maxConnections: 20000, messageBytes: 1048576 },
};

/** So many connections of users, in two hubs, and in groups. */
export function connections(count, startedAt = Date.now()) {
  return Array.from({ length: count }, (_, n) => ({
    id: `c${String(n).padStart(6, "0")}-Qm9hcmQgbWVzc2FnZQ`,
    hub: n % 4 === 3 ? "board" : "chat",
    user: n % 10 === 9 ? undefined : `user${n % 500}`,
    transport: ["WebSockets", "ServerSentEvents", "LongPolling"][n % 7 === 0 ? 1 : n % 11 === 0 ? 2 : 0],
    protocol: n % 3 ? "json" : "messagepack",
    since: startedAt - n * 1000,
    groups: n % 5 ? [`room${n % 20}`] : [],
    groupCount: n % 5 ? 1 : 0,
    messagesIn: n * 3,
    messagesOut: n * 7,
    bytesIn: n * 300,
    bytesOut: n * 900,
  }));
}

export class Fake {
  info = { ...INFO, startedAt: Date.now() };
  connections = [];
  requests = [];
  traffic = { messagesIn: 0, messagesOut: 0, bytesIn: 0, bytesOut: 0 };
  sent = [];
  closed = [];
  /** Calls and failures by method. */
  counts = [];
  /** What a call was last answered with instead of a result. */
  failures = {};
  /** How each negotiate is answered. */
  status = 200;
  #version = 1;
  #id = 0;
  #watchers = new Set();

  async start(port = 0) {
    this.server = createServer((request, response) => void this.#http(request, response));
    this.sockets = new WebSocketServer({ noServer: true });
    this.server.on("upgrade", (request, socket, head) => {
      this.sockets.handleUpgrade(request, socket, head, (webSocket) => this.#serve(webSocket));
    });
    await new Promise((resolve) => this.server.listen(port, "127.0.0.1", resolve));
    this.port = this.server.address().port;
    this.url = `http://127.0.0.1:${this.port}/dashboard/`;
    return this;
  }

  /** Stops as a service does: its clients are told, and nobody listens any more. */
  async stop() {
    for (const socket of this.sockets.clients) {
      socket.send(JSON.stringify({ type: 7, allowReconnect: false }) + RECORD_SEPARATOR);
      socket.close(1000);
    }
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
    for (const socket of this.sockets.clients) socket.terminate();
  }

  /** Cuts all connections, as a network does. */
  cut() {
    for (const socket of this.sockets.clients) socket.terminate();
  }

  /** The set of connections has changed. */
  changed() {
    this.#version += 1;
    this.tell();
  }

  /** Adds a request, and tells who watches. */
  request(request) {
    this.#id += 1;
    const made = { id: this.#id, at: Date.now(), outcome: "ok", ...request };
    this.requests.push(made);
    this.tell([made]);
  }

  tell(requests = []) {
    for (const watcher of this.#watchers) watcher(this.item(requests));
  }

  item(requests) {
    const hubs = new Map();
    for (const { hub, user, groups } of this.connections) {
      const known = hubs.get(hub) ?? { users: new Set(), groups: new Set(), connections: 0 };
      hubs.set(hub, known);
      known.connections += 1;
      if (user) known.users.add(user);
      for (const group of groups) known.groups.add(group);
    }
    const told = [...hubs].map(([name, { users, groups, connections }]) => ({ name, connections, users: users.size, groups: groups.size }));
    return { at: Date.now(), hubs: told, traffic: { ...this.traffic }, version: this.#version, requests, missed: 0 };
  }

  methods = {
    Info: () => this.info,
    Methods: () => ({ total: this.counts.length, items: this.counts }),
    Connections: ({ hub, user, group, search, offset, limit }) => {
      const items = this.connections.filter(
        (one) =>
          (!hub || one.hub === hub) && (!user || one.user === user) && (!group || one.groups.includes(group)) &&
          (!search || `${one.id}\n${one.user}`.toLowerCase().includes(search.toLowerCase())),
      );
      return { total: items.length, items: items.slice(offset, offset + limit) };
    },
    Connection: (hub, id) => {
      const one = this.connections.find((one) => one.hub === hub && one.id === id);
      if (!one) return null;
      const claims = [{ name: "nameid", value: one.user ?? "" }, { name: "role", value: "editor" }, { name: "role", value: "reader" }];
      return { ...one, claims, query: "version=3", stateful: false, expiresAt: Date.now() + 3_600_000, waitingBytes: 0 };
    },
    Users: (filter) => this.#names(filter, ({ user }) => (user ? [user] : [])),
    Groups: (filter) => this.#names(filter, ({ groups }) => groups),
    Send: (message) => {
      this.sent.push(message);
      const { to, name, hub } = message;
      const hit = this.connections.filter((one) => one.hub === hub && (to === "all" || (to === "group" ? one.groups.includes(name) : one[to === "user" ? "user" : "id"] === name)));
      return { connections: hit.length };
    },
    Close: (close) => {
      this.closed.push(close);
      const before = this.connections.length;
      this.connections = this.connections.filter(({ hub, id }) => hub !== close.hub || id !== close.connection);
      this.changed();
      return { closed: this.connections.length < before };
    },
    ReadToken: (token) => {
      if (token.split(".").length !== 3) throw new Error("This is not a token: it has not got three parts.");
      return {
        header: { alg: "HS256", typ: "JWT" },
        claims: [{ name: "aud", value: "http://127.0.0.1/client/?hub=chat", meaning: "what it is for" }, { name: "nameid", value: token.split(".")[1], meaning: "the user" }],
        audience: "http://127.0.0.1/client/?hub=chat",
        hub: "chat",
        user: token.split(".")[1],
        issuedAt: Date.now() - 7_200_000,
        expiresAt: Date.now() - 3_600_000,
        bytes: token.length,
        signature: "valid",
        problems: ["It has expired."],
      };
    },
  };

  #names({ hub, search, offset, limit }, namesOf) {
    const found = new Map();
    for (const one of this.connections) {
      for (const name of namesOf(one)) {
        if ((hub && one.hub !== hub) || (search && !name.includes(search))) continue;
        const key = `${one.hub}/${name}`;
        found.set(key, { hub: one.hub, name, connections: (found.get(key)?.connections ?? 0) + 1 });
      }
    }
    const items = [...found.values()];
    return { total: items.length, items: items.slice(offset, offset + limit) };
  }

  async #http(request, response) {
    const { pathname } = new URL(request.url, "http://localhost");
    if (pathname === "/dashboard/hub/negotiate") {
      const connection = { connectionId: "page", connectionToken: "page", negotiateVersion: 1 };
      const answer = { ...connection, availableTransports: [{ transport: "WebSockets", transferFormats: ["Text", "Binary"] }] };
      response.writeHead(this.status, { "content-type": "application/json" });
      return response.end(this.status === 200 ? JSON.stringify(answer) : "");
    }
    const name = pathname.replace(/^\/dashboard\//, "") || "index.html";
    if (!TYPES[name]) return response.writeHead(404).end();
    const file = await readFile(new URL(`../../src/dashboard/page/dist/${name}.gz`, import.meta.url));
    response.writeHead(200, {
      "content-type": TYPES[name],
      "content-encoding": "gzip",
      "content-security-policy": POLICY,
      "x-content-type-options": "nosniff",
    });
    response.end(file);
  }

  #serve(socket) {
    const write = (message) => socket.send(JSON.stringify(message) + RECORD_SEPARATOR);
    const watches = new Map();
    const answer = async (invocationId, target, args) => {
      try {
        if (this.failures[target]) throw new Error(this.failures[target]);
        write({ type: 3, invocationId, result: (await this.methods[target](...args)) ?? null });
      } catch (error) {
        write({ type: 3, invocationId, error: `An unexpected error occurred invoking '${target}' on the server. HubException: ${error.message}` });
      }
    };
    let shaken = false;
    socket.on("message", (data) => {
      for (const text of String(data).split(RECORD_SEPARATOR).filter(Boolean)) {
        const { type, invocationId, target, arguments: args } = JSON.parse(text);
        if (!shaken) {
          shaken = true;
          socket.send(`{}${RECORD_SEPARATOR}`);
        } else if (type === 1) {
          void answer(invocationId, target, args);
        } else if (type === 4) {
          const watcher = (item) => write({ type: 2, invocationId, item });
          watches.set(invocationId, watcher);
          this.#watchers.add(watcher);
          watcher(this.item(this.requests.slice(-200)));
        } else if (type === 5) {
          this.#watchers.delete(watches.get(invocationId));
          write({ type: 3, invocationId });
        } else if (type === 6) {
          write({ type: 6 });
        }
      }
    });
    socket.on("close", () => {
      for (const watcher of watches.values()) this.#watchers.delete(watcher);
    });
  }
}
