// Where this package does otherwise than the official client, on purpose: what is then observed, and why. Everything
// else has to be the same, and what stands here has to differ.

const status = (code) => ({
  observed: { said: true, statusCode: code, state: "Disconnected", closed: 0 },
  why: "The status of a failed start is data, so that nobody has to read it out of a text.",
});

export const mends = {
  // Negotiate and tokens
  "negotiate: the request and its headers": {
    observed: {
      method: "POST", path: "/hub/negotiate", query: { negotiateVersion: "1" }, body: "", requestedWith: "XMLHttpRequest", own: "contoso", agent: false,
    },
    why: "The user agent header names Microsoft's client, which this is not, and servers make nothing of it.",
  },
  "negotiate: a redirect's token goes to the first server on the next start": {
    observed: [false, false],
    why: "The token of Azure SignalR Service is no business of the app server's; mended in the official client's version 11.",
  },
  "negotiate: status 401 fails the start and leaves it disconnected": status(401),
  "negotiate: status 404 fails the start and leaves it disconnected": status(404),
  "negotiate: status 503 fails the start and leaves it disconnected": status(503),
  "tokens: how often the factory is asked for one start by WebSockets": {
    observed: 1,
    why: "One start needs one token; the official client asks again for the socket.",
  },
  "tokens: a 401 on a poll ends the connection": {
    observed: { closed: 0, asked: 2 },
    why: "The official client means to fetch a new token once and never does; this one does.",
  },
  "reconnect: the factory is asked anew": {
    observed: false,
    why: "A token is kept until shortly before it expires, or until a server refuses it.",
  },

  // Transports
  "Server-Sent Events: the token is in the stream's URL": {
    observed: false,
    why: "What is in a URL ends up in logs. The stream is read by fetch, which can set a header.",
  },

  // The handshake
  "handshake: one in two frames": {
    observed: "Connected",
    why: "Networks and proxies may cut anywhere; the .NET client takes it as well.",
  },
  "handshake: how long a silent server is waited for": {
    observed: "longer",
    why: "The handshake has a limit of its own, 15 seconds as in the .NET and Java clients, so that a short server timeout does not fail slow starts.",
  },

  // Calls
  "streams: what comes before anybody subscribes": {
    observed: ["early", "complete"],
    why: "Items that came before anybody subscribed are kept for the first who does; the official client loses them.",
  },
  "uploads: two streams side by side": {
    observed: { ids: 2, arguments: [] },
    why: "The official client overlooks a stream that stands right behind another, and the call never ends.",
  },

  // A connection's life
  "keep-alive: pings to a server that is silent": {
    observed: "regularly",
    why: "The official client arms its timer only when something arrives; a server that waits for pings drops it meanwhile.",
  },
  "reconnect: what a policy is told": {
    observed: { counts: [0, 1, 2], elapsed: [true, true, true], reasons: [true, true, true], closed: ["an error"] },
    why: "Whoever gave up on reconnecting is told why; the official client closes as if it had been asked to.",
  },
};
