// Writes MessagePack as `@msgpack/msgpack` does, which the official package uses.
// Source: https://github.com/msgpack/msgpack/blob/master/spec.md
import { bytesOf, kindOf } from "./bytes.js";

/** Texts of more units are left to the platform's `TextEncoder`, where there is one. */
const SHORT = 200;

/** The widest length that a message begins with. */
const ROOM = 5;

let platform;

/** An extension value that nothing is known of. */
export class ExtData {
  constructor(type, data) {
    this.type = type;
    this.data = data;
  }

  get [Symbol.toStringTag]() {
    return "ExtData";
  }
}

/** Seconds and nanoseconds in 4, 8 or 12 bytes, whichever they need. */
function timestamp(date) {
  const milliseconds = date.getTime();
  const seconds = Math.floor(milliseconds / 1000);
  const nanoseconds = (milliseconds - seconds * 1000) * 1_000_000;
  const view = new DataView(new ArrayBuffer(12));
  if (!(seconds >= 0 && seconds < 2 ** 34)) {
    view.setUint32(0, nanoseconds);
    view.setBigInt64(4, BigInt(seconds));
    return new Uint8Array(view.buffer);
  }
  if (nanoseconds === 0 && seconds < 2 ** 32) {
    view.setUint32(0, seconds);
    return new Uint8Array(view.buffer, 0, 4);
  }
  view.setUint32(0, nanoseconds * 4 + Math.floor(seconds / 2 ** 32));
  view.setUint32(4, seconds % 2 ** 32);
  return new Uint8Array(view.buffer, 0, 8);
}

/**
 * A function that writes a message: its length, and then the array of its elements. Numbers among the first, the envelope,
 * stay integers whatever the options say of values: servers refuse others.
 */
