"""Incremental decoding of compressed files: memory stays bounded by one read, whatever the compression ratio.

When a file is damaged, everything up to the damage is given before `Corrupt` is raised.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from typing import Protocol

from nativemtail.io.content import BZIP2, GZIP, XZ, ZSTANDARD, Content

INPUT_SIZE = 64 * 1024
_OUTPUT_SIZE = 64 * 1024
"""The C library maps and unmaps larger pieces each time, which takes a quarter of the whole time."""

_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"
_ZSTD_MAX_WINDOW = 128 * 1024 * 1024
_ZSTD_MAX_BLOCK = 128 * 1024
_XZ_MAX_MEMORY = 160 * 1024 * 1024


class Corrupt(Exception):
    """The file is damaged or ends early."""


class Truncated(Corrupt):
    """The file ends early."""

    def __init__(self) -> None:
        super().__init__("unexpected end of file")


class Decoder(Protocol):
    position: int
    """Bytes of the file that have been used."""

    def readinto(self, target: memoryview) -> int: ...


def decoder(content: Content, raw: io.RawIOBase) -> Decoder:
    """The decoder of a file that holds this, and has a position.  Raises `Corrupt` if there is none."""
    if content == GZIP:
        return GzipDecoder(raw)
    if content == ZSTANDARD:
        return ZstdDecoder(raw)
    if content == XZ:
        return _xz(raw)
    if content == BZIP2:
        return _bzip2(raw)
    raise Corrupt(f"compressed ({content.name}), which cannot be read: decompress it first")


class _MembersDecoder:
    """A sequence of members that each begin with `magic`; zeros after a member are padding."""

    def __init__(self, raw: io.RawIOBase, name: str, magic: bytes) -> None:
        self.position = 0
        self._raw = raw
        self._name = name
        self._magic = magic
        self._input = b""
        self._inside = False
        self._error: Corrupt | None = None

    def readinto(self, target: memoryview) -> int:
        filled = 0
        while filled < len(target) and self._error is None:
            try:
                if not self._inside and not self._next_member():
                    break
                output = self._decode(min(_OUTPUT_SIZE, len(target) - filled))
            except OSError:
                if not filled:
                    raise
                break
            target[filled : filled + len(output)] = output
            filled += len(output)
        if not filled and self._error is not None:
            raise self._error
        return filled

    def _begin(self) -> None:
        """Begin a member at the start of the input."""
        raise NotImplementedError

    def _decode(self, limit: int) -> bytes:
        """The next decoded bytes, at most `limit`; sets `_error`, or clears `_inside` at the end of the member."""
        raise NotImplementedError

    def _fill(self) -> bool:
        more = self._raw.read(INPUT_SIZE) or b""
        self._input += more
        self.position += len(more)
        return bool(more)

    def _next_member(self) -> bool:
        """Whether another member begins."""
        first = self.position == 0
        while True:
            if not first:
                self._input = self._input.lstrip(b"\0")
            if len(self._input) >= len(self._magic) or not self._fill():
                break
        if not self._input:
            return False
        if not self._input.startswith(self._magic):
            other = f"not in {self._name} format" if first else "trailing garbage"
            self._error = Truncated() if self._magic.startswith(self._input) else Corrupt(other)
            return False
        self._begin()
        self._inside = True
        return True


class GzipDecoder(_MembersDecoder):
    """A gzip file (RFC 1952)."""

    def __init__(self, raw: io.RawIOBase) -> None:
        super().__init__(raw, "gzip", _GZIP_MAGIC)
        self._member: zlib._Decompress

    def _begin(self) -> None:
        self._member = zlib.decompressobj(wbits=31)

    def _decode(self, limit: int) -> bytes:
        if not self._input and not self._fill():
            self._error = Truncated()
            return b""
        before = self._member.copy()
        try:
            output = self._member.decompress(self._input, limit)
        except zlib.error as error:
            self._error = Corrupt(str(error))
            return _salvage(before, self._input, limit)
        if self._member.eof:
            self._input = self._member.unused_data
            self._inside = False
        else:
            self._input = self._member.unconsumed_tail
        return output


def _salvage(member: zlib._Decompress, data: bytes, limit: int) -> bytes:
    """The output before the error; zlib discards the output of a call that fails."""
    output = bytearray()
    try:
        for at in range(len(data)):
            output += member.decompress(data[at : at + 1], max(limit - len(output), 1))
    except zlib.error:
        pass
    return bytes(output[:limit])


class _Stream(Protocol):
    """The common interface of the decompressors of `lzma` and `bz2`."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


def _xz(raw: io.RawIOBase) -> StreamsDecoder:
    import lzma

    def make() -> _Stream:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MAX_MEMORY)

    return StreamsDecoder(raw, "xz", b"\xfd7zXZ\0", make, (lzma.LZMAError, EOFError))


def _bzip2(raw: io.RawIOBase) -> StreamsDecoder:
    import bz2

    return StreamsDecoder(raw, "bzip2", b"BZh", bz2.BZ2Decompressor, (OSError, ValueError, EOFError))


