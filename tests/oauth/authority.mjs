// An OAuth 2.0 authority of the npm package oidc-provider, at the paths of Microsoft Entra ID.
//
//     node authority.mjs CERTIFICATE
//
// CERTIFICATE is a PEM file; the client "with-certificate" proves itself with its key. It prints its address as a
// line and ends when its standard input does. What it thinks of each token request goes to standard error.
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";

import { Provider } from "oidc-provider";

const scope = "https://signalr.azure.com/.default";
const resource = "https://signalr.azure.com";
const token = "/tenant-1/oauth2/v2.0/token";

const jwk = new X509Certificate(readFileSync(process.argv[2])).publicKey.export({ format: "jwk" });
const server = createServer();
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
const issuer = `http://127.0.0.1:${server.address().port}`;

const client = (client_id, settings) => ({
  client_id,
  grant_types: ["client_credentials"],
  redirect_uris: [],
  response_types: [],
  scope,
  ...settings,
});
const provider = new Provider(issuer, {
  clients: [
    client("with-secret", { client_secret: "oidc secret ~ &+=/%", token_endpoint_auth_method: "client_secret_post" }),
    client("with-certificate", {
      jwks: { keys: [jwk] },
      token_endpoint_auth_method: "private_key_jwt",
      token_endpoint_auth_signing_alg: "PS256",
    }),
    client("with-rs256", {
      jwks: { keys: [jwk] },
      token_endpoint_auth_method: "private_key_jwt",
      token_endpoint_auth_signing_alg: "RS256",
    }),
  ],
  clientAuthMethods: ["client_secret_post", "private_key_jwt"],
  // Stricter than the package is: the endpoint itself, as Entra wants it, and only ten minutes.
  assertJwtClientAuthClaimsAndHeader(_ctx, claims, header) {
    if (claims.aud !== issuer + token) throw new Error(`aud is ${claims.aud}`);
    if (claims.sub !== claims.iss) throw new Error(`sub is ${claims.sub}`);
    if (claims.exp - claims.nbf > 600) throw new Error("the assertion lives for too long");
    if (header.typ !== "JWT" || !header["x5t#S256"]) throw new Error("the header is not Entra's");
  },
  enabledJWA: { clientAuthSigningAlgValues: ["PS256", "RS256"] },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => resource,
      getResourceServerInfo: () => ({
        scope,
        audience: resource,
        accessTokenFormat: "jwt",
        accessTokenTTL: 3600,
        jwt: { sign: { alg: "RS256" } },
      }),
    },
  },
  routes: { token },
  scopes: [scope],
});
for (const event of ["grant.success", "grant.error", "server_error"]) {
  provider.on(event, (ctx, error) => {
    console.error(event, ctx.oidc?.client?.clientId, error?.message, error?.error_description, error?.cause);
  });
}
server.on("request", provider.callback());
console.log(issuer);
process.stdin.on("end", () => process.exit()).resume();
