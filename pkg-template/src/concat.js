// Joins bytes. By itself, because it alone of what handles bytes is in what an application loads first.

/** Several pieces of bytes as one. */
export function concat(parts) {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
