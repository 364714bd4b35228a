// Runs tests, each within a time limit, and prints `N passed, N failed` at the end.

const tests = [];

/** Adds a test; with HUBWIRE_ONLY set, those alone whose names have that in them. */
export function test(name, body, { seconds = 30 } = {}) {
  if (!name.includes(process.env.HUBWIRE_ONLY ?? "")) return;
  tests.push({ name, body, seconds });
}

/** Runs them one after another, or several at once: then each starts as soon as one has ended. */
export async function run({ atOnce = 1 } = {}) {
  let failed = 0;
  const waiting = tests.values();
  const work = async () => {
    // Whoever comes next takes the next: the iterator is one for all.
    for (const { name, body, seconds } of waiting) {
      try {
        await within(seconds, body());
        console.log(`ok      ${name}`);
      } catch (error) {
        failed += 1;
        console.log(`FAILED  ${name}\n${error?.stack ?? error}`);
      }
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  console.log(`${tests.length - failed} passed, ${failed} failed`);
  // Not process.exitCode: a connection that a failed test left open would keep the process alive.
  process.exit(failed === 0 && tests.length > 0 ? 0 : 1);
}

/** A promise that fails when another takes too long. */
export function within(seconds, promise) {
  let timer;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${seconds} s`)), seconds * 1000);
  });
  return Promise.race([promise, limit]).finally(() => clearTimeout(timer));
}
