// How things are measured: by turns, within a time limit, and each client alone where that is fairer.

export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

/**
 * Measures all sides by turns, so that none always comes first, up to `rounds` times. On a slow network it ends after
 * `seconds`, with at least one measurement of each. Tells `onRound` after each round what there is.
 */
export async function byTurns(sides, measure, { rounds, seconds, onRound }) {
  const values = new Map(sides.map((side) => [side, []]));
  const started = performance.now();
  for (let round = 0; round < rounds; round += 1) {
    for (const side of round % 2 ? sides.toReversed() : sides) values.get(side).push(await measure(side, round));
    onRound(round + 1, values);
    if (performance.now() - started > seconds * 1000) return;
  }
}

// Where a page may only load scripts that a policy has let through: this page has no other than its own.
const policy = globalThis.trustedTypes?.createPolicy("hubwire-demo", { createScriptURL: (url) => url });

/** Has a client alone in a worker do something. Resolves with its answer, and with how long it was until it was connected. */
export async function alone(name, work) {
  const url = new URL(`alone-${name}.js`, location.href).href;
  const started = performance.now();
  const worker = new Worker(policy ? policy.createScriptURL(url) : url, { type: "module" });
  let connected;
  try {
    return await new Promise((resolve, reject) => {
      worker.addEventListener("error", ({ message }) => reject(new Error(message ?? "The worker could not be started.")));
      worker.addEventListener("message", ({ data }) => {
        if (data.connected) connected = performance.now() - started;
        else if (data.error) reject(new Error(data.error));
        else resolve({ ...data, connected });
      });
      worker.postMessage(work);
    });
  } finally {
    worker.terminate();
  }
}
