"""The facts of an ELF file, with pyelftools for every structure and our own bounds around it.

A header may claim anything: each table is measured against the file before it is read, each string
ends within a limit, and no chain is followed further than it has places.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

from elftools.common.exceptions import ELFError
from elftools.common.utils import struct_parse
from elftools.construct import ConstructError
from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile

from crossmatrix.binary import buildinfo, elfflags
from crossmatrix.binary.magic import MalformedError
from crossmatrix.observation import BinaryFacts, GoBuildInfo
from crossmatrix.targets import ARCHES

_STRING: Final = 64 << 10
_TAGS: Final = 16 << 10
_VERSIONS: Final = 16 << 10
_TABLE: Final = 128 << 10

_GOARCH: Final = {
    "EM_386": ("386",),
    "EM_X86_64": ("amd64",),
    "EM_ARM": ("arm",),
    "EM_AARCH64": ("arm64",),
    "EM_LOONGARCH": ("loong64",),
    "EM_MIPS": ("mips", "mipsle", "mips64", "mips64le"),
    "EM_PPC64": ("ppc64", "ppc64le"),
    "EM_RISCV": ("riscv64",),
    "EM_S390": ("s390x",),
}
_DF_BIND_NOW, _DF_1_NOW, _DF_1_PIE = 0x8, 0x1, 0x0800_0000
_PF_X, _PF_W = 1, 2
_LOCAL: Final = 0


@dataclass(frozen=True, kw_only=True)
class _File:
    """The headers of a file. ``sections`` are (name, header), ``tags`` those of PT_DYNAMIC."""

    data: bytes
    structs: Any
    header: Any
    segments: tuple[Any, ...]
    sections: tuple[tuple[str, Any], ...]
    tags: tuple[Any, ...]

    def tag(self, name: str) -> int | None:
        return next((t.d_val for t in self.tags if t.d_tag == name), None)

    def offset(self, address: int) -> tuple[int, int] | None:
        """Where an address lies in the file, and where its segment's bytes end."""
        for segment in self.segments:
            inside = address - segment.p_vaddr
            if segment.p_type == "PT_LOAD" and 0 <= inside < segment.p_filesz:
                return segment.p_offset + inside, segment.p_offset + segment.p_filesz
        return None


def read(data: bytes, want: Container[str] = ()) -> BinaryFacts:
    """The facts of a file; the lists named in ``want`` too. Raises `MalformedError`."""
    try:
        return _facts(_load(data), want)
    except (ELFError, ConstructError, struct.error, UnicodeError, OverflowError) as error:
        raise MalformedError(str(error) or type(error).__name__) from error


def _load(data: bytes) -> _File:
    stream = BytesIO(data)
    elf = ELFFile(stream)
    header, structs = elf.header, elf.structs
    segments = _table(
        stream, structs.Elf_Phdr, header.e_phoff, header.e_phnum, header.e_phentsize, "segments"
    )
    for segment in segments:
        _inside(data, segment.p_offset, segment.p_filesz, "a segment")
    count = header.e_shnum
    if header.e_shoff and not count:
        first = _table(stream, structs.Elf_Shdr, header.e_shoff, 1, header.e_shentsize, "sections")
        count = first[0].sh_size
    heads = _table(stream, structs.Elf_Shdr, header.e_shoff, count, header.e_shentsize, "sections")
    for head in heads:
        if head.sh_type not in ("SHT_NOBITS", "SHT_NULL"):
            _inside(data, head.sh_offset, head.sh_size, "a section")
    return _File(
        data=data,
        structs=structs,
        header=header,
        segments=segments,
        sections=_named(data, heads, header.e_shstrndx),
        tags=_tags(stream, structs, segments),
    )


def _inside(data: bytes, offset: int, size: int, what: str) -> None:
    if offset + size > len(data):
        raise MalformedError(f"{what} ends at byte {offset + size}, the file at {len(data)}")


def _table(
    stream: BytesIO, kind: Any, offset: int, count: int, size: int, what: str
) -> tuple[Any, ...]:
    if not count or not offset:
        return ()
    if size < kind.sizeof() or count > _TABLE:
        raise MalformedError(f"no table of {count} {what} of {size} bytes is possible")
    _inside(stream.getvalue(), offset, count * size, f"the table of {what}")
    return tuple(struct_parse(kind, stream, offset + i * size) for i in range(count))


def _named(data: bytes, heads: tuple[Any, ...], index: int) -> tuple[tuple[str, Any], ...]:
    if not heads:
        return ()
    if index == 0xFFFF:
        index = heads[0].sh_link
    if index >= len(heads) or heads[index].sh_type == "SHT_NOBITS":
        raise MalformedError(f"section {index} cannot hold the names of the sections")
    start, end = heads[index].sh_offset, heads[index].sh_offset + heads[index].sh_size
    if heads[index].sh_type == "SHT_NULL":
        return tuple(("", head) for head in heads)
    return tuple((_text(data, start + head.sh_name, end), head) for head in heads)


