// Runs tests one after another, each within a time limit, and prints `N passed, N failed` at the end.

const tests = [];

export function test(name, body, { seconds = 30 } = {}) {
  tests.push({ name, body, seconds });
}

export async function run() {
  let failed = 0;
  for (const { name, body, seconds } of tests) {
    try {
      await within(seconds, body());
      console.log(`ok      ${name}`);
    } catch (error) {
      failed += 1;
      console.log(`FAILED  ${name}\n${error?.stack ?? error}`);
    }
  }
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
