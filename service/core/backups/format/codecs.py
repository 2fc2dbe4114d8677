"""The codecs of Avro blocks: compression, and decompression with a limit."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from typing import Any, Literal, get_args

import cramjam
from isal import isal_zlib

from service.core.errors import BackupError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Codec = Literal["deflate", "null", "snappy", "zstandard"]
CODECS: tuple[Codec, ...] = get_args(Codec)

RAW_DEFLATE = -15
ADLER = 4
"""Size of zlib's checksum. Some writers append it to the stream."""
ZSTD_WINDOW_LOG = 25
"""Frames that need more than 32 MiB of memory are refused."""

_SKIPPABLE = b"\x50\x2a\x4d\x18\x04\x00\x00\x00"
"""The start of a skippable frame of four bytes. Version 0.1.0 ended its frames in one."""


def compress(codec: Codec, data: bytes) -> bytes:
    """Compress the rows of a block."""
    return _COMPRESS[codec](data)


def inflate(codec: Codec, data: bytes, limit: int) -> bytes:
    """Decompress the rows of a block; BackupError if it is damaged or exceeds `limit` bytes."""
    try:
        rows: bytes = _INFLATE[codec](data, limit)
    except BackupError:
        raise
    except Exception as error:  # each library raises its own errors for damaged input
        raise BackupError(f"{codec} cannot read it: {error}") from None
    if len(rows) > limit:
        raise _too_large(limit)
    return rows


def _deflate(data: bytes) -> bytes:
    compressed: bytes = isal_zlib.compress(data, wbits=RAW_DEFLATE)
    return compressed


def _inflate(data: bytes, limit: int) -> bytes:
    decompressor = isal_zlib.decompressobj(RAW_DEFLATE)
    rows: bytes = decompressor.decompress(data, limit + 1)
    if len(rows) > limit:
        raise _too_large(limit)
    if not decompressor.eof or len(decompressor.unused_data) > ADLER:
        raise BackupError("its deflate stream is cut short, or has bytes after its end")
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


def _from_zstd(data: bytes, limit: int) -> bytes:
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: ZSTD_WINDOW_LOG}
    decompressor = zstd.ZstdDecompressor(options=options)
    rows = decompressor.decompress(data, max_length=limit + 1)
    rest = decompressor.unused_data
    if len(rows) <= limit and (not decompressor.eof or (rest and not rest.startswith(_SKIPPABLE))):
        raise BackupError("its zstandard frame is cut short, or has bytes after its end")
    return rows


def _too_large(limit: int) -> BackupError:
    return BackupError(f"it inflates to more than {limit >> 20} MiB, which is the limit")


_COMPRESS: dict[Codec, Callable[[bytes], bytes]] = {
    "deflate": _deflate,
    "null": bytes,
    "snappy": _to_snappy,
    "zstandard": zstd.compress,
}
_INFLATE: dict[Codec, Callable[[bytes, int], Any]] = {
    "deflate": _inflate,
    "null": lambda data, _limit: data,
    "snappy": _from_snappy,
    "zstandard": _from_zstd,
}