def _text(data: bytes, start: int, end: int) -> str:
    stop = data.find(b"\0", start, min(end, start + _STRING)) if start < end else -1
    if stop < 0:
        raise MalformedError(f"no string ends after byte {start}")
    return data[start:stop].decode("utf-8", "backslashreplace")


def _tags(stream: BytesIO, structs: Any, segments: tuple[Any, ...]) -> tuple[Any, ...]:
    found: list[Any] = []
    for segment in segments:
        if segment.p_type == "PT_DYNAMIC":
            size = structs.Elf_Dyn.sizeof()
            for index in range(segment.p_filesz // size):
                tag = struct_parse(structs.Elf_Dyn, stream, segment.p_offset + index * size)
                if tag.d_tag == "DT_NULL":
                    break
                if index >= _TAGS:
                    raise MalformedError(f"more than {_TAGS} dynamic tags")
                found.append(tag)
    return tuple(found)


def _facts(file: _File, want: Container[str]) -> BinaryFacts:
    ident = file.header.e_ident
    interpreter = _interpreter(file)
    needed = _needed(file)
    names = {name for name, _ in file.sections}
    bits = "64" if ident.EI_CLASS == "ELFCLASS64" else "32"
    byteorder = "little" if ident.EI_DATA == "ELFDATA2LSB" else "big"
    linked = file.header.e_type != "ET_REL"
    return BinaryFacts(
        format="elf",
        machine=_machine(file.header.e_machine, bits, byteorder),
        bits=bits,
        byteorder=byteorder,
        type=_type(file, interpreter),
        osabi=_name(ident.EI_OSABI, "ELFOSABI_").lower(),
        flags=elfflags.names(str(file.header.e_machine), file.header.e_flags),
        linkage=("dynamic" if interpreter or needed else "static") if linked else None,
        interpreter=interpreter or "absent",
        needed=needed,
        glibc=_glibc(file),
        stripped=_yes(all(head.sh_type != "SHT_SYMTAB" for _, head in file.sections)),
        dwarf=_yes(not names.isdisjoint((".debug_info", ".zdebug_info"))),
        relro=_relro(file) if linked else None,
        nx=_nx(file) if linked else None,
        wx=_wx(file) if linked else None,
        exports=_symbols(file, "SHT_DYNSYM", defined=True) if "exports" in want else None,
        imports=_symbols(file, "SHT_DYNSYM", defined=False) if "imports" in want else None,
        symbols=_symbols(file, "SHT_SYMTAB", defined=None) if "symbols" in want else None,
        sections=tuple(name for name, _ in file.sections[1:]) if "sections" in want else None,
        go=_go(file),
    )


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _name(value: object, prefix: str) -> str:
    """The name of an enumerated value without its prefix; a number that has none, in hex."""
    return value.removeprefix(prefix) if isinstance(value, str) else f"0x{value:x}"


def _machine(machine: object, bits: str, byteorder: str) -> str:
    """Go's name where class and byte order are those that Go means by it, else ELF's own."""
    for goarch in _GOARCH.get(str(machine), ()):
        if (str(ARCHES[goarch].bits), ARCHES[goarch].byteorder) == (bits, byteorder):
            return goarch
    return machine if isinstance(machine, str) else f"EM_{machine}"


def _type(file: _File, interpreter: str | None) -> str:
    kind = file.header.e_type
    if kind == "ET_EXEC":
        return "exe"
    if kind == "ET_REL":
        return "rel"
    if kind != "ET_DYN":
        raise MalformedError(f"{_name(kind, 'ET_')} is no program, library or object file")
    if (file.tag("DT_FLAGS_1") or 0) & _DF_1_PIE:
        return "pie" if interpreter else "static-pie"
    return "pie" if interpreter and file.tag("DT_SONAME") is None else "dyn"


def _interpreter(file: _File) -> str | None:
    for segment in file.segments:
        if segment.p_type == "PT_INTERP":
            end = segment.p_offset + segment.p_filesz
            return _text(file.data, segment.p_offset, end) or None
    return None


def _dynamic_strings(file: _File) -> tuple[int, int]:
    place = file.offset(file.tag("DT_STRTAB") or 0)
    if place is None:
        raise MalformedError("the dynamic section names no string table of this file")
    return place[0], min(place[1], place[0] + (file.tag("DT_STRSZ") or 0))


def _needed(file: _File) -> tuple[str, ...]:
    offsets = [tag.d_val for tag in file.tags if tag.d_tag == "DT_NEEDED"]
    if not offsets:
        return ()
    start, end = _dynamic_strings(file)
    return tuple(_text(file.data, start + offset, end) for offset in offsets)


def _glibc(file: _File) -> str:
    versions = [
        name.removeprefix("GLIBC_")
        for name in _version_names(file)
        if name.startswith("GLIBC_") and name[6:].replace(".", "").isdigit()
    ]
    return max(versions, key=lambda v: [int(n or 0) for n in v.split(".")], default="absent")


def _version_names(file: _File) -> Iterator[str]:
    """The symbol versions that the file needs, from DT_VERNEED, which `strip` never takes."""
    address = file.tag("DT_VERNEED")
    if address is None:
        return
    start, end = _dynamic_strings(file)
    read = _bounded(file, address)
    need_at, steps = 0, 0
    for _ in range(min(file.tag("DT_VERNEEDNUM") or 0, _VERSIONS)):
        need = read(file.structs.Elf_Verneed, need_at)
        aux_at = need_at + need.vn_aux
        for _ in range(need.vn_cnt):
            steps += 1
            if steps > _VERSIONS:
                raise MalformedError(f"more than {_VERSIONS} symbol versions")
            aux = read(file.structs.Elf_Vernaux, aux_at)
            yield _text(file.data, start + aux.vna_name, end)
            if not aux.vna_next:
                break
            aux_at += aux.vna_next
        if not need.vn_next:
            break
        need_at += need.vn_next


def _bounded(file: _File, address: int) -> Callable[[Any, int], Any]:
    place = file.offset(address)
    if place is None:
        raise MalformedError("the symbol versions lie outside the file")
    base, end = place
    stream = BytesIO(file.data)

    def read(kind: Any, at: int) -> Any:
        if base + at + kind.sizeof() > end:
            raise MalformedError("the symbol versions are cut short")
        return struct_parse(kind, stream, base + at)

    return read


def _relro(file: _File) -> str:
    if all(segment.p_type != "PT_GNU_RELRO" for segment in file.segments):
        return "none"
    now = (
        file.tag("DT_BIND_NOW") is not None
        or (file.tag("DT_FLAGS") or 0) & _DF_BIND_NOW
        or (file.tag("DT_FLAGS_1") or 0) & _DF_1_NOW
    )
    return "full" if now else "partial"


def _nx(file: _File) -> str:
    stacks = [s for s in file.segments if s.p_type == "PT_GNU_STACK"]
    return _yes(bool(stacks) and not any(s.p_flags & _PF_X for s in stacks))


def _wx(file: _File) -> str:
    both = _PF_W | _PF_X
    loaded = (s for s in file.segments if s.p_type == "PT_LOAD")
    return _yes(any(s.p_flags & both == both for s in loaded))


def _symbols(file: _File, kind: str, *, defined: bool | None) -> tuple[str, ...]:
    """The names in a symbol table; ``defined``: of its own, of others, None: all."""
    names: dict[str, None] = {}
    budget = 4 * len(file.data)
    for _, head in file.sections:
        if head.sh_type != kind:
            continue
        if head.sh_link >= len(file.sections):
            raise MalformedError("a symbol table without its names")
        strings = file.sections[head.sh_link][1]
        if strings.sh_type != "SHT_STRTAB":
            raise MalformedError("a symbol table without its names")
        start, end = strings.sh_offset, strings.sh_offset + strings.sh_size
        for name_at, info, section in _rows(file, head):
            own = section != 0
            if not name_at or (defined is not None and (own != defined or info >> 4 == _LOCAL)):
                continue
            name = _text(file.data, start + name_at, end)
            budget -= len(name)
            if budget < 0:
                raise MalformedError("the names of the symbols overlap beyond reason")
            names[name] = None
    return tuple(names)


def _rows(file: _File, head: Any) -> Iterator[tuple[int, int, int]]:
    """Name, info and section index of each symbol; unpacked here, a hundred times as fast."""
    mark = "<" if file.header.e_ident.EI_DATA == "ELFDATA2LSB" else ">"
    wide = file.header.e_ident.EI_CLASS == "ELFCLASS64"
    layout = struct.Struct(mark + ("IBBHQQ" if wide else "IIIBBH"))
    size = head.sh_size - head.sh_size % layout.size
    table = memoryview(file.data)[head.sh_offset : head.sh_offset + size]
    for row in layout.iter_unpack(table):
        yield (row[0], row[1], row[3]) if wide else (row[0], row[3], row[5])


def _go(file: _File) -> GoBuildInfo | None:
    for name, head in file.sections:
        if name == ".go.buildinfo" and head.sh_type == "SHT_PROGBITS":
            start = head.sh_offset
            if head.sh_flags & SH_FLAGS.SHF_COMPRESSED:
                raise MalformedError("the Go build info is compressed")
            return buildinfo.in_section(file.data, start, start + head.sh_size)
    loaded = [s for s in file.segments if s.p_type == "PT_LOAD" and s.p_filesz]
    loaded.sort(key=lambda s: (not s.p_flags & _PF_W, bool(s.p_flags & _PF_X)))
    ranges = ((s.p_offset, s.p_offset + s.p_filesz, s.p_vaddr) for s in loaded[:64])
    return buildinfo.in_segments(file.data, ranges)
