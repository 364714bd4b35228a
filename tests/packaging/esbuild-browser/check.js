/** Reads what a negotiate endpoint in front of Azure SignalR Service answers, and says so in the title. */
export function check({ parseClientToken, parseNegotiateResponse, HubConnectionBuilder }) {
  const encode = (value) => btoa(JSON.stringify(value)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const claims = { aud: "https://example.com/client/?hub=chat", "asrs.s.uid": "alice", iat: 1700000000, exp: 1700003600 };
  const accessToken = [encode({ alg: "HS256", typ: "JWT" }), encode(claims), "c2lnbmF0dXJl"].join(".");
  const response = { url: "https://example.com/client/?hub=chat", accessToken, availableTransports: [] };

  const { url, accessToken: token } = parseNegotiateResponse(JSON.stringify(response));
  const { userId, hub } = parseClientToken(token);
  new HubConnectionBuilder().withUrl("/chat").build();
  document.title = `${userId} on ${hub} by ${url}`;
}
