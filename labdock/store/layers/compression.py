"""What a layer blob or an archive is compressed with, told by its first bytes, and reading it plain."""

from __future__ import annotations

import zlib
from enum import StrEnum

from labdock.errors import Corrupt
from labdock.store.layers.reader import Source

_CHUNK = 1 << 18


class Compression(StrEnum):
    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"
    BZIP2 = "bzip2"
    XZ = "xz"


_MAGIC = (
    (b"\x1f\x8b", Compression.GZIP),
    (b"\x28\xb5\x2f\xfd", Compression.ZSTD),
    (b"BZh", Compression.BZIP2),
    (b"\xfd7zXZ\x00", Compression.XZ),
)


def detect(head: bytes) -> Compression:
    """By the first (six or more) bytes of a stream."""
    return next((kind for magic, kind in _MAGIC if head.startswith(magic)), Compression.NONE)


class Plain:
    """The plain bytes of *source*, whatever it is compressed with; read as from a file.

    Raises Corrupt when the compressed data is damaged or cut short. Closing is the source owner's.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._head = source.read(_CHUNK)
        self.compression = detect(self._head)
        self._stream = self._open()

    def read(self, size: int = -1, /) -> bytes:
        try:
            return self._stream.read(size)
        except (OSError, EOFError, zlib.error, ValueError) as error:
            if isinstance(error, OSError) and error.errno:
                raise
            raise Corrupt(f"the {self.compression} data does not hold: {error}") from error
        except Exception as error:
            # zstandard and isal have error classes of their own, which are not imported for a plain stream.
            if type(error).__name__ in ("ZstdError", "IsalError", "LZMAError"):
                raise Corrupt(f"the {self.compression} data does not hold: {error}") from error
            raise

    def _open(self) -> Source:
        raw = _Rejoined(self._head, self._source)
        match self.compression:
            case Compression.GZIP:
                return _open_gzip(raw)
            case Compression.ZSTD:
                import zstandard

                # A window over 128 MiB is refused: a few bytes must not ask for gigabytes of memory.
                reader = zstandard.ZstdDecompressor(max_window_size=1 << 27)
                return reader.stream_reader(raw, read_across_frames=True)  # type: ignore[arg-type]
            case Compression.BZIP2:
                import bz2

                return bz2.BZ2File(raw)
            case Compression.XZ:
                import lzma

                return lzma.LZMAFile(raw)  # type: ignore[arg-type]
            case _:
                return raw


def _open_gzip(raw: _Rejoined) -> Source:
    try:
        from isal import igzip
    except ImportError:
        import gzip

        return gzip.GzipFile(fileobj=raw)
    opened: Source = igzip.IGzipFile(fileobj=raw)  # type: ignore[no-untyped-call]
    return opened


class _Rejoined:
    """The bytes that were read ahead, then the rest of the source."""

    def __init__(self, head: bytes, source: Source) -> None:
        self._head = head
        self._source = source

    def read(self, size: int = -1, /) -> bytes:
        if not self._head:
            return self._source.read(size)
        if size < 0:
            data, self._head = self._head, b""
            return data + self._source.read()
        data, self._head = self._head[:size], self._head[size:]
        return data

    def readinto(self, target: memoryview) -> int:
        data = self.read(len(target))
        target[: len(data)] = data
        return len(data)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    @property
    def closed(self) -> bool:
        return False

    def seek(self, *_: object) -> int:
        raise OSError("a stream can't seek")

    def tell(self) -> int:
        raise OSError("a stream can't tell")

    def flush(self) -> None:
        """As files have it."""
