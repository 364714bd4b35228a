// Calls the handlers of a method, as the hub asks for it.
import { LogLevel } from "./enums.js";
import { shown } from "./errors.js";

const NO_RESULT = "Client didn't provide a result.";

/**
 * Calls all handlers of a method in order; one that returns a promise is awaited before the next. If the server expects
 * an answer, the invocation has an id, and the last handler decides what is answered: `{ result }` or `{ error }`.
 */
export function dispatch(handlers, logger, self, { target, arguments: args, invocationId }) {
  const name = target.toLowerCase();
  let called = handlers.of(name);
  // Most messages have one handler, which returns nothing: a promise for each would cost as much as calling it.
  if (!invocationId && called.length === 1) {
    let outcome;
    try {
      const result = called[0].apply(self, args);
      if (!result) return undefined;
      outcome = () => result;
    } catch (error) {
      outcome = () => {
        throw error;
      };
    }
    called = [outcome];
  }
  return finish(called, logger, self, name, args, invocationId);
}

async function finish(handlers, logger, self, name, args, invocationId) {
  const log = (level, message) => logger.log(level, message);
  if (handlers.length === 0) log(LogLevel.Warning, `No client method with the name '${name}' found.`);
  let result;
  let thrown;
  let several = false;
  for (const handler of handlers) {
    try {
      const earlier = result;
      result = handler.apply(self, args);
      // Any promise, whatever library made it.
      if (typeof result?.then === "function") result = await result;
      several ||= Boolean(earlier && result);
      thrown = undefined;
    } catch (error) {
      thrown = { error: shown(error) };
      log(LogLevel.Error, `A callback for the method '${name}' threw error '${thrown.error}'.`);
    }
  }
  if (!invocationId) {
    if (result) log(LogLevel.Error, `Result given for '${name}' method but server is not expecting a result.`);
    return undefined;
  }
  if (several) {
    log(LogLevel.Error, `Multiple results provided for '${name}'. Sending error to server.`);
    return { error: "Client provided multiple results." };
  }
  if (thrown) return thrown;
  if (result !== undefined) return { result };
  log(LogLevel.Warning, `No result given for '${name}' method and invocation ID '${invocationId}'.`);
  return { error: NO_RESULT };
}
