/**
 * CBOR (RFC 8949), as far as tasks use it: arguments out, results in.
 *
 * Byte strings are Uint8Array, maps are Map (a key of a stranger's can so not be mistaken for a property), integers
 * beyond 2^53 are BigInt, and typed arrays (RFC 8746) are NumberArray. Text in and out is UTF-8.
 */

/** Numbers of one type with a shape, row by row. `data` is a typed array; `type` its name in numpy. */
export class NumberArray {
  constructor(data, shape, type) {
    this.data = data;
    this.shape = shape;
    this.type = type;
  }
}

const DEPTH = 40;
const SAFE = BigInt(Number.MAX_SAFE_INTEGER);

/** Encode a value: null, booleans, numbers, BigInt, text, Uint8Array, arrays, Map and plain objects. */
export function encode(value) {
  const out = [];
  write(out, value);
  const bytes = new Uint8Array(out.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of out) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function write(out, value) {
  if (value === null || value === undefined) out.push([0xf6]);
  else if (typeof value === "boolean") out.push([value ? 0xf5 : 0xf4]);
  else if (typeof value === "bigint") writeInteger(out, value);
  else if (typeof value === "number") writeNumber(out, value);
  else if (typeof value === "string") {
    const text = new TextEncoder().encode(value);
    out.push(head(3, text.length), text);
  } else if (value instanceof Uint8Array) out.push(head(2, value.length), value);
  else if (Array.isArray(value)) {
    out.push(head(4, value.length));
    for (const each of value) write(out, each);
  } else {
    const entries = value instanceof Map ? [...value] : Object.entries(value);
    out.push(head(5, entries.length));
    for (const [key, each] of entries) {
      write(out, key);
      write(out, each);
    }
  }
}

function writeNumber(out, value) {
  if (Number.isSafeInteger(value) && !Object.is(value, -0)) {
    writeInteger(out, BigInt(value));
    return;
  }
  const bytes = new Uint8Array(9);
  bytes[0] = 0xfb;
  new DataView(bytes.buffer).setFloat64(1, value);
  out.push(bytes);
}

function writeInteger(out, value) {
  const bits = value < 0n ? -1n - value : value;
  if (bits < 1n << 64n) {
    out.push(head(value < 0n ? 1 : 0, bits));
    return;
  }
  const hex = bits.toString(16);
  const pairs = hex.padStart(hex.length + (hex.length % 2), "0").match(/../g);
  out.push(
    [value < 0n ? 0xc3 : 0xc2],
    head(2, pairs.length),
    Uint8Array.from(pairs, (pair) => parseInt(pair, 16)),
  );
}

function head(major, length) {
  const top = major << 5;
  const number = BigInt(length);
  if (number < 24n) return [top | Number(number)];
  const [code, size] =
    number < 1n << 8n ? [24, 1] : number < 1n << 16n ? [25, 2] : number < 1n << 32n ? [26, 4] : [27, 8];
  const bytes = new Uint8Array(9);
  new DataView(bytes.buffer).setBigUint64(1, number);
  bytes[8 - size] = top | code;
  return bytes.subarray(8 - size);
}

/** Decode one value. Throws an Error for what is not CBOR. */
export function decode(bytes) {
  const reader = new Reader(bytes);
  const value = reader.read(0);
  if (reader.at !== bytes.length) throw new Error("more than one value");
  return value;
}

const BREAK = Symbol("break");

class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = 0;
  }

  read(depth) {
    const value = this.item(depth);
    if (value === BREAK) throw new Error("a break where nothing was begun");
    return value;
  }

  item(depth) {
    if (depth > DEPTH) throw new Error("nested too deep");
    const first = this.view.getUint8(this.at);
    this.at += 1;
    const [major, short] = [first >> 5, first & 31];
    if (major === 7) return this.simple(short);
    const length = short === 31 ? null : this.argument(short);
    switch (major) {
      case 0:
        return narrow(length);
      case 1:
        return narrow(-1n - length);
      case 2:
      case 3:
        return length === null ? this.pieces(major, depth) : this.string(major, length);
      case 4:
        return [...this.items(length, depth)];
      case 5:
        return new Map(pairs(this.items(length === null ? null : length * 2n, depth)));
      default:
        return tagged(Number(length), this.read(depth + 1));
    }
  }

  argument(short) {
    if (short < 24) return BigInt(short);
    const size = { 24: 1, 25: 2, 26: 4, 27: 8 }[short];
    if (!size) throw new Error(`a length of kind ${short}`);
    let number = 0n;
    for (const byte of this.take(size)) number = (number << 8n) | BigInt(byte);
    return number;
  }

  take(length) {
    if (length > this.bytes.length - this.at) throw new Error("it ends in the middle");
    this.at += Number(length);
    return this.bytes.subarray(this.at - Number(length), this.at);
  }

  string(major, length) {
    const bytes = this.take(length);
    return major === 2 ? bytes : new TextDecoder().decode(bytes);
  }

  pieces(major, depth) {
    const parts = [...this.items(null, depth)];
    return major === 3 ? parts.join("") : Uint8Array.from(parts.flatMap((part) => [...part]));
  }

  *items(length, depth) {
    for (let number = 0n; length === null || number < length; number += 1n) {
      const value = this.item(depth + 1);
      if (value === BREAK && length === null) return;
      if (value === BREAK) throw new Error("a break where nothing was begun");
      yield value;
    }
  }

  simple(short) {
    if (short === 31) return BREAK;
    if (short === 20 || short === 21) return short === 21;
    if (short === 25) return half(this.float(2, "getUint16"));
    if (short === 26) return this.float(4, "getFloat32");
    if (short === 27) return this.float(8, "getFloat64");
    if (short === 24) this.at += 1;
    return null;
  }

  float(size, getter) {
    const value = this.view[getter](this.at);
    this.at += size;
    return value;
  }
}

