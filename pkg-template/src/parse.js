// Reads negotiate answers and client tokens.
import { typed } from "./errors.js";
import { bindings } from "./module.js";

export function parseNegotiateResponse(text) {
  try {
    return bindings().parseNegotiateResponse(text);
  } catch (error) {
    throw typed(error);
  }
}

export function parseClientToken(token) {
  try {
    return bindings().parseClientToken(token);
  } catch (error) {
    throw typed(error);
  }
}
