// Sends the streams among the arguments of a call.
import { textOf } from "./errors.js";

/** How long an async iterable may go on at a stretch, in milliseconds. */
const TURN = 10;

const isObservable = (argument) => typeof argument?.subscribe === "function";
const isStream = (argument) => isObservable(argument) || typeof argument?.[Symbol.asyncIterator] === "function";

/** Arguments of a call: those that go with it, and the streams that follow it. */
export function separate(args) {
  return args.some(isStream) ? [args.filter((argument) => !isStream(argument)), args.filter(isStream)] : [args, []];
}

/**
 * Sends a stream, which may be an observable or an async iterable. `item` gives `false` when no more are wanted, and a
 * promise when the next one has to wait. What it returns ends the upload.
 */
export function upload(stream, { item, end }) {
  let stopped = false;
  let release = () => {};
  const stop = () => {
    if (stopped) return;
    stopped = true;
    release();
  };
  const finish = (error) => {
    if (stopped) return;
    end(error === undefined ? undefined : textOf(error.error));
    stop();
  };
  // One that cannot be written ends the stream.
  const next = (value) => {
    if (stopped) return undefined;
    try {
      const taken = item(value);
      if (taken === false) stop();
      return taken;
    } catch (error) {
      return finish({ error });
    }
  };
  if (isObservable(stream)) {
    const subscription = stream.subscribe({ next, error: (error) => finish({ error }), complete: () => finish() });
    release = () => (subscription?.dispose ?? subscription?.unsubscribe)?.call(subscription);
    if (stopped) release();
  } else {
    pump(stream, next, finish, () => stopped, (free) => (release = free));
  }
  return stop;
}

async function pump(stream, next, finish, isStopped, onRelease) {
  try {
    const iterator = stream[Symbol.asyncIterator]();
    onRelease(() => {
      // A generator that waits for something else ends later; if it fails meanwhile, that no longer matters.
      Promise.resolve(iterator.return?.()).catch(() => {});
    });
    let since = performance.now();
    for (;;) {
      const { done, value } = await iterator.next();
      if (done || isStopped()) break;
      await next(value);
      // One that never waits would keep everything else from running.
      if (performance.now() - since > TURN) {
        await new Promise((resolve) => setTimeout(resolve));
        since = performance.now();
      }
    }
    finish();
  } catch (error) {
    finish({ error });
  }
}
