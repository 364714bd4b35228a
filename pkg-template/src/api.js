// What every entry of the package exports.
export { HubConnection } from "./connection.js";
// With a star, which esbuild follows without this file: where it splits, an enum alone would otherwise bring with it all that this
// file and the engine have in common.
export * from "./enums.js";
export { AbortError, HttpError, HubwireError, TimeoutError } from "./errors.js";
export { DefaultHttpClient, HttpClient, HttpResponse } from "./http.js";
export { JsonHubProtocol } from "./json.js";
export { ExtData } from "./encoder.js";
export { MessagePackHubProtocol } from "./messagepack.js";
export { NullLogger } from "./logging.js";
export { parseClientToken, parseNegotiateResponse } from "./parse.js";
export { Subject } from "./subject.js";
export { VERSION } from "./generated/version.js";
