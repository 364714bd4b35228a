export { HubConnection } from "./connection.js";
export { HubConnectionBuilder } from "./builder.js";
export { HttpTransportType, HubConnectionState, LogLevel } from "./enums.js";
export { HubwireError } from "./errors.js";
export { parseClientToken, parseNegotiateResponse } from "./parse.js";
