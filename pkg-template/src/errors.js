// The errors of the package, with the texts and properties that the official client gives them.

/**
 * An error of this package. Its own properties are its details: `code`, and where there are such, `statusCode`, `cause`, and
 * the official client's `errorType`, `innerErrors` and `transport`. Its name stays `Error`, as all of the official client's.
 */
export class HubwireError extends Error {
  constructor(message, { cause, ...details } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    Object.assign(this, details);
    if (this.code === "Negotiate") this.errorType ??= "FailedToNegotiateWithServerError";
  }
}

export class HttpError extends HubwireError {
  constructor(errorMessage, statusCode, details) {
    super(`${errorMessage}: Status code '${statusCode}'`, { code: "Http", ...details, statusCode });
  }
}

export class TimeoutError extends HubwireError {
  constructor(errorMessage = "A timeout occurred.", details) {
    super(errorMessage, { code: "Timeout", ...details });
  }
}

export class AbortError extends HubwireError {
  constructor(errorMessage = "An abort occurred.", details) {
    super(errorMessage, { code: "Aborted", ...details });
  }
}

/** An error of the class that its details ask for, with exactly this text. */
export function errorOf(message, details) {
  const { code, statusCode } = details;
  let kind = HubwireError;
  if (statusCode !== undefined) kind = HttpError;
  else if (code === "Timeout" || code === "ServerTimeout") kind = TimeoutError;
  else if (code === "Stopped") kind = AbortError;
  // Past the constructors, which would add to the text.
  return Reflect.construct(HubwireError, [message, details], kind);
}

/**
 * An error of the core as one of this package's classes; others stay as they are. It is known by its code: those of Node.js
 * (`ECONNREFUSED`) and of most libraries are written otherwise. `failure` is what a hub protocol has thrown.
 */
export function typed(error, failure) {
  if (error instanceof HubwireError || !isError(error) || !/^[A-Z][a-z]+([A-Z][a-z]*)*$/.test(error.code)) return error;
  const details = { ...error, cause: error.cause };
  switch (error.code) {
    case "Protocol":
      if (!failure) break;
      return errorOf(textOf(failure), { ...details, cause: failure });
    case "ServerTimeout":
      return errorOf("Server timeout elapsed without receiving a message from the server.", details);
  }
  return errorOf(error.message, details);
}

// Not `instanceof`: it may come from a frame, or from a test runner's realm.
export const isError = (value) => value !== null && typeof value === "object" && typeof value.message === "string";

export const notConnected = () =>
  new HubwireError("Cannot send data if the connection is not in the 'Connected' State.", { code: "InvalidState" });

export const invalid = (message) => new HubwireError(message, { code: "InvalidArgument" });

export const stopped = () =>
  new AbortError("The connection was stopped during negotiation.", { code: "Stopped" });

/**
 * Awaits a start, whose error gets the lines of the application that wait for it: where it was made, those were not known. Engines
 * other than V8 do not tell them, and for each call of a hub it would cost too much.
 */
export async function traced(start) {
  try {
    await start;
  } catch (error) {
    const { stack } = new Error();
    const at = stack?.indexOf("\n    at async ");
    if (at > 0 && isError(error) && !error.stack?.includes("\n    at async ")) error.stack += stack.slice(at);
    throw error;
  }
}

/** Any thrown value as text, for a log. */
export function shown(value) {
  try {
    return String(value);
  } catch {
    return "Unknown error";
  }
}

/** The text of an error that the server is told. */
export const textOf = (error) => (isError(error) ? error.message : shown(error ?? "Unknown error"));

// The official client tells no error when it was asked to stop, or when the server closed without one.
const hasNoReason = (error) =>
  !error || error.code === "Stopped" || (error.code === "ServerClosed" && !error.message.includes(": "));

/** Why a connection ended, as applications hear of it. */
export const reasonOf = (error) => (hasNoReason(error) ? undefined : typed(error));

export const aborted = ({ reason }) => new AbortError("The call was aborted.", { cause: reason });

export function throwIfAborted(signal) {
  if (signal?.aborted) throw aborted(signal);
}
