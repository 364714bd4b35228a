// Bytes, whichever object of whichever realm they come in, and the lengths before binary messages.

/** The class of an object by its name, which is the same in every realm. */
export const kindOf = (value) => Object.prototype.toString.call(value).slice(8, -1);

/** The bytes of an `ArrayBuffer` or of a view of one; undefined for other values. */
export function bytesOf(value, kind = kindOf(value)) {
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  return kind.endsWith("ArrayBuffer") ? new Uint8Array(value) : undefined;
}

/** The length that stands there, and where it ends. Of one that is not whole there is no end. */
export function readLength(bytes, at) {
  let length = 0;
  for (let width = 0; width < 5; width += 1) {
    const byte = bytes[at];
    if (byte === undefined) return [length];
    at += 1;
    length += (byte & 0x7f) * 2 ** (7 * width);
    if (length >= 2 ** 31) break;
    if (byte < 0x80) return [length, at];
  }
  throw new Error("Messages bigger than 2GB are not supported.");
}