function narrow(integer) {
  return integer <= SAFE && integer >= -SAFE ? Number(integer) : integer;
}

function* pairs(items) {
  let key;
  let even = true;
  for (const item of items) {
    if (even) key = item;
    else yield [key, item];
    even = !even;
  }
}

function half(bits) {
  const [sign, exponent, fraction] = [bits & 0x8000 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
}

function tagged(tag, value) {
  if ((tag === 2 || tag === 3) && value instanceof Uint8Array) {
    const bits = value.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
    return narrow(tag === 2 ? bits : -1n - bits);
  }
  if (tag >= 64 && tag <= 87 && value instanceof Uint8Array) return numbersOf(tag, value);
  if (tag === 40 && Array.isArray(value) && value[1] instanceof NumberArray) {
    const [shape, array] = value;
    const cells = Array.isArray(shape) ? shape.reduce((product, side) => product * side, 1) : -1;
    return cells === array.data.length ? new NumberArray(array.data, shape, array.type) : array;
  }
  return value;
}

/** RFC 8746, section 2.1: the tag says float, signed, little endian, and the exponent of the length. */
function numbersOf(tag, bytes) {
  const [float, signed, little] = [(tag >> 4) & 1, (tag >> 3) & 1, (tag >> 2) & 1];
  const width = 2 ** ((tag & 3) + float);
  const type = `${float ? "float" : signed ? "int" : "uint"}${width * 8}`;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const read = {
    float16: (at) => half(view.getUint16(at, little)),
    float32: (at) => view.getFloat32(at, little),
    float64: (at) => view.getFloat64(at, little),
    uint8: (at) => view.getUint8(at),
    uint16: (at) => view.getUint16(at, little),
    uint32: (at) => view.getUint32(at, little),
    uint64: (at) => Number(view.getBigUint64(at, little)),
    int8: (at) => view.getInt8(at),
    int16: (at) => view.getInt16(at, little),
    int32: (at) => view.getInt32(at, little),
    int64: (at) => Number(view.getBigInt64(at, little)),
  }[type];
  if (!read || bytes.length % width) throw new Error(`a typed array (RFC 8746, tag ${tag}) that cannot be read`);
  const data = Float64Array.from({ length: bytes.length / width }, (_, index) => read(index * width));
  return new NumberArray(data, [data.length], type);
}
