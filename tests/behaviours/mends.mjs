// Where this package does otherwise than the official client, on purpose: what is then observed, and why. Everything
// else has to be the same, and what stands here has to differ.
export const mends = {};
