const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const claims = { aud: "https://example.com/client/?hub=chat", "asrs.s.uid": "alice", iat: 1700000000, exp: 1700003600 };
const accessToken = [encode({ alg: "HS256", typ: "JWT" }), encode(claims), "c2lnbmF0dXJl"].join(".");

/** What a negotiate endpoint in front of Azure SignalR Service answers. */
export const response = JSON.stringify({ url: "https://example.com/client/?hub=chat", accessToken, availableTransports: [] });