class StreamsDecoder(_MembersDecoder):
    """An xz or bzip2 file, whose members are called streams.

    Their libraries discard the output of a call that fails, and cannot copy their state: a damaged stream is decoded
    again from its start, byte by byte around the failure.
    """

    def __init__(
        self,
        raw: io.RawIOBase,
        name: str,
        magic: bytes,
        make: Callable[[], _Stream],
        errors: tuple[type[Exception], ...],
    ) -> None:
        super().__init__(raw, name, magic)
        self._make = make
        self._errors = errors
        self._stream: _Stream
        self._began = 0
        self._given = 0

    def _begin(self) -> None:
        self._began = self.position - len(self._input)
        self._given = 0
        self._stream = self._make()

    def _decode(self, limit: int) -> bytes:
        stream = self._stream
        data = b""
        if stream.needs_input:
            if not self._input and not self._fill():
                self._error = Truncated()
                return b""
            data, self._input = self._input, b""
        try:
            output = stream.decompress(data, limit)
        except self._errors as error:
            self._error = Corrupt(str(error))
            return self._salvage(limit)
        self._given += len(output)
        if stream.eof:
            self._input = stream.unused_data
            self._inside = False
        return output

    def _salvage(self, limit: int) -> bytes:
        """The output before the damage that was not returned yet."""
        output = bytearray()
        stream = self._make()
        seen = 0
        self._raw.seek(self._began)
        try:
            while len(output) < limit:
                data = b""
                if stream.needs_input and not (data := self._raw.read(INPUT_SIZE)):
                    break  # the file was cut short meanwhile
                known = self._given - seen
                piece = stream.decompress(data, min(known, INPUT_SIZE) or 1)
                if known:
                    seen += len(piece)
                else:
                    output += piece
        except self._errors:
            pass
        return bytes(output)


class ZstdDecoder:
    """The frames of a Zstandard file (RFC 8878), fed block by block: a block yields at most 128 KiB."""

    def __init__(self, raw: io.RawIOBase) -> None:
        import zstandard

        self.position = 0
        self._raw = io.BufferedReader(raw, INPUT_SIZE)
        self._library = zstandard
        self._frames = zstandard.ZstdDecompressor(max_window_size=_ZSTD_MAX_WINDOW)
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._checksum = False
        self._last_block = False
        self._error: Corrupt | None = None
        self._output = memoryview(b"")

    def readinto(self, target: memoryview) -> int:
        try:
            while not self._output and self._error is None:
                if not self._step():
                    return 0
        except Corrupt as error:
            self._error = error
        except self._library.ZstdError as error:
            self._error = Corrupt(str(error))
        if not self._output and self._error is not None:
            raise self._error
        return self._give(target)

    def _give(self, target: memoryview) -> int:
        count = min(len(target), len(self._output))
        target[:count] = self._output[:count]
        self._output = self._output[count:]
        return count

    def _step(self) -> bool:
        """Decode the next part of the file; False at its end."""
        if self._frame is None:
            return self._next_frame()
        if self._last_block:
            # A separate step: a wrong checksum must not lose the output of the last block.
            if self._checksum:
                self._feed(self._read_exactly(4))
            self._frame = None
        else:
            self._next_block()
        return True

    def _read_exactly(self, size: int) -> bytes:
        data = self._raw.read(size)
        self.position += len(data)
        if len(data) < size:
            raise Truncated
        return data

    def _next_frame(self) -> bool:
        """Whether another frame with data begins; skippable ones are skipped."""
        while self._raw.peek(1):
            start = self._read_exactly(4)
            if start == _ZSTD_MAGIC:
                self._begin(start)
                return True
            if start[1:] != _ZSTD_SKIPPABLE or start[0] >> 4 != 5:
                raise Corrupt("not in zstd format")
            self._skip(int.from_bytes(self._read_exactly(4), "little"))
        return False

    def _skip(self, size: int) -> None:
        while size:
            size -= len(self._read_exactly(min(size, INPUT_SIZE)))

    def _begin(self, start: bytes) -> None:
        start += self._read_exactly(1)
        # frame_header_size reads only the descriptor, but requires as many bytes as the largest header.
        size = self._library.frame_header_size(start.ljust(18, b"\0"))
        header = start + self._read_exactly(size - len(start))
        self._checksum = bool(header[4] & 4)
        self._last_block = False
        self._frame = self._frames.decompressobj()
        self._feed(header)

    def _next_block(self) -> None:
        """Header: bit 0 last, bits 1 and 2 the type (0 raw, 1 one byte repeated, 2 compressed), then the size."""
        head = self._read_exactly(3)
        fields = int.from_bytes(head, "little")
        kind, size = fields >> 1 & 3, fields >> 3
        if kind == 3 or size > _ZSTD_MAX_BLOCK:
            raise Corrupt("invalid block")
        data = head + self._read_exactly(1 if kind == 1 else size)
        self._last_block = bool(fields & 1)
        self._feed(data)

    def _feed(self, data: bytes) -> None:
        assert self._frame is not None
        self._output = memoryview(self._frame.decompress(data))


class GrowingZstdDecoder(ZstdDecoder):
    """A Zstandard file that is being written: a block is decoded as soon as all of it is there."""

    @property
    def is_complete(self) -> bool:
        """Whether the file could end here."""
        return self._frame is None and not self._output

    def readinto(self, target: memoryview) -> int:
        """0 when there is no complete block yet.  Raises Corrupt for errors that more bytes cannot cure."""
        while not self._output:
            start = self.position
            try:
                if not self._step():
                    return 0
            except Truncated:
                self._raw.seek(start)
                self.position = start
                return 0
            except self._library.ZstdError as error:
                raise Corrupt(str(error)) from None
        return self._give(target)
