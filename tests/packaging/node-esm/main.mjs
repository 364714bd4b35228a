import { HubConnectionBuilder, parseClientToken, parseNegotiateResponse } from "hubwire";
import { response } from "./response.mjs";

const { url, accessToken } = parseNegotiateResponse(response);
const token = parseClientToken(accessToken);
new HubConnectionBuilder().withUrl("https://example.com/chat").build();
console.log(`${token.userId} on ${token.hub} by ${url}`);
