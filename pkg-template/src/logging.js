// Loggers: the console, none, or an object of the application.
import { LogLevel } from "./enums.js";
import { invalid, shown } from "./errors.js";

/** Names that are not those of the enum. */
const ALIASES = { info: "information", warn: "warning" };

function levelOf(text) {
  const name = text.toLowerCase();
  return LogLevel[Object.keys(LogLevel).find((known) => known.toLowerCase() === (ALIASES[name] ?? name))];
}

function consoleLogger(minimum) {
  return {
    minimum,
    log(level, message) {
      if (level < minimum) return;
      const line = `[${new Date().toISOString()}] ${LogLevel[level]}: ${message}`;
      // Not `debug`, which browsers hide and Node.js gives to debuggers only; as the official client.
      console[["log", "log", "info", "warn"][level] ?? "error"](line);
    },
  };
}

/** The logger that is described: a level, its name, or an object with a `log` method, which may throw. */
export function createLogger(logging) {
  if (typeof logging?.log === "function") {
    return {
      log(level, message) {
        try {
          logging.log(level, message);
        } catch {
          // What it throws must not end up in the midst of what is logged.
        }
      },
    };
  }
  const level = typeof logging === "string" ? levelOf(logging) : logging;
  if (typeof level !== "number" || LogLevel[level] === undefined) throw invalid(`Unknown log level: ${shown(logging)}`);
  return level === LogLevel.None ? NullLogger.instance : consoleLogger(level);
}

/** Logs nothing. */
export class NullLogger {
  static instance = new NullLogger();
  /** @internal */
  minimum = LogLevel.None;

  log() {}
}