export function createEncoder(options) {
  const { extensionCodec, context, maxDepth = 100, sortKeys, forceFloat32, ignoreUndefined, forceIntegerToFloat } = options;
  let bytes;
  let view;
  let at = 0;
  resize(options.initialBufferSize ?? 2048);

  function resize(size) {
    const before = bytes;
    bytes = new Uint8Array(size);
    if (before) bytes.set(before);
    view = new DataView(bytes.buffer);
  }

  function reserve(more) {
    if (at + more > bytes.length) resize((at + more) * 2);
  }

  function byte(value) {
    reserve(1);
    bytes[at++] = value;
  }

  function append(more) {
    reserve(more.length);
    bytes.set(more, at);
    at += more.length;
  }

  /** The length of what follows: in the first byte up to some, then in 1 byte if there is a code for it, in 2 or in 4. */
  function header(length, short, most, code8, code16) {
    reserve(5);
    if (length <= most) {
      bytes[at++] = short | length;
    } else if (code8 && length < 0x100) {
      bytes[at++] = code8;
      bytes[at++] = length;
    } else if (length < 0x10000) {
      bytes[at] = code16;
      view.setUint16(at + 1, length);
      at += 3;
    } else {
      bytes[at] = code16 + 1;
      view.setUint32(at + 1, length);
      at += 5;
    }
  }

  function array(values, depth) {
    header(values.length, 0x90, 15, 0, 0xdc);
    for (const item of values) write(item, depth);
  }

  function write(value, depth) {
    if (depth > maxDepth) throw new Error(`Too deep objects in depth ${depth}`);
    if (value == null) return byte(0xc0);
    switch (typeof value) {
      case "string":
        return string(value);
      case "number":
        return forceIntegerToFloat ? float(value) : number(value);
      case "boolean":
        return byte(value ? 0xc3 : 0xc2);
      default:
        return object(value, depth);
    }
  }

  function string(value) {
    const { length } = value;
    if (length > SHORT) {
      platform ||= typeof TextEncoder === "function" && new TextEncoder();
      if (platform) {
        const encoded = platform.encode(value);
        header(encoded.length, 0xa0, 31, 0xd9, 0xda);
        return append(encoded);
      }
    }
    // A unit of UTF-16 takes three bytes at most.
    reserve(length * 3 + 5);
    // The width of the length is a guess from the units.
    const start = at + (length < 32 ? 1 : length < 256 ? 2 : length < 65_536 ? 3 : 5);
    let end = start;
    for (let n = 0; n < length; n += 1) {
      let code = value.charCodeAt(n);
      if (code < 0x80) {
        bytes[end++] = code;
        continue;
      }
      if (code < 0x800) {
        bytes[end++] = 0xc0 | (code >> 6);
      } else {
        if (code >= 0xd800 && code < 0xe000) {
          code = value.codePointAt(n);
          // Half a pair cannot be written.
          if (code > 0xffff) n += 1;
          else code = 0xfffd;
        }
        if (code > 0xffff) {
          bytes[end++] = 0xf0 | (code >> 18);
          bytes[end++] = 0x80 | ((code >> 12) & 0x3f);
        } else {
          bytes[end++] = 0xe0 | (code >> 12);
        }
        bytes[end++] = 0x80 | ((code >> 6) & 0x3f);
      }
      bytes[end++] = 0x80 | (code & 0x3f);
    }
    const size = end - start;
    const width = size < 32 ? 1 : size < 256 ? 2 : size < 65_536 ? 3 : 5;
    if (at + width !== start) bytes.copyWithin(at + width, start, end);
    header(size, 0xa0, 31, 0xd9, 0xda);
    at += size;
  }

  function float(value) {
    reserve(9);
    bytes[at] = forceFloat32 ? 0xca : 0xcb;
    if (forceFloat32) view.setFloat32(at + 1, value);
    else view.setFloat64(at + 1, value);
    at += forceFloat32 ? 5 : 9;
  }

  function number(value) {
    if (!Number.isSafeInteger(value)) return float(value);
    reserve(9);
    if (value >= -0x20 && value < 0x80) {
      bytes[at++] = value;
    } else if (value >= -0x80 && value < 0x100) {
      bytes[at++] = value < 0 ? 0xd0 : 0xcc;
      bytes[at++] = value;
    } else if (value >= -0x8000 && value < 0x10000) {
      bytes[at] = value < 0 ? 0xd1 : 0xcd;
      view.setInt16(at + 1, value);
      at += 3;
    } else if (value >= -0x80000000 && value < 0x100000000) {
      bytes[at] = value < 0 ? 0xd2 : 0xce;
      view.setInt32(at + 1, value);
      at += 5;
    } else {
      bytes[at] = value < 0 ? 0xd3 : 0xcf;
      view.setInt32(at + 1, Math.floor(value / 2 ** 32));
      view.setUint32(at + 5, value);
      at += 9;
    }
  }

  function bigint(value) {
    if (BigInt.asIntN(64, value) !== value && BigInt.asUintN(64, value) !== value) {
      throw new Error("A BigInt of more than 64 bits cannot be written.");
    }
    reserve(9);
    bytes[at] = value < 0 ? 0xd3 : 0xcf;
    view.setBigInt64(at + 1, value);
    at += 9;
  }

  function object(value, depth) {
    const known = extensionCodec?.tryToEncode(value, context);
    if (known) return extension(known);
    if (Array.isArray(value)) return array(value, depth + 1);
    if (typeof value === "bigint") return bigint(value);
    const kind = kindOf(value);
    if (typeof value !== "object") throw new Error(`Unrecognized object: [object ${kind}]`);
    if (kind === "Date") return extension({ type: -1, data: timestamp(value) });
    // The class of `@msgpack/msgpack` has the same name.
    if (kind === "ExtData" || value.constructor?.name === "ExtData") return extension(value);
    const binary = bytesOf(value, kind);
    if (!binary) return map(value, depth + 1, kind === "Map");
    header(binary.length, 0, -1, 0xc4, 0xc5);
    append(binary);
  }

  function map(value, depth, isMap) {
    let keys = isMap ? [...value.keys()] : Object.keys(value);
    const of = (key) => (isMap ? value.get(key) : value[key]);
    if (ignoreUndefined) keys = keys.filter((key) => of(key) !== undefined);
    if (sortKeys) keys.sort();
    header(keys.length, 0x80, 15, 0, 0xde);
    for (const key of keys) {
      if (typeof key === "string") string(key);
      else write(key, depth);
      write(of(key), depth);
    }
  }

  function extension({ type, data }) {
    const { length } = data;
    // 1, 2, 4, 8 and 16 bytes have codes of their own.
    const fixed = [1, 2, 4, 8, 16].indexOf(length);
    if (fixed >= 0) byte(0xd4 + fixed);
    else header(length, 0, -1, 0xc7, 0xc8);
    byte(type);
    append(data);
  }

  return (elements, envelope) => {
    at = ROOM;
    header(elements.length, 0x90, 15);
    elements.forEach((element, n) => {
      if (n < envelope && typeof element === "number") number(element);
      else write(element, 2);
    });
    // The length comes first and is known last.
    const prefix = [];
    let length = at - ROOM;
    for (; length > 0x7f; length >>>= 7) prefix.push((length & 0x7f) | 0x80);
    prefix.push(length);
    const start = ROOM - prefix.length;
    bytes.set(prefix, start);
    return bytes.slice(start, at).buffer;
  };
}
