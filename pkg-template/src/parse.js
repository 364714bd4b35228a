// Reads negotiate answers and client tokens.
import { typed } from "./errors.js";
import { loadedEngine } from "./module.js";

/** What the places of the module's lists are called. */
const RESPONSE = ["url", "accessToken", "connectionId", "connectionToken", "negotiateVersion", "tokenLifetimeSeconds", "availableTransports"];
const TOKEN = ["algorithm", "keyId", "audience", "hub", "userId", "roles", "expiresAt", "issuedAt", "notBefore", "claims"];

/** What is not there is left out. */
function read(parse, text, names) {
  let list;
  try {
    list = parse(text);
  } catch (error) {
    const [code, , , ...parts] = error;
    throw typed(Object.assign(new Error(parts.join("")), { code }));
  }
  return Object.fromEntries(names.map((name, n) => [name, list[n]]).filter(([, value]) => value !== undefined));
}

const pairs = (list) => list.flatMap((item, n) => (n % 2 ? [] : [[item, list[n + 1]]]));

export function parseNegotiateResponse(text) {
  const response = read(loadedEngine().parseNegotiateResponse, text, RESPONSE);
  const transports = pairs(response.availableTransports).map(([transport, transferFormats]) => ({ transport, transferFormats }));
  return { ...response, availableTransports: transports };
}

export function parseClientToken(token) {
  const parsed = read(loadedEngine().parseClientToken, token, TOKEN);
  return { ...parsed, claims: Object.fromEntries(pairs(parsed.claims).map(([name, json]) => [name, JSON.parse(json)])) };
}
