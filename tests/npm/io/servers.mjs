// What the tests of the package's input and output have in common: the package, servers, and records of what is called.
import { createServer } from "node:http";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

export const folder = pathToFileURL(`${resolve(process.argv[2])}/`);
const load = (file) => import(new URL(`src/${file}.js`, folder));

export const { LogLevel, TransferFormat } = await load("enums");
export const { AbortError, HttpError, TimeoutError } = await load("errors");
export const { DefaultHttpClient, HttpClient, HttpResponse, nodeOnly } = await load("http");
export const { requestHeaders } = await load("headers");
export const { CookieJar } = await nodeOnly();
export const { eventReader, LongPollingTransport, ServerSentEventsTransport, WebSocketTransport } = await load("transports");

/** A server for a test, which gets its URL and what has been asked of it, and after which the server is gone. */
export const withServer = (handler, body) => async () => {
  const requests = [];
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    request.body = Buffer.concat(chunks);
    requests.push(request);
    await handler(request, response, requests);
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  try {
    await body({ url: `http://127.0.0.1:${server.address().port}`, requests, server });
  } finally {
    server.closeAllConnections();
    server.close();
  }
};

/** Waits until something is true. */
export async function until(condition) {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
}

export const recorder = () => {
  const lines = [];
  return { lines, log: (level, message) => lines.push(`${LogLevel[level]} ${message}`) };
};

/** A transport with what it is made with, and what it has told. */
export function make(Transport, io = {}) {
  const logger = recorder();
  const told = { received: [], closed: [], renewals: [], refreshes: 0, lines: logger.lines };
  let current = "token";
  const transport = new Transport({
    httpClient: new DefaultHttpClient(logger),
    headers: { "X-Own": 7 },
    withCredentials: true,
    timeout: 5000,
    logger,
    logMessageContent: false,
    ...io,
    authorization: {
      token: () => current,
      renew: async (rejected) => {
        told.renewals.push(rejected);
        return (current = "renewed");
      },
      refresh: async () => {
        told.refreshes += 1;
      },
      ...io.authorization,
    },
  });
  transport.onreceive = (data) => told.received.push(data);
  transport.onclose = (error) => told.closed.push(error);
  return { transport, told };
}

/** With the global names of another environment, such as a browser's, for as long as it takes. */
export async function inPlaceOf(globals, body) {
  const before = Object.keys(globals).map((name) => [name, Object.getOwnPropertyDescriptor(globalThis, name)]);
  for (const [name, value] of Object.entries(globals)) {
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  }
  try {
    return await body();
  } finally {
    for (const [name, descriptor] of before) {
      if (descriptor) Object.defineProperty(globalThis, name, descriptor);
      else delete globalThis[name];
    }
  }
}
