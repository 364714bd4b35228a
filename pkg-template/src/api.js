// What every entry of the package exports.
export { HubConnection } from "./connection.js";
export { HttpTransportType, HubConnectionState, LogLevel, MessageType, TransferFormat } from "./enums.js";
export { AbortError, HttpError, HubwireError, TimeoutError } from "./errors.js";
export { DefaultHttpClient, HttpClient, HttpResponse } from "./http.js";
export { JsonHubProtocol } from "./json.js";
export { ExtData } from "./encoder.js";
export { MessagePackHubProtocol } from "./messagepack.js";
export { NullLogger } from "./logging.js";
export { parseClientToken, parseNegotiateResponse } from "./parse.js";
export { Subject } from "./subject.js";
export { VERSION } from "./generated/version.js";
