"""Avro's binary encoding, as far as files need it: longs, and bytes with their length."""

from __future__ import annotations


def write_long(value: int) -> bytes:
    """Encode a long as Avro does: zigzag, seven bits a byte."""
    value = value << 1 ^ value >> 63
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def write_bytes(data: bytes) -> bytes:
    """Bytes after their length."""
    return write_long(len(data)) + data


class Bytes:
    """Reads bytes from the front; EOFError at their end."""

    def __init__(self, data: bytes):
        self._data, self.at = data, 0

    def read(self, count: int) -> bytes:
        """The next bytes."""
        data = self._data[self.at : self.at + count] if count >= 0 else b""
        if len(data) != count:
            raise EOFError
        self.at += count
        return data

    def long(self) -> int:
        """The next long."""
        value = 0
        for shift in range(0, 70, 7):
            byte = self.read(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value >> 1 ^ -(value & 1)
        raise EOFError

    def consumed(self) -> bytes:
        """The bytes that were read."""
        return self._data[: self.at]
