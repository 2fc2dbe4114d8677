"""The codecs of Avro blocks: compressed here, and taken apart within bounds.

Deflate, the default because every Avro reader has it, carries no checksum of its own, and some of
its bits mean nothing, so a flipped bit can go unseen. Our deflate blocks therefore end in a seal:
empty stored blocks, which every inflater skips, with the CRC-32 of what is before them in the
bits that RFC 1951 (3.2.4) leaves unused.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from typing import Any, Literal, get_args

import cramjam

from service.core.errors import BackupError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Codec = Literal["deflate", "null", "snappy", "zstandard"]
CODECS: tuple[Codec, ...] = get_args(Codec)

RAW_DEFLATE = -15
ZSTD_WINDOW_LOG = 25
"""A frame that wants more memory than 32 MiB to be read is refused."""

_EMPTY = b"\x00\x00\xff\xff"
_GROUPS = 7
SEAL = _GROUPS * (1 + len(_EMPTY))
"""Bytes of a seal: seven groups of five bits, for the 32 of the CRC."""


def compress(codec: Codec, data: bytes) -> bytes:
    """A block's rows as they are stored."""
    return _COMPRESS[codec](data)


def inflate(codec: Codec, data: bytes, limit: int) -> bytes:
    """A block's rows out of what is stored; BackupError if damaged, or above `limit` bytes."""
    try:
        rows: bytes = _INFLATE[codec](data, limit)
    except BackupError:
        raise
    except Exception as error:  # each library has errors of its own for damaged input
        raise BackupError(f"{codec} cannot read it: {error}") from None
    if len(rows) > limit:
        raise _too_large(limit)
    return rows


def is_sealed(data: bytes) -> bool:
    """Whether a deflate block is just as it was written."""
    return data[-SEAL:] == _seal(zlib.crc32(data[:-SEAL]))


def _seal(crc: int) -> bytes:
    groups = (
        bytes([(crc >> 5 * at & 0x1F) << 3 | (at == _GROUPS - 1)]) + _EMPTY for at in range(_GROUPS)
    )
    return b"".join(groups)


def _deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=RAW_DEFLATE)
    body = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return body + _seal(zlib.crc32(body))


def _inflate(data: bytes, limit: int) -> bytes:
    decompressor = zlib.decompressobj(RAW_DEFLATE)
    rows = decompressor.decompress(data, limit + 1)
    if len(rows) > limit:
        raise _too_large(limit)
    if not decompressor.eof or decompressor.unused_data:
        raise BackupError("its deflate stream is cut short, or goes on after its end")
    return rows


def _to_snappy(data: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(data)) + zlib.crc32(data).to_bytes(4, "big")


def _from_snappy(data: bytes, limit: int) -> bytes:
    body, crc = data[:-4], data[-4:]
    if cramjam.snappy.decompress_raw_len(body) > limit:
        raise _too_large(limit)
    rows = bytes(cramjam.snappy.decompress_raw(body))
    if zlib.crc32(rows).to_bytes(4, "big") != crc:
        raise BackupError("its snappy checksum is wrong")
    return rows


def _to_zstd(data: bytes) -> bytes:
    return zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1})


def _from_zstd(data: bytes, limit: int) -> bytes:
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: ZSTD_WINDOW_LOG}
    decompressor = zstd.ZstdDecompressor(options=options)
    rows = decompressor.decompress(data, max_length=limit + 1)
    if len(rows) <= limit and (not decompressor.eof or decompressor.unused_data):
        raise BackupError("its zstandard frame is cut short, or goes on after its end")
    return rows


def _too_large(limit: int) -> BackupError:
    return BackupError(f"it inflates to more than {limit >> 20} MiB, which is the limit")


_COMPRESS: dict[Codec, Callable[[bytes], bytes]] = {
    "deflate": _deflate,
    "null": bytes,
    "snappy": _to_snappy,
    "zstandard": _to_zstd,
}
_INFLATE: dict[Codec, Callable[[bytes, int], Any]] = {
    "deflate": _inflate,
    "null": lambda data, _limit: data,
    "snappy": _from_snappy,
    "zstandard": _from_zstd,
}
