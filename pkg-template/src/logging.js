// Loggers: the console, none, or an object of the application.
import { LogLevel } from "./enums.js";
import { invalid } from "./errors.js";

const NAMES = {
  trace: LogLevel.Trace,
  debug: LogLevel.Debug,
  info: LogLevel.Information,
  information: LogLevel.Information,
  warn: LogLevel.Warning,
  warning: LogLevel.Warning,
  error: LogLevel.Error,
  critical: LogLevel.Critical,
  none: LogLevel.None,
};

function consoleLogger(minimum) {
  return {
    log(level, message) {
      if (level < minimum) return;
      const line = `[${new Date().toISOString()}] ${LogLevel[level]}: ${message}`;
      if (level >= LogLevel.Error) console.error(line);
      else if (level === LogLevel.Warning) console.warn(line);
      else if (level === LogLevel.Information) console.info(line);
      else console.debug(line);
    },
  };
}

/** The logger that `configureLogging` describes: a level, its name, or an object with a `log` method. */
export function createLogger(logging) {
  if (typeof logging?.log === "function") return logging;
  const level = typeof logging === "string" ? NAMES[logging.toLowerCase()] : logging;
  if (typeof level !== "number" || LogLevel[level] === undefined) {
    throw invalid(`Unknown log level: ${String(logging)}`);
  }
  return level === LogLevel.None ? { log() {} } : consoleLogger(level);
}

/** Logs nothing. */
export class NullLogger {
  static instance = new NullLogger();

  log() {}
}
