// Reads MessagePack into the values that `@msgpack/msgpack` gives, which the official package uses.
// Source: https://github.com/msgpack/msgpack/blob/master/spec.md
import { ExtData } from "./encoder.js";

/** Texts of more bytes are left to the platform's `TextDecoder`, where there is one. */
const SHORT = 200;

let platform;

/** Keys that came before: the same few come again and again. */
const KEYS = [];

/** A function that reads the one value that stands in a range of bytes, and nothing else. */
export function createDecoder(options) {
  let bytes;
  let view;
  let at;
  let end;

  function value() {
    const code = uint8();
    if (code < 0x80) return code;
    if (code < 0x90) return map(code & 15);
    if (code < 0xa0) return array(code & 15);
    if (code < 0xc0) return string(code & 31);
    if (code >= 0xe0) return code - 0x100;
    switch (code) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return binary(uint(code - 0xc4));
      case 0xc7:
      case 0xc8:
      case 0xc9:
        return extension(uint(code - 0xc7));
      case 0xca:
        return view.getFloat32(skip(4));
      case 0xcb:
        return view.getFloat64(skip(8));
      case 0xcc:
      case 0xcd:
      case 0xce:
        return uint(code - 0xcc);
      case 0xcf:
        return long("Uint");
      case 0xd0:
        return view.getInt8(skip(1));
      case 0xd1:
        return view.getInt16(skip(2));
      case 0xd2:
        return view.getInt32(skip(4));
      case 0xd3:
        return long("Int");
      case 0xd4:
      case 0xd5:
      case 0xd6:
      case 0xd7:
      case 0xd8:
        return extension(1 << (code - 0xd4));
      case 0xd9:
      case 0xda:
      case 0xdb:
        return string(uint(code - 0xd9));
      case 0xdc:
      case 0xdd:
        return array(uint(code - 0xdb));
      case 0xde:
      case 0xdf:
        return map(uint(code - 0xdd));
      default:
        throw new Error(`Unrecognized type byte: 0x${code.toString(16)}`);
    }
  }

  /** Where it was, before so many bytes. */
  function skip(length) {
    const start = at;
    at += length;
    if (at > end) throw new RangeError("Insufficient data");
    return start;
  }

  function uint8() {
    return bytes[skip(1)];
  }

  /** An integer of 1, 2 or 4 bytes. */
  function uint(exponent) {
    if (exponent === 0) return uint8();
    return exponent === 1 ? view.getUint16(skip(2)) : view.getUint32(skip(4));
  }

  function long(type) {
    const start = skip(8);
    if (options.useBigInt64) return view[`getBig${type}64`](start);
    return view[`get${type}32`](start) * 2 ** 32 + view.getUint32(start + 4);
  }

  function exceeded(length, what, option) {
    throw new Error(`Max length exceeded: ${what} length (${length}) > ${option} (${options[option]})`);
  }

  function binary(length) {
    if (length > options.maxBinLength) exceeded(length, "bin", "maxBinLength");
    const start = skip(length);
    return bytes.subarray(start, at);
  }

  function string(length) {
    if (length > options.maxStrLength) exceeded(length, "UTF-8 byte", "maxStrLength");
    let n = skip(length);
    if (length > SHORT) {
      // A mark of the byte order is part of the text.
      platform ||= typeof TextDecoder === "function" && new TextDecoder("utf-8", { ignoreBOM: true });
      if (platform) return platform.decode(bytes.subarray(n, at));
    }
    let text = "";
    while (n < at) {
      let code = bytes[n++];
      if (code >= 0xc0 && code < 0xf8) {
        // The bits of the first byte, and 6 of each that follows.
        const more = code < 0xe0 ? 1 : code < 0xf0 ? 2 : 3;
        code &= 0x3f >> more;
        for (const last = n + more; n < last; n += 1) code = (code << 6) | (bytes[n] & 0x3f);
        if (code > 0xffff) {
          // A pair of surrogates.
          code -= 0x10000;
          text += String.fromCharCode(0xd800 | ((code >> 10) & 0x3ff));
          code = 0xdc00 | (code & 0x3ff);
        }
      }
      text += String.fromCharCode(code);
    }
    return text;
  }

  /** Each takes a byte at least: no more room is made than there can be values. */
  function fits(count) {
    if (count > end - at) throw new RangeError("Insufficient data");
  }

  function array(count) {
    if (count > options.maxArrayLength) exceeded(count, "array", "maxArrayLength");
    fits(count);
    const values = new Array(count);
    for (let n = 0; n < count; n += 1) values[n] = value();
    return values;
  }

  function map(count) {
    if (count > options.maxMapLength) exceeded(count, "map", "maxMapLength");
    fits(count);
    const values = {};
    for (; count > 0; count -= 1) {
      const name = key();
      if (typeof name !== "string" && typeof name !== "number") {
        throw new Error(`The type of key must be string or number but ${typeof name}`);
      }
      if (name === "__proto__") throw new Error("The key __proto__ is not allowed");
      values[name] = value();
    }
    return values;
  }

  function key() {
    const code = bytes[at];
    if (!(code > 0xa0 && code < 0xc0)) return value();
    const length = code & 31;
    const start = at + 1;
    const slot = (length * 31 + bytes[start] * 7 + bytes[start + length - 1]) & 255;
    const known = KEYS[slot];
    if (known?.bytes.length === length) {
      let n = 0;
      while (n < length && known.bytes[n] === bytes[start + n]) n += 1;
      if (n === length) {
        if (length > options.maxStrLength) exceeded(length, "UTF-8 byte", "maxStrLength");
        skip(length + 1);
        return known.text;
      }
    }
    const text = value();
    KEYS[slot] = { bytes: bytes.slice(start, at), text };
    return text;
  }

  function extension(length) {
    if (length > options.maxExtLength) exceeded(length, "ext", "maxExtLength");
    const type = view.getInt8(skip(1));
    const data = binary(length);
    if (options.extensionCodec) return options.extensionCodec.decode(data, type, options.context);
    return type === -1 ? date(data) : new ExtData(type, data);
  }

  return (source, from, to) => {
    if (bytes !== source) {
      bytes = source;
      view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    }
    at = from;
    end = to;
    const result = value();
    if (at !== to) throw new RangeError(`Extra ${to - at} of ${to - from} byte(s) found at buffer[${at - from}]`);
    return result;
  };
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
