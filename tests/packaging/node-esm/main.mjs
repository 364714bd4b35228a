import { HubConnectionBuilder, HubwireError, initialize, parseClientToken, parseNegotiateResponse } from "hubwire";
import { response } from "./response.mjs";

let refused = "not refused";
try {
  parseNegotiateResponse(response);
} catch (error) {
  if (error instanceof HubwireError && error.code === "NotInitialized") refused = "refused";
}
await initialize();
const { url, accessToken } = parseNegotiateResponse(response);
const token = parseClientToken(accessToken);
new HubConnectionBuilder().withUrl("https://example.com/chat").build();
console.log(`${refused} before initialize, then ${token.userId} on ${token.hub} by ${url}`);
