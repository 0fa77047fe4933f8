"""Bytes -> facts: what a file says about itself, read once into a plain record."""

from __future__ import annotations

import hashlib
import re
import stat
from collections.abc import Container
from dataclasses import replace
from pathlib import Path
from typing import Final

from crossmatrix.binary import elf, magic, wasm
from crossmatrix.errors import InputError
from crossmatrix.observation import BinaryFacts, GoBuildInfo

LISTS: Final = ("exports", "imports", "symbols", "sections", "sha256")
FACT_NAMES: Final = (
    "format", "machine", "class", "byteorder", "type", "osabi", "flags", "linkage", "interpreter",
    "needed", "glibc", "stripped", "dwarf", "relro", "nx", "wx", "exports", "imports", "symbols",
    "sections", "custom_sections", "minos", "subsystem", "os_version", "signature", "go", "size",
    "sha256",
)  # fmt: skip
READ: Final = ("elf", "wasm")

_GO_FACT: Final = re.compile(r"go\.[A-Za-z0-9_.:/-]+")
_LARGEST: Final = 1 << 30


def known(name: str) -> bool:
    """Whether a fact is in the vocabulary."""
    return name in FACT_NAMES or _GO_FACT.fullmatch(name) is not None


def read(source: Path | bytes, *, name: str = "", want: Container[str] = ()) -> BinaryFacts:
    """The facts of a file. ``want`` names those of `LISTS` that cost more and are to be read too.

    Raises `InputError`, with ``name`` or the path, where the file cannot be read or breaks the
    rules of its format.
    """
    where = name or (str(source) if isinstance(source, Path) else "artifact")
    data = source if isinstance(source, bytes) else _content(source, where)
    try:
        facts = _facts(data, want)
    except magic.MalformedError as error:
        raise InputError(
            f"malformed: {error}",
            file=where,
            hint="the file is damaged or cut short: build it again",
        ) from error
    if facts is None:
        begin = f"begins with {data[:8].hex(' ')}" if data else "is empty"
        raise InputError(
            f"no program of a known format: {begin}",
            file=where,
            hint="known are ELF, PE, Mach-O, wasm, XCOFF, Plan 9's a.out and ar archives",
        )
    return replace(
        facts,
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest() if "sha256" in want else None,
    )


def _content(path: Path, where: str) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise InputError("no regular file", file=where, hint="name a built program")
        if status.st_size > _LARGEST:
            raise InputError("larger than 1 GiB", file=where, hint="name a built program")
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror}", file=where, hint="name a built program"
        ) from error


def _facts(data: bytes, want: Container[str]) -> BinaryFacts | None:
    if data.startswith(magic.ELF):
        return elf.read(data, want)
    if data.startswith(magic.WASM):
        return wasm.read(data)
    if data.startswith(magic.AR):
        return _archive(data)
    return magic.head(data)


def _archive(data: bytes) -> BinaryFacts:
    """An archive is what its first object is; one that holds none has no machine."""
    for start, end in magic.members(data):
        member = data[start:end]
        facts = elf.read(member) if member.startswith(magic.ELF) else None
        facts = facts or magic.go_object(member) or magic.head(member)
        if facts is not None:
            return BinaryFacts(
                format="archive", machine=facts.machine, bits=facts.bits, byteorder=facts.byteorder
            )
    return BinaryFacts(format="archive")


def value(facts: BinaryFacts, name: str) -> str | tuple[str, ...] | None:
    """A fact by its name in the vocabulary.

    None where the format does not have it or it was not read; ``absent`` where it could be there.
    """
    if name == "class":
        return facts.bits
    if name == "size":
        return None if facts.size is None else str(facts.size)
    if name == "go" or name.startswith("go."):
        return _go_value(facts, name.removeprefix("go").removeprefix("."))
    found: str | tuple[str, ...] | None = getattr(facts, name)
    return found


def _go_value(facts: BinaryFacts, key: str) -> str | None:
    info: GoBuildInfo | None = facts.go
    if info is None:
        return "absent" if facts.format in READ else None
    if not key:
        return "present"
    if key in ("version", "path", "module"):
        return str(getattr(info, key)) or "absent"
    found = info.setting(key)
    return "absent" if found is None else found
