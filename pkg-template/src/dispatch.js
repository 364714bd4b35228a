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
  const called = handlers.of(name);
  if (called.length === 0) logger.log(LogLevel.Warning, `No client method with the name '${name}' found.`);
  const rest = (functions) => finish(functions, logger, self, name, args, invocationId);
  if (invocationId) return rest(called);
  // Most return nothing: a promise for each message would cost as much as calling them.
  for (let n = 0; n < called.length; n += 1) {
    try {
      const result = called[n].apply(self, args);
      if (result) return rest([() => result, ...called.slice(n + 1)]);
    } catch (error) {
      failed(logger, name, error);
    }
  }
}

async function finish(handlers, logger, self, name, args, invocationId) {
  let result;
  let thrown;
  let several = false;
  for (const handler of handlers) {
    try {
      const earlier = result;
      result = handler.apply(self, args);
      // Any promise, whoever made it.
      if (typeof result?.then === "function") result = await result;
      several ||= Boolean(earlier && result);
      thrown = undefined;
    } catch (error) {
      thrown = failed(logger, name, error);
    }
  }
  const log = (level, message) => logger.log(level, message);
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

function failed(logger, name, thrown) {
  const error = shown(thrown);
  logger.log(LogLevel.Error, `A callback for the method '${name}' threw error '${error}'.`);
  return { error };
}
