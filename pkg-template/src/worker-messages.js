// The messages between page and worker. The page sends lists of `[connection, method, …arguments]`, and numbers, which
// confirm that much of what it heard. The worker sends `[weight, …entries]`; an entry is `[connection, what, …details]`.
// Messages, of which there are many, come in lists: connection, what and number, and then all messages for which these three hold.
// Of a text protocol the list is JSON; of others it is `[list]`, and the messages have only what the page looks at.
import { isError, shown } from "./errors.js";

/** What the worker tells. */
export const Told = {
  Invocation: 0,
  Item: 1,
  End: 2,
  Fail: 3,
  Event: 4,
  Token: 5,
  Retry: 6,
  Reply: 7,
  Full: 8,
  Room: 9,
  Unwanted: 10,
  Lost: 11,
  Log: 12,
};

/** The events of a connection that say how it stands, see `driver.js`. */
export const [UP, RECONNECTING, UP_AGAIN, DOWN] = [0, 1, 2, 3];

/** An item on its way to the page counts as this much of one that waits there in a loop. */
export const ON_THE_WAY = 1 / 16;

/** An error as an object that can be cloned, with what is known of it. Other objects become texts. */
export function plain(value) {
  if (value !== Object(value)) return value;
  if (!isError(value)) return shown(value);
  const { name, message, cause, innerErrors } = value;
  const details = Object.fromEntries(Object.entries(value).filter(([, detail]) => detail !== Object(detail)));
  return { ...details, name, message, cause: plain(cause), innerErrors: innerErrors?.map(plain) };
}

/** The error again, of this side's class. */
export function revive(value) {
  if (!isError(value)) return value;
  const { name, message, cause, innerErrors, ...details } = value;
  const error = Object.assign(new Error(message, cause !== undefined && { cause: revive(cause) }), details);
  if (innerErrors) error.innerErrors = innerErrors.map(revive);
  return Object.defineProperty(error, "name", { value: name });
}
