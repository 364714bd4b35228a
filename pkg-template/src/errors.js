export class HubwireError extends Error {
  constructor(message, { code, statusCode, cause }) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "HubwireError";
    this.code = code;
    this.statusCode = statusCode;
  }
}

/** An error of the WebAssembly module as one of this package's class; others stay as they are. */
export function typed(error) {
  if (!(error instanceof Error) || error instanceof HubwireError || typeof error.code !== "string") return error;
  return new HubwireError(error.message, error);
}

export const invalid = (message) => new HubwireError(message, { code: "InvalidArgument" });
