// Writes MessagePack as `@msgpack/msgpack` does, which the official package uses.
// Source: https://github.com/msgpack/msgpack/blob/master/spec.md
import { textEncoder } from "./text.js";

// Made with the first text that needs it.
let text;

/** An extension value that nothing is known of. */
export class ExtData {
  constructor(type, data) {
    this.type = type;
    this.data = data;
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

export class Encoder {
  #options;
  #bytes;
  #view;
  #at = 0;

  constructor(options) {
    this.#options = options;
    this.#resize(options.initialBufferSize ?? 2048);
  }

  /** Starts over, after leaving room for so many bytes. */
  begin(room) {
    this.#at = room;
  }

  /** What was written, without the room that is left before it. Valid until the next beginning. */
  written(room) {
    return this.#bytes.subarray(room, this.#at);
  }

  get length() {
    return this.#at;
  }

  /** Bytes as they are, at some place. */
  put(at, bytes) {
    this.#bytes.set(bytes, at);
  }

  array(length) {
    this.#header(length, 0x90, 15, 0, 0xdc);
  }

  value(value, depth) {
    if (depth > (this.#options.maxDepth ?? 100)) throw new Error(`Too deep objects in depth ${depth}`);
    switch (typeof value) {
      case "string":
        return this.string(value);
      case "number":
        return this.#number(value);
      case "boolean":
        return this.#byte(value ? 0xc3 : 0xc2);
      case "undefined":
        return this.#byte(0xc0);
      case "bigint":
        return this.#bigint(value);
      case "object":
        return value === null ? this.#byte(0xc0) : this.#object(value, depth);
      default:
        throw new Error(`Unrecognized object: ${Object.prototype.toString.call(value)}`);
    }
  }

  string(value) {
    const { length } = value;
    // A unit of UTF-16 takes three bytes at most.
    this.#reserve(length * 3 + 5);
    const bytes = this.#bytes;
    const start = this.#at + (length < 32 ? 1 : length < 256 ? 2 : length < 65_536 ? 3 : 5);
    let at = start;
    let n = 0;
    // Most texts are short. Those with surrogates are not for here.
    for (; n < length && n < 64; n += 1) {
      const code = value.charCodeAt(n);
      if (code >= 0xd800 && code < 0xe000) break;
      if (code < 0x80) {
        bytes[at] = code;
        at += 1;
      } else if (code < 0x800) {
        bytes[at] = 0xc0 | (code >> 6);
        bytes[at + 1] = 0x80 | (code & 0x3f);
        at += 2;
      } else {
        bytes[at] = 0xe0 | (code >> 12);
        bytes[at + 1] = 0x80 | ((code >> 6) & 0x3f);
        bytes[at + 2] = 0x80 | (code & 0x3f);
        at += 3;
      }
    }
    if (n < length) at += (text ??= textEncoder()).encodeInto(value.slice(n), bytes.subarray(at)).written;
    const size = at - start;
    // The width of the length was a guess from the units.
    const width = size < 32 ? 1 : size < 256 ? 2 : size < 65_536 ? 3 : 5;
    if (this.#at + width !== start) bytes.copyWithin(this.#at + width, start, at);
    this.#header(size, 0xa0, 31, 0xd9, 0xda);
    this.#at += size;
  }

  #number(value) {
    const { forceIntegerToFloat, forceFloat32 } = this.#options;
    this.#reserve(9);
    const view = this.#view;
    let at = this.#at;
    if (!Number.isSafeInteger(value) || forceIntegerToFloat) {
      view.setUint8(at, forceFloat32 ? 0xca : 0xcb);
      if (forceFloat32) view.setFloat32(at + 1, value);
      else view.setFloat64(at + 1, value);
      at += forceFloat32 ? 5 : 9;
    } else if (value >= -0x20 && value < 0x80) {
      view.setInt8(at, value);
      at += 1;
    } else if (value >= -0x80 && value < 0x100) {
      view.setUint8(at, value < 0 ? 0xd0 : 0xcc);
      view.setInt8(at + 1, value);
      at += 2;
    } else if (value >= -0x8000 && value < 0x10000) {
      view.setUint8(at, value < 0 ? 0xd1 : 0xcd);
      view.setInt16(at + 1, value);
      at += 3;
    } else if (value >= -0x80000000 && value < 0x100000000) {
      view.setUint8(at, value < 0 ? 0xd2 : 0xce);
      view.setInt32(at + 1, value);
      at += 5;
    } else {
      view.setUint8(at, value < 0 ? 0xd3 : 0xcf);
      view.setInt32(at + 1, Math.floor(value / 2 ** 32));
      view.setUint32(at + 5, value);
      at += 9;
    }
    this.#at = at;
  }

  #bigint(value) {
    if (BigInt.asIntN(64, value) !== value && BigInt.asUintN(64, value) !== value) {
      throw new Error("A BigInt of more than 64 bits cannot be written.");
    }
    this.#reserve(9);
    this.#view.setUint8(this.#at, value < 0n ? 0xd3 : 0xcf);
    this.#view.setBigInt64(this.#at + 1, value);
    this.#at += 9;
  }

  #object(value, depth) {
    const { extensionCodec, context } = this.#options;
    const extension = extensionCodec?.tryToEncode(value, context) ?? known(value);
    if (extension) return this.#extension(extension);
    if (Array.isArray(value)) {
      this.array(value.length);
      for (const item of value) this.value(item, depth + 1);
      return undefined;
    }
    if (ArrayBuffer.isView(value)) {
      return this.#binary(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
    }
    if (value instanceof ArrayBuffer) return this.#binary(new Uint8Array(value));
    return this.#map(value, depth);
  }

  #map(value, depth) {
    const { sortKeys, ignoreUndefined } = this.#options;
    const isMap = value instanceof Map;
    let keys = isMap ? [...value.keys()] : Object.keys(value);
    const of = (key) => (isMap ? value.get(key) : value[key]);
    if (ignoreUndefined) keys = keys.filter((key) => of(key) !== undefined);
    if (sortKeys) keys.sort();
    this.#header(keys.length, 0x80, 15, 0, 0xde);
    for (const key of keys) {
      this.value(key, depth + 1);
      this.value(of(key), depth + 1);
    }
  }

  #binary(bytes) {
    this.#header(bytes.length, 0, -1, 0xc4, 0xc5);
    this.#append(bytes);
  }

