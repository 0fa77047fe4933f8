"""Small real files, assembled by hand as their specifications say."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

BASE = 0x10000
START = bytes.fromhex("3077af0c9274080241e1c107e6d618e6")
END = bytes.fromhex("f932433186182072008242104116d8f2")

SETTINGS = {"-buildmode": "exe", "CGO_ENABLED": "0", "GOARCH": "amd64", "GOOS": "linux"}


def module_text(settings: dict[str, str] | None = None, extra: str = "") -> bytes:
    """The text that the go command hands to the linker, between its markers."""
    lines = ["path\texample.test/hello", "mod\texample.test/hello\t(devel)\t"]
    lines += [f"build\t{k}={v}" for k, v in (SETTINGS if settings is None else settings).items()]
    return START + "".join(f"{line}\n" for line in lines).encode() + extra.encode() + END


def varint(value: int) -> bytes:
    """Unsigned LEB128, which Go calls a varint."""
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def go_blob(version: str = "go1.27.3", text: bytes | None = None) -> bytes:
    """The inline build info of Go 1.18 and later."""
    text = module_text() if text is None else text
    head = b"\xff Go buildinf:" + bytes([8, 2]) + bytes(16)
    return head + varint(len(version)) + version.encode() + varint(len(text)) + text


@dataclass(kw_only=True)
class Elf:
    """An ELF file with one segment over the whole of it; what is None is left out."""

    machine: int = 62
    bits: int = 64
    little: bool = True
    kind: int = 2
    osabi: int = 0
    flags: int = 0
    interpreter: str | None = None
    needed: Sequence[str] = ()
    tags: Sequence[tuple[int, int]] = ()
    versions: Sequence[str] = ()
    go: bytes | None = None
    symbols: Sequence[tuple[str, bool]] = ()
    dynamic_symbols: Sequence[tuple[str, bool]] = ()
    debug: bool = False
    headers: bool = True
    load_flags: int = 6
    stack_flags: int | None = 6
    relro: bool = False
    _out: bytearray = field(default_factory=bytearray)
    _sections: list[tuple[str, int, int, int, int]] = field(default_factory=list)

    def build(self) -> bytes:
        """The file."""
        wide = self.bits == 64
        self._out = bytearray(64 if wide else 52)
        self._sections = []
        phdrs: list[tuple[int, int, int | None, int]] = [(1, 0, None, self.load_flags)]
        count = 1 + (self.stack_flags is not None) + self.relro
        count += (self.interpreter is not None) + bool(self._has_dynamic())
        phoff = len(self._out)
        self._out += bytes(count * (56 if wide else 32))
        if self.stack_flags is not None:
            phdrs.append((0x6474E551, 0, 0, self.stack_flags))
        if self.relro:
            phdrs.append((0x6474E552, 0, 0, 4))
        if self.interpreter is not None:
            at, size = self._add(".interp", 1, self.interpreter.encode() + b"\0")
            phdrs.append((3, at, size, 4))
        if self._has_dynamic():
            at, size = self._dynamic()
            phdrs.append((2, at, size, 6))
        if self.go is not None:
            self._add(".go.buildinfo", 1, self.go, align=16)
        for name, kind, symbols in (
            (".symtab", 2, self.symbols),
            (".dynsym", 11, self.dynamic_symbols),
        ):
            if symbols:
                self._symbols(name, kind, symbols)
        if self.debug:
            self._add(".debug_info", 1, b"\0" * 8)
        shoff, shnum = self._section_headers() if self.headers else (0, 0)
        self._program_headers(phoff, phdrs)
        self._header(phoff, len(phdrs), shoff, shnum)
        return bytes(self._out)

    def _pack(self, layout: str, *values: int | bytes) -> bytes:
        return struct.pack(("<" if self.little else ">") + layout, *values)

    def _has_dynamic(self) -> bool:
        return bool(self.needed or self.tags or self.versions)

    def _add(
        self, name: str, kind: int, data: bytes, link: int = 0, align: int = 8
    ) -> tuple[int, int]:
        self._out += bytes(-len(self._out) % align)
        at = len(self._out)
        self._out += data
        self._sections.append((name, kind, at, len(data), link))
        return at, len(data)

    def _dynamic(self) -> tuple[int, int]:
        strings = b"\0"
        tags: list[tuple[int, int]] = []
        for name in self.needed:
            tags.append((1, len(strings)))
            strings += name.encode() + b"\0"
        verneed = b""
        if self.versions:
            library = len(strings)
            strings += b"libc.so.6\0"
            verneed = self._pack("HHIII", 1, len(self.versions), library, 16, 0)
            for index, version in enumerate(self.versions):
                following = 16 if index + 1 < len(self.versions) else 0
                verneed += self._pack("IHHII", 0, 0, 2, len(strings), following)
                strings += version.encode() + b"\0"
        at, size = self._add(".dynstr", 3, strings)
        tags += [(5, at + BASE), (10, size), *self.tags]
        if verneed:
            at, _ = self._add(".gnu.version_r", 0x6FFFFFFE, verneed)
            tags += [(0x6FFFFFFE, at + BASE), (0x6FFFFFFF, 1)]
        word = "qQ" if self.bits == 64 else "iI"
        data = b"".join(self._pack(word, *tag) for tag in [*tags, (0, 0)])
        return self._add(".dynamic", 6, data)

    def _symbols(self, name: str, kind: int, symbols: Sequence[tuple[str, bool]]) -> None:
        strings, rows = b"\0", b"" + bytes(24 if self.bits == 64 else 16)
        for text, defined in symbols:
            section = 1 if defined else 0
            if self.bits == 64:
                rows += self._pack("IBBHQQ", len(strings), 0x12, 0, section, 0, 0)
            else:
                rows += self._pack("IIIBBH", len(strings), 0, 0, 0x12, 0, section)
            strings += text.encode() + b"\0"
        self._add(name.replace("sym", "str", 1), 3, strings)
        self._add(name, kind, rows, link=len(self._sections))

    def _section_headers(self) -> tuple[int, int]:
        self._sections.append((".shstrtab", 3, len(self._out), 0, 0))
        names = b"\0"
        places = []
        for name, *_ in self._sections:
            places.append(len(names))
            names += name.encode() + b"\0"
        self._sections[-1] = (".shstrtab", 3, len(self._out), len(names), 0)
        self._out += names
        self._out += bytes(-len(self._out) % 8)
        shoff = len(self._out)
        layout = "IIQQQQIIQQ" if self.bits == 64 else "IIIIIIIIII"
        self._out += bytes(64 if self.bits == 64 else 40)
        for place, (_, kind, at, size, link) in zip(places, self._sections, strict=True):
            self._out += self._pack(layout, place, kind, 0, at + BASE, at, size, link, 0, 8, 0)
        return shoff, len(self._sections) + 1

    def _program_headers(self, phoff: int, phdrs: list[tuple[int, int, int | None, int]]) -> None:
        for index, (kind, at, size, flags) in enumerate(phdrs):
            length = len(self._out) if size is None else size
            if self.bits == 64:
                row = self._pack("IIQQQQQQ", kind, flags, at, at + BASE, 0, length, length, 16)
            else:
                row = self._pack("IIIIIIII", kind, at, at + BASE, 0, length, length, flags, 16)
            self._out[phoff + index * len(row) : phoff + (index + 1) * len(row)] = row

    def _header(self, phoff: int, phnum: int, shoff: int, shnum: int) -> None:
        wide = self.bits == 64
        ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if self.little else 2, 1, self.osabi])
        sizes = (64, 56, 64) if wide else (52, 32, 40)
        self._out[: sizes[0]] = self._pack(
            "16sHHIQQQIHHHHHH" if wide else "16sHHIIIIIHHHHHH",
            ident + bytes(8), self.kind, self.machine, 1, 0, phoff, shoff, self.flags,
            sizes[0], sizes[1], phnum, sizes[2], shnum, max(shnum - 1, 0),
        )  # fmt: skip


def elf(**wishes: object) -> bytes:
    """An ELF file; the wishes are the fields of `Elf`."""
    return Elf(**wishes).build()  # type: ignore[arg-type]


def wasm_name(text: str) -> bytes:
    """A name as a module holds it."""
    return varint(len(text.encode())) + text.encode()


def wasm_section(kind: int, content: bytes) -> bytes:
    """A section with its length."""
    return bytes([kind]) + varint(len(content)) + content


def wasm(
    *,
    imports: Sequence[tuple[str, str]] = (),
    exports: Sequence[str] = (),
    customs: Sequence[tuple[str, bytes]] = (),
    data: bytes = b"",
    version: str = "",
) -> bytes:
    """A WebAssembly module whose imports and exports are functions."""
    out = b"\0asm\x01\0\0\0"
    out += wasm_section(1, b"\x01\x60\0\0")
    if imports:
        rows = b"".join(wasm_name(m) + wasm_name(n) + b"\0\0" for m, n in imports)
        out += wasm_section(2, varint(len(imports)) + rows)
    if exports:
        rows = b"".join(wasm_name(name) + b"\0\0" for name in exports)
        out += wasm_section(7, varint(len(exports)) + rows)
    if data:
        out += wasm_section(11, b"\x01\0\x41\0\x0b" + varint(len(data)) + data)
    for name, content in customs:
        out += wasm_section(0, wasm_name(name) + content)
    if version:
        fields = b"\x01" + wasm_name("language") + b"\x01" + wasm_name("Go") + wasm_name(version)
        out += wasm_section(0, wasm_name("producers") + fields)
    return out
