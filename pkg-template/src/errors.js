// The errors of the package, and the texts that the official client gives them.
export class HubwireError extends Error {
  constructor(message, { code, statusCode, cause } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "HubwireError";
    this.code = code;
    this.statusCode = statusCode;
    // What the official client calls it.
    if (code === "Negotiate") this.errorType = "FailedToNegotiateWithServerError";
  }
}

export class HttpError extends HubwireError {
  constructor(errorMessage, statusCode, details) {
    super(errorMessage, { code: "Http", ...details, statusCode });
    this.name = "HttpError";
  }
}

export class TimeoutError extends HubwireError {
  constructor(errorMessage = "A timeout occurred.", details) {
    super(errorMessage, { code: "Timeout", ...details });
    this.name = "TimeoutError";
  }
}

export class AbortError extends HubwireError {
  constructor(errorMessage = "An abort occurred.", details) {
    super(errorMessage, { code: "Aborted", ...details });
    this.name = "AbortError";
  }
}

/** An error of the WebAssembly module as one of this package's classes; others stay as they are. */
export function typed(error, cause) {
  if (!(error instanceof Error) || error instanceof HubwireError || typeof error.code !== "string") return error;
  const { message, code, statusCode } = error;
  if (statusCode !== undefined) return new HttpError(message, statusCode, { code });
  if (code === "Timeout") return new TimeoutError(message, { code });
  if (code === "ServerTimeout") {
    return new TimeoutError("Server timeout elapsed without receiving a message from the server.", { code });
  }
  if (code === "Stopped") return new AbortError(message, { code });
  if (code === "Protocol" && cause) return new HubwireError(`${message}: ${cause.message}`, { code, cause });
  return new HubwireError(message, { code });
}

export const notConnected = () =>
  new HubwireError("Cannot send data if the connection is not in the 'Connected' State.", { code: "InvalidState" });

export const invalid = (message) => new HubwireError(message, { code: "InvalidArgument" });

export const stopped = () =>
  new AbortError("The connection was stopped before the hub handshake could complete.", { code: "Stopped" });

/** The text of an error that the server is told. */
export const textOf = (error) => (error instanceof Error ? error.message : String(error ?? "Unknown error"));