  #extension({ type, data }) {
    const { length } = data;
    // 1, 2, 4, 8 and 16 bytes have codes of their own.
    const fixed = length <= 16 ? [1, 2, 4, 8, 16].indexOf(length) : -1;
    if (fixed >= 0) this.#byte(0xd4 + fixed);
    else this.#header(length, 0, -1, 0xc7, 0xc8);
    this.#byte(type);
    this.#append(data);
  }

  /** The length of what follows: in the first byte up to some, then in 1 byte if there is a code for it, in 2 or in 4. */
  #header(length, short, most, code8, code16) {
    this.#reserve(5);
    const view = this.#view;
    const at = this.#at;
    if (length <= most) {
      view.setUint8(at, short | length);
      this.#at += 1;
    } else if (code8 && length < 0x100) {
      view.setUint8(at, code8);
      view.setUint8(at + 1, length);
      this.#at += 2;
    } else if (length < 0x10000) {
      view.setUint8(at, code16);
      view.setUint16(at + 1, length);
      this.#at += 3;
    } else {
      view.setUint8(at, code16 + 1);
      view.setUint32(at + 1, length);
      this.#at += 5;
    }
  }

  #byte(byte) {
    this.#reserve(1);
    this.#bytes[this.#at] = byte;
    this.#at += 1;
  }

  #append(bytes) {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  #reserve(more) {
    if (this.#at + more > this.#bytes.length) this.#resize((this.#at + more) * 2);
  }

  #resize(size) {
    const before = this.#bytes;
    this.#bytes = new Uint8Array(size);
    if (before) this.#bytes.set(before);
    this.#view = new DataView(this.#bytes.buffer);
  }
}

function known(value) {
  if (value instanceof Date) return { type: -1, data: timestamp(value) };
  return value instanceof ExtData ? value : undefined;
}
