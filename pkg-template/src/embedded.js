// The WebAssembly module as a text, compressed, and back.
import { embedded } from "./generated/embedded.js";

function decode(base64) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  // Uint8Array.from takes ten times as long.
  for (let n = 0; n < bytes.length; n += 1) bytes[n] = text.charCodeAt(n);
  return bytes;
}

/** The module's bytes. They were compressed before they became text: a server's compression cannot make up for that. */
export async function unpack() {
  const bytes = decode(embedded);
  // First, as the pages that test runners imitate in Node.js have no streams, or some of their own.
  const zlib = globalThis.process?.getBuiltinModule?.("node:zlib");
  if (zlib) return zlib.inflateSync(bytes);
  const { readable, writable } = new DecompressionStream("deflate");
  const writer = writable.getWriter();
  // What is wrong with them is said where they are read.
  for (const written of [writer.write(bytes), writer.close()]) written.catch(() => {});
  return new Response(readable).arrayBuffer();
}
