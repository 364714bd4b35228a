import { readFile } from "node:fs/promises";
import { HubwireError, initialize, parseClientToken, parseNegotiateResponse } from "hubwire/slim";
import { response } from "./response.mjs";

let refused = "not refused";
try {
  parseNegotiateResponse(response);
} catch (error) {
  if (error instanceof HubwireError && error.code === "NotInitialized") refused = "refused";
}
const file = new URL(import.meta.resolve("hubwire/hubwire.wasm"));
await initialize(await readFile(file));
console.log(`${refused} before initialize, then ${parseClientToken(parseNegotiateResponse(response).accessToken).userId}`);
