// The messages between page and worker. The page sends lists of `[connection, method, …arguments]`, and numbers, which
// confirm that much of what it heard. The worker sends `[weight, …entries]`; an entry is `[connection, what, …details]`.
// Messages, of which there are many, come in lists: connection, what, number and message, again and again. Of a text
// protocol the list is JSON; of others it is `[list]`, and the messages have only what the page looks at.

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

/** The event that a connection ends with, see `driver.js`. */
export const DOWN = 3;
