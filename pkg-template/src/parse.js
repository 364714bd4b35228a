// Reads negotiate answers and client tokens.
import { typed } from "./errors.js";
import { loadedEngine } from "./module.js";

export function parseNegotiateResponse(text) {
  try {
    return loadedEngine().parseNegotiateResponse(text);
  } catch (error) {
    throw typed(error);
  }
}

export function parseClientToken(token) {
  try {
    return loadedEngine().parseClientToken(token);
  } catch (error) {
    throw typed(error);
  }
}
