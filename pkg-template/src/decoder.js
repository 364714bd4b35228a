// Reads MessagePack into the values that `@msgpack/msgpack` gives, which the official package uses.
// Source: https://github.com/msgpack/msgpack/blob/master/spec.md
import { ExtData } from "./encoder.js";
import { textDecoder } from "./text.js";

// Made with the first text that needs it.
let text;

/** Keys that came before: the same few come again and again. */
const KEYS = new Array(256);

export class Decoder {
  #bytes;
  #view;
  #at = 0;
  #end = 0;
  #options;

  constructor(bytes, options) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#options = options;
  }

  /** Reads the one value that stands there, and nothing else. */
  decode(start, end) {
    this.#at = start;
    this.#end = end;
    const value = this.#value();
    if (this.#at !== end) throw new RangeError("Extra bytes after a value.");
    return value;
  }

  #value() {
    const code = this.#uint8();
    if (code < 0x80) return code;
    if (code < 0x90) return this.#map(code & 15);
    if (code < 0xa0) return this.#array(code & 15);
    if (code < 0xc0) return this.#string(code & 31);
    if (code >= 0xe0) return code - 0x100;
    switch (code) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
        return this.#take(this.#uint8());
      case 0xc5:
        return this.#take(this.#uint16());
      case 0xc6:
        return this.#take(this.#uint32());
      case 0xc7:
        return this.#extension(this.#uint8());
      case 0xc8:
        return this.#extension(this.#uint16());
      case 0xc9:
        return this.#extension(this.#uint32());
      case 0xca:
        return this.#view.getFloat32(this.#skip(4));
      case 0xcb:
        return this.#view.getFloat64(this.#skip(8));
      case 0xcc:
        return this.#uint8();
      case 0xcd:
        return this.#uint16();
      case 0xce:
        return this.#uint32();
      case 0xcf:
        return this.#long(false);
      case 0xd0:
        return this.#view.getInt8(this.#skip(1));
      case 0xd1:
        return this.#view.getInt16(this.#skip(2));
      case 0xd2:
        return this.#view.getInt32(this.#skip(4));
      case 0xd3:
        return this.#long(true);
      case 0xd4:
      case 0xd5:
      case 0xd6:
      case 0xd7:
      case 0xd8:
        return this.#extension(1 << (code - 0xd4));
      case 0xd9:
        return this.#string(this.#uint8());
      case 0xda:
        return this.#string(this.#uint16());
      case 0xdb:
        return this.#string(this.#uint32());
      case 0xdc:
        return this.#array(this.#uint16());
      case 0xdd:
        return this.#array(this.#uint32());
      case 0xde:
        return this.#map(this.#uint16());
      case 0xdf:
        return this.#map(this.#uint32());
      default:
        throw new Error(`Unrecognized type byte: 0x${code.toString(16)}`);
    }
  }

  /** Where it was, before so many bytes. */
  #skip(length) {
    const at = this.#at;
    this.#at = at + length;
    if (this.#at > this.#end) throw new RangeError("Insufficient data");
    return at;
  }

  #uint8() {
    return this.#view.getUint8(this.#skip(1));
  }

  #uint16() {
    return this.#view.getUint16(this.#skip(2));
  }

  #uint32() {
    return this.#view.getUint32(this.#skip(4));
  }

  #long(isSigned) {
    const at = this.#skip(8);
    const view = this.#view;
    if (this.#options.useBigInt64) return isSigned ? view.getBigInt64(at) : view.getBigUint64(at);
    return (isSigned ? view.getInt32(at) : view.getUint32(at)) * 2 ** 32 + view.getUint32(at + 4);
  }

  #take(length) {
    const at = this.#skip(length);
    return this.#bytes.subarray(at, at + length);
  }

  #string(length) {
    const at = this.#skip(length);
    const bytes = this.#bytes;
    if (length < 32) {
      // Most texts are short, and ASCII.
      let value = "";
      let n = at;
      for (; n < at + length; n += 1) {
        const byte = bytes[n];
        if (byte > 0x7f) break;
        value += String.fromCharCode(byte);
      }
      if (n === at + length) return value;
    }
    return (text ??= textDecoder()).decode(bytes.subarray(at, at + length));
  }

  /** Each takes a byte at least: no more room is made than there can be values. */
  #check(count) {
    if (count > this.#end - this.#at) throw new RangeError("Insufficient data");
    return count;
  }

  #array(count) {
    const values = new Array(this.#check(count));
    for (let n = 0; n < count; n += 1) values[n] = this.#value();
    return values;
  }

  #map(count) {
    const values = {};
    for (let n = this.#check(count); n > 0; n -= 1) {
      const key = this.#key();
      if (typeof key !== "string" && typeof key !== "number") {
        throw new Error(`The type of key must be string or number but ${typeof key}`);
      }
      if (key === "__proto__") throw new Error("The key __proto__ is not allowed");
      values[key] = this.#value();
    }
    return values;
  }

  #key() {
    const code = this.#bytes[this.#at];
    if (!(code > 0xa0 && code < 0xc0)) return this.#value();
    const length = code & 31;
    const start = this.#skip(length + 1) + 1;
    const bytes = this.#bytes;
    const slot = (length * 31 + bytes[start] * 7 + bytes[start + length - 1]) & 255;
    const known = KEYS[slot];
    if (known?.bytes.length === length) {
      let n = 0;
      while (n < length && known.bytes[n] === bytes[start + n]) n += 1;
      if (n === length) return known.key;
    }
    this.#at = start;
    const key = this.#string(length);
    KEYS[slot] = { bytes: bytes.slice(start, start + length), key };
    return key;
  }

  #extension(length) {
    const type = this.#view.getInt8(this.#skip(1));
    const data = this.#take(length);
    const { extensionCodec, context } = this.#options;
    if (extensionCodec) return extensionCodec.decode(data, type, context);
    return type === -1 ? date(data) : new ExtData(type, data);
  }
}

/** A timestamp of 4, 8 or 12 bytes. */
function date(data) {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  let seconds;
  let nanoseconds = 0;
  if (data.length === 4) {
    seconds = view.getUint32(0);
  } else if (data.length === 8) {
    const high = view.getUint32(0);
    nanoseconds = high >>> 2;
    seconds = (high & 3) * 2 ** 32 + view.getUint32(4);
  } else if (data.length === 12) {
    nanoseconds = view.getUint32(0);
    seconds = view.getInt32(4) * 2 ** 32 + view.getUint32(8);
  } else {
    throw new Error(`Unrecognized data size for timestamp (expected 4, 8, or 12): ${data.length}`);
  }
  return new Date(seconds * 1000 + nanoseconds / 1_000_000);
}
