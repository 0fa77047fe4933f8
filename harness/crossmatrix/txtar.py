"""Go's txtar archive format, parsed and formatted as golang.org/x/tools/txtar does it.

An archive without files is valid, and nothing is a syntax error; which names are safe to write to
a disk is decided by `check_names`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from crossmatrix.errors import InputError

# What Go's strings.TrimSpace takes away; Python's str.strip also takes \x1c to \x1f.
_GO_SPACE: Final = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_MAX_PART: Final = 200
_MAX_NAME: Final = 1000


@dataclass(frozen=True, kw_only=True)
class File:
    """One file. ``line`` is that of its marker in the archive, from 1; it is not compared."""

    name: str
    data: bytes
    line: int = 0


@dataclass(frozen=True, kw_only=True)
class Archive:
    """``comment`` is all that stands before the first marker."""

    comment: bytes = b""
    files: tuple[File, ...] = ()


def _marker(line: bytes) -> str:
    """The name on a marker line (without its newline), or the empty string."""
    if not (line.startswith(b"-- ") and line.endswith(b" --") and len(line) >= 6):
        return ""
    return line[3:-3].decode(errors="surrogateescape").strip(_GO_SPACE)


def _lines(data: bytes) -> list[bytes]:
    """The lines with their newlines; unlike `bytes.splitlines`, only at newlines."""
    lines = [line + b"\n" for line in data.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def _ended(data: bytes) -> bytes:
    return data if not data or data.endswith(b"\n") else data + b"\n"


def parse(data: bytes) -> Archive:
    """Parse an archive; a missing newline at its very end is considered to be there.

    Bytes of a name that are no UTF-8 stay as surrogate escapes; `check_names` refuses them.
    """
    sections: list[tuple[str, int, list[bytes]]] = [("", 0, [])]
    for number, line in enumerate(_lines(data), start=1):
        name = _marker(line.removesuffix(b"\n"))
        if name:
            sections.append((name, number, []))
        else:
            sections[-1][2].append(line)
    comment, *files = (
        File(name=name, data=_ended(b"".join(lines)), line=number)
        for name, number, lines in sections
    )
    return Archive(comment=comment.data, files=tuple(files))


def format(archive: Archive) -> bytes:
    """The archive as bytes; what holds no marker line and ends in a newline comes back the same."""
    parts = [_ended(archive.comment)]
    for file in archive.files:
        name = file.name.encode(errors="surrogateescape")
        parts += [b"-- " + name + b" --\n", _ended(file.data)]
    return b"".join(parts)


def holds_marker(data: bytes) -> bool:
    """Whether a part of an archive would be taken for more than one."""
    return any(_marker(line.removesuffix(b"\n")) for line in _lines(data))


def check_names(files: Iterable[File], place: Path | str) -> None:
    """Refuse names that are absolute, lead out, stand twice, or are a file and a folder at once.

    Raises `InputError` with the line of the marker.
    """
    seen: dict[str, int] = {}
    folders: dict[str, int] = {}
    for file in files:
        reason = unsafe_name(file.name)
        if file.name in seen:
            reason = f"is there twice, first on line {seen[file.name]}"
        parents = ["/".join(file.name.split("/")[:n]) for n in range(1, file.name.count("/") + 1)]
        clash = next((parent for parent in parents if parent in seen), None)
        if file.name in folders or clash is not None:
            reason = "is a file and a folder at once"
        if reason:
            shown = file.name.encode(errors="backslashreplace").decode()
            raise InputError(
                f"file name {shown!r} {reason}",
                file=place,
                line=file.line,
                hint="name each file once, by a slash-separated path below the work folder",
            )
        seen[file.name] = file.line
        folders.update(dict.fromkeys(parents, file.line))


def unsafe_name(name: str) -> str:
    """Why a name cannot be laid into a work folder, or the empty string."""
    parts = name.split("/")
    if name.startswith("/"):
        return "is absolute"
    if any(part in ("", ".", "..") for part in parts):
        return "holds an empty part, . or .."
    if "\\" in name or _CONTROL.search(name):
        return "holds a backslash or a control character"
    if any("\ud800" <= c <= "\udfff" for c in name):
        return "is no UTF-8"
    if len(name.encode()) > _MAX_NAME or any(len(part.encode()) > _MAX_PART for part in parts):
        return f"is longer than {_MAX_PART} bytes a part, {_MAX_NAME} in all"
    if name != name.strip(_GO_SPACE):
        return "starts or ends with a space"
    return ""
