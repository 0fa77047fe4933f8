"""The facts of a WebAssembly module: imports, exports, sections, Go's build info.

Source: the binary format of the WebAssembly core specification 3.0, cmd/link/internal/wasm of Go.
Go's own reader knows no wasm. What the linker writes for it lies elsewhere: the module text stands
between its markers in the data section, the version in the ``producers`` section (measured on 1.21
to 1.27, with and without ``-ldflags=-s``, in both ports).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from crossmatrix.binary import buildinfo
from crossmatrix.binary.magic import MalformedError
from crossmatrix.observation import BinaryFacts, GoBuildInfo

_SECTIONS: Final = (
    "custom", "type", "import", "function", "table", "memory", "global", "export", "start",
    "element", "code", "data", "datacount", "tag",
)  # fmt: skip
_CUSTOM, _IMPORT, _MEMORY, _EXPORT, _DATA = 0, 2, 5, 7, 11
_MEMORY_KIND: Final = 2
_MAX, _MEMORY64, _PAGE_SIZE = 1, 4, 8


@dataclass(frozen=True, kw_only=True)
class _Section:
    id: int
    name: str
    start: int
    end: int


@dataclass(kw_only=True)
class _Reader:
    """A place in the bytes that never passes ``end``."""

    data: bytes
    position: int
    end: int

    def byte(self) -> int:
        if self.position >= self.end:
            raise MalformedError(f"cut short at byte {self.position}")
        self.position += 1
        return self.data[self.position - 1]

    def number(self, bits: int = 32) -> int:
        """An unsigned LEB128 number of at most so many bits."""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
            if shift >= bits:
                raise MalformedError(f"a number of more than {bits} bits before {self.position}")
        if value >> bits:
            raise MalformedError(f"a number of more than {bits} bits before {self.position}")
        return value

    def skip(self, length: int) -> int:
        """Pass over so many bytes; returns where they began."""
        start = self.position
        if length > self.end - start:
            raise MalformedError(f"{length} bytes at {start} reach beyond byte {self.end}")
        self.position += length
        return start

    def name(self) -> str:
        length = self.number()
        start = self.skip(length)
        return self.data[start : start + length].decode("utf-8", "backslashreplace")


def read(data: bytes) -> BinaryFacts:
    """The facts of a module; raises `MalformedError`."""
    if data[4:8] != b"\x01\0\0\0":
        raise MalformedError(f"version {data[4:8].hex()} is no WebAssembly module of version 1")
    sections = _sections(data)
    imports, memories = _entries(data, sections, _IMPORT, _import)
    own = _entries(data, sections, _MEMORY, lambda r: ("", _limits(r)))[1]
    exports = _entries(data, sections, _EXPORT, _export)[0]
    custom = tuple(section.name for section in sections if section.id == _CUSTOM)
    return BinaryFacts(
        format="wasm",
        machine="wasm",
        bits="64" if any(flags & _MEMORY64 for flags in (*memories, *own)) else "32",
        byteorder="little",
        type=_type(exports),
        stripped="no" if "name" in custom else "yes",
        dwarf="yes" if ".debug_info" in custom else "no",
        exports=exports,
        imports=imports,
        sections=tuple(_SECTIONS[s.id] for s in sections if s.id != _CUSTOM),
        custom_sections=custom,
        go=_go(data, sections),
    )


def _type(exports: tuple[str, ...]) -> str:
    """``dyn`` for a reactor, which is a library; ``exe`` for a command of WASI or of js."""
    if "_start" in exports or "run" in exports:
        return "exe"
    return "dyn"


def _sections(data: bytes) -> tuple[_Section, ...]:
    reader = _Reader(data=data, position=8, end=len(data))
    found = []
    while reader.position < len(data):
        kind = reader.byte()
        if kind >= len(_SECTIONS):
            raise MalformedError(f"no section of kind {kind} is known, at byte {reader.position}")
        length = reader.number()
        start = reader.skip(length)
        inside = _Reader(data=data, position=start, end=start + length)
        name = inside.name() if kind == _CUSTOM else _SECTIONS[kind]
        found.append(_Section(id=kind, name=name, start=inside.position, end=start + length))
    return tuple(found)


def _entries(
    data: bytes,
    sections: tuple[_Section, ...],
    kind: int,
    one: Callable[[_Reader], tuple[str, int]],
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Names and memory flags of all entries of a section; both empty where there is none."""
    names: list[str] = []
    flags: list[int] = []
    for section in sections:
        if section.id == kind:
            reader = _Reader(data=data, position=section.start, end=section.end)
            for _ in range(reader.number()):
                name, flag = one(reader)
                names.append(name)
                flags.append(flag)
            if reader.position != section.end:
                raise MalformedError(
                    f"{section.end - reader.position} bytes too many: {section.name}"
                )
    return tuple(names), tuple(flags)


def _import(reader: _Reader) -> tuple[str, int]:
    module, name = reader.name(), reader.name()
    kind = reader.byte()
    flags = 0
    if kind == 0:
        reader.number()
    elif kind == 1:
        _reference(reader)
        _limits(reader)
    elif kind == _MEMORY_KIND:
        flags = _limits(reader)
    elif kind == 3:
        _reference(reader)
        reader.byte()
    elif kind == 4:
        reader.byte()
        reader.number()
    else:
        raise MalformedError(f"no import of kind {kind} is known: {module}.{name}")
    return f"{module}.{name}", flags


def _export(reader: _Reader) -> tuple[str, int]:
    name = reader.name()
    reader.byte()
    reader.number()
    return name, 0


def _reference(reader: _Reader) -> None:
    """A value type; the two that name a heap type carry a signed number of up to 33 bits."""
    if reader.byte() in (0x63, 0x64):
        reader.number(35)


def _limits(reader: _Reader) -> int:
    """The flags of a memory or a table; its sizes are passed over."""
    flags = reader.byte()
    reader.number(64)
    if flags & _MAX:
        reader.number(64)
    if flags & _PAGE_SIZE:
        reader.number()
    return flags


def _go(data: bytes, sections: tuple[_Section, ...]) -> GoBuildInfo | None:
    for section in sections:
        if section.id == _DATA:
            text = buildinfo.framed(data, section.start, section.end)
            if text is not None:
                return buildinfo.parse(_go_version(data, sections), text)
    return None


def _go_version(data: bytes, sections: tuple[_Section, ...]) -> str:
    """The version of the language in the ``producers`` section; empty where it was removed."""
    for section in sections:
        if section.id == _CUSTOM and section.name == "producers":
            reader = _Reader(data=data, position=section.start, end=section.end)
            for _ in range(reader.number()):
                field = reader.name()
                values = [(reader.name(), reader.name()) for _ in range(reader.number())]
                if field == "language":
                    return dict(values).get("Go", "")
    return ""
