// The package with its WebAssembly module inlined: works in every bundler without a plugin.
import { embedded } from "./generated/embedded.js";
import { embed } from "./module.js";

function decode(base64) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  // Uint8Array.from takes ten times as long.
  for (let n = 0; n < bytes.length; n += 1) bytes[n] = text.charCodeAt(n);
  return bytes;
}

// Compressed before it became text: a server's compression cannot make up for the latter.
embed(() => {
  const { readable, writable } = new DecompressionStream("deflate");
  const writer = writable.getWriter();
  // The reader gets the failures.
  Promise.all([writer.write(decode(embedded)), writer.close()]).catch(() => {});
  return new Response(readable);
});

export * from "./api.js";
export { initialize } from "./module.js";
