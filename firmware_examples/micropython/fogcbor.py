"""CBOR (RFC 8949), what the fog's messages need of it. MicroPython 1.20 or newer; also runs on CPython."""

import struct

DEPTH = 20  # of arrays, maps and tags in what is read: the stack of a small board ends


def dumps(value):
    """Bytes of None, bool, int of 64 bits, float, str, bytes, list, tuple or dict. TypeError for anything else."""
    out = bytearray()
    _write(out, value)
    return bytes(out)


def loads(data):
    """What the bytes hold. A tag is its content, a typed array (RFC 8746) a list. ValueError if it cannot be read."""
    reader = _Reader(data)
    value = reader.item(DEPTH)
    if reader.at != len(data):
        raise ValueError("more than one item")
    return value


def _head(out, major, number):
    if number < 24:
        out.append(major << 5 | number)
        return
    for info in range(24, 28):
        if number < 1 << (8 << info - 24):
            out.append(major << 5 | info)
            out.extend(struct.pack(">" + "BHIQ"[info - 24], number))
            return
    raise TypeError("an integer of more than 64 bits")


def _write(out, value):
    if value is None:
        out.append(0xF6)
    elif isinstance(value, bool):
        out.append(0xF5 if value else 0xF4)
    elif isinstance(value, int):
        _head(out, value < 0, value if value >= 0 else -1 - value)
    elif isinstance(value, float):
        out.append(0xFB)
        out.extend(struct.pack(">d", value))
    elif isinstance(value, (str, bytes, bytearray)):
        data = value.encode() if isinstance(value, str) else value
        _head(out, 3 if isinstance(value, str) else 2, len(data))
        out.extend(data)
    elif isinstance(value, (list, tuple)):
        _head(out, 4, len(value))
        for each in value:
            _write(out, each)
    elif isinstance(value, dict):
        _head(out, 5, len(value))
        for key in value:
            _write(out, key)
            _write(out, value[key])
    else:
        raise TypeError("cannot send a " + type(value).__name__)


class _Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, size):
        start, self.at = self.at, self.at + size
        if self.at > len(self.data):
            raise ValueError("cut short")
        return self.data[start : self.at]

    def head(self):
        """The major type, the short argument, and the argument: None where the length is not said."""
        first = self.take(1)[0]
        major, info = first >> 5, first & 31
        if info < 24:
            return major, info, info
        if info < 28:
            return major, info, struct.unpack(">" + "BHIQ"[info - 24], self.take(1 << info - 24))[0]
        if info == 31 and major in (2, 3, 4, 5, 7):
            return major, info, None
        raise ValueError("not CBOR")

    def item(self, depth):
        start = self.at
        major, info, number = self.head()
        if major == 0:
            return number
        if major == 1:
            return -1 - number
        if major < 4:
            data = self.take(number) if number is not None else self.chunks(major)
            return bytes(data) if major == 2 else str(data, "utf-8")
        if major == 7:
            return self.simple(start, info, number)
        if not depth:
            raise ValueError("nested too deep")
        if major == 4:
            return [self.item(depth - 1) for _ in self.entries(number)]
        if major == 5:
            found = {}
            for _ in self.entries(number):
                key = self.item(depth - 1)
                found[str(key) if isinstance(key, (list, dict)) else key] = self.item(depth - 1)
            return found
        return _typed(number, self.item(depth - 1))

    def entries(self, number):
        """Once for each entry; until a break where their number is not said."""
        while number != 0:
            if number is not None:
                number -= 1
            elif self.data[self.at : self.at + 1] == b"\xff":
                self.at += 1
                return
            yield

    def chunks(self, major):
        data = b""
        for _ in self.entries(None):
            kind, _info, size = self.head()
            if kind != major or size is None:
                raise ValueError("not CBOR")
            data += self.take(size)
        return data

    def simple(self, start, info, number):
        if info in (20, 21):
            return info == 21
        if info == 25:
            fraction, power = number & 0x3FF, number >> 10 & 31
            size = (1024 * (power > 0) + fraction) * 2.0 ** (max(power, 1) - 25)
            size = float("nan" if fraction else "inf") if power == 31 else size
            return -size if number >> 15 else size
        if info in (26, 27):
            return struct.unpack(">f" if info == 26 else ">d", self.data[start + 1 : self.at])[0]
        if number is None:
            raise ValueError("a break where there is nothing to end")
        return None  # null, undefined, and what nobody has defined yet


def _typed(tag, content):
    """Tags 64 to 87 around bytes say float, signed, little-endian and length in their last bits."""
    letter = {16: " fd ", 8: "bhiq", 0: "BHIQ"}.get(tag & 24, "    ")[tag & 3] if 64 <= tag < 88 else " "
    if letter == " " or not isinstance(content, bytes):
        return content
    count = len(content) // struct.calcsize(">" + letter)
    return list(struct.unpack(f"{'<' if tag & 4 else '>'}{count}{letter}", content))
