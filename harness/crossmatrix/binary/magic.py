"""What the first bytes of a file say: its format, and the machine where it stands at a fixed place.

Sources: debug/pe, debug/macho, internal/xcoff, debug/plan9obj and cmd/internal/archive of Go.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from crossmatrix.observation import BinaryFacts
from crossmatrix.targets import ARCHES

ELF: Final = b"\x7fELF"
WASM: Final = b"\0asm"
AR: Final = (b"!<arch>\n", b"!<thin>\n")

_PE_MACHINES: Final = {
    0x014C: "386", 0x8664: "amd64", 0x01C0: "arm", 0x01C4: "arm", 0xAA64: "arm64",
}  # fmt: skip
_PE_BITS: Final = {0x10B: "32", 0x20B: "64"}
_MACHO_MAGIC: Final[dict[bytes, tuple[str, str, str]]] = {
    b"\xce\xfa\xed\xfe": ("32", "little", "<"),
    b"\xcf\xfa\xed\xfe": ("64", "little", "<"),
    b"\xfe\xed\xfa\xce": ("32", "big", ">"),
    b"\xfe\xed\xfa\xcf": ("64", "big", ">"),
}
_MACHO_MACHINES: Final = {
    7: "386", 12: "arm", 18: "ppc",
    0x0100_0007: "amd64", 0x0100_000C: "arm64", 0x0100_0012: "ppc64",
}  # fmt: skip
_MACHO_FAT: Final = (b"\xca\xfe\xba\xbe", b"\xca\xfe\xba\xbf")
_XCOFF: Final = {b"\x01\xdf": ("ppc", "32"), b"\x01\xf7": ("ppc64", "64")}
_PLAN9: Final = {
    b"\0\0\x01\xeb": ("386", "32"),
    b"\0\0\x8a\x97": ("amd64", "64"),
    b"\0\0\x06\x47": ("arm", "32"),
}
_AR_MEMBERS: Final = 64
_GO_OBJECT: Final = b"go object "


class MalformedError(ValueError):
    """Bytes that do not keep to their format; `crossmatrix.binary.read` adds the file's name."""


def head(data: bytes) -> BinaryFacts | None:
    """Format, machine, class and byte order of a format without a reader; None: an unknown one."""
    if data.startswith(b"MZ"):
        return _pe(data)
    if data[:4] in _MACHO_MAGIC:
        return _macho(data)
    if data[:4] in _MACHO_FAT:
        return _fat(data)
    if data[:2] in _XCOFF:
        machine, bits = _XCOFF[data[:2]]
        return BinaryFacts(format="xcoff", machine=machine, bits=bits, byteorder="big")
    if data[:4] in _PLAN9:
        machine, bits = _PLAN9[data[:4]]
        return BinaryFacts(format="plan9", machine=machine, bits=bits, byteorder="little")
    return None


def members(data: bytes) -> Iterator[tuple[int, int]]:
    """Where the first members of an ``ar`` archive lie, as (offset, end).

    A name written in the BSD way, before the content, is passed over. A thin archive has none.
    """
    position = len(AR[0])
    for _ in range(_AR_MEMBERS if data.startswith(AR[0]) else 0):
        if position >= len(data):
            return
        entry = data[position : position + 60]
        size = entry[48:58].strip()
        if len(entry) < 60 or entry[58:] != b"`\n" or not size.isdigit():
            raise MalformedError(f"no archive member at byte {position}")
        end = position + 60 + int(size)
        if end > len(data):
            raise MalformedError(f"the archive member at byte {position} is cut short")
        name = entry[:16].strip()
        inside = int(name[3:]) if name.startswith(b"#1/") and name[3:].isdigit() else 0
        yield min(position + 60 + inside, end), end
        position = end + end % 2


def go_object(data: bytes) -> BinaryFacts | None:
    """The facts of a Go package's own object, whose text is ``go object linux arm64 go1.27 …``."""
    if not data.startswith(_GO_OBJECT):
        return None
    words = data[:200].split(b" ")
    arch = ARCHES.get(words[3].decode("ascii", "replace")) if len(words) > 3 else None
    if arch is None:
        raise MalformedError("a Go object that names no known GOARCH")
    return BinaryFacts(
        format="archive", machine=arch.goarch, bits=str(arch.bits), byteorder=arch.byteorder
    )


def _unpack(layout: str, data: bytes, offset: int, what: str) -> tuple[int, ...]:
    if offset + struct.calcsize(layout) > len(data):
        raise MalformedError(f"the {what} is cut short")
    return struct.unpack_from(layout, data, offset)


def _pe(data: bytes) -> BinaryFacts:
    (place,) = _unpack("<I", data, 0x3C, "DOS header")
    if data[place : place + 4] != b"PE\0\0":
        raise MalformedError("a DOS header without a PE header")
    (machine,) = _unpack("<H", data, place + 4, "PE header")
    (optional,) = _unpack("<H", data, place + 24, "PE optional header")
    return BinaryFacts(
        format="pe",
        machine=_PE_MACHINES.get(machine, f"0x{machine:04x}"),
        bits=_PE_BITS.get(optional),
        byteorder="little",
    )


def _macho(data: bytes) -> BinaryFacts:
    bits, byteorder, mark = _MACHO_MAGIC[data[:4]]
    (machine,) = _unpack(f"{mark}I", data, 4, "Mach-O header")
    name = _MACHO_MACHINES.get(machine, f"0x{machine:08x}")
    return BinaryFacts(format="macho", machine=name, bits=bits, byteorder=byteorder)


def _fat(data: bytes) -> BinaryFacts | None:
    (count,) = _unpack(">I", data, 4, "universal header")
    # Java's class files begin alike; there a version above 40 stands in this place.
    return BinaryFacts(format="macho") if 0 < count < 40 else None
