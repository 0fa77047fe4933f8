"""What Go writes into its programs about itself: version, main package, module, settings.

Sources: debug/buildinfo and runtime/debug (ParseBuildInfo), cmd/link/internal/ld (buildinfo),
cmd/go/internal/modload (the markers). The inline form of Go 1.18 and later is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from crossmatrix.binary.magic import MalformedError
from crossmatrix.observation import GoBuildInfo

MAGIC: Final = b"\xff Go buildinf:"
START: Final = bytes.fromhex("3077af0c9274080241e1c107e6d618e6")
END: Final = bytes.fromhex("f932433186182072008242104116d8f2")

_ALIGN: Final = 16
_HEADER: Final = 32
_INLINE: Final = 2
_TEXT_LIMIT: Final = 16 << 20
_QUOTED: Final = re.compile(r'"(?:[^"\\\n]|\\.)*"|`[^`\n]*`')
_ESCAPE: Final = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|([0-7]{3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))"
)
_SIMPLE: Final = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", '"': '"', "'": "'",
}  # fmt: skip


def in_section(data: bytes, start: int, end: int) -> GoBuildInfo | None:
    """The build info of a section of its own; None where the section holds none."""
    found = data.find(MAGIC, start, end)
    if found < 0:
        return None
    info = _inline(data, found, end)
    if info is None:
        raise MalformedError("the Go build info is cut short or of a form before Go 1.18")
    return info


def in_segments(data: bytes, ranges: Iterable[tuple[int, int, int]]) -> GoBuildInfo | None:
    """The build info in loaded data, each range an (offset, end, address).

    A program that reads build info holds the magic too: a place counts where a whole info follows.
    """
    for start, end, address in ranges:
        position = data.find(MAGIC, start, end)
        while position >= 0:
            if (position - start + address) % _ALIGN == 0:
                info = _inline(data, position, end)
                if info is not None:
                    return info
            position = data.find(MAGIC, position + 1, end)
    return None


def framed(data: bytes, start: int, end: int) -> bytes | None:
    """The module text between its two markers in a range, or None."""
    begin = data.find(START, start, end)
    if begin < 0:
        return None
    begin += len(START)
    stop = data.find(END, begin, min(end, begin + _TEXT_LIMIT))
    return data[begin:stop] if stop >= 0 else None


def _inline(data: bytes, position: int, end: int) -> GoBuildInfo | None:
    head = data[position : min(position + _HEADER, end)]
    if len(head) < _HEADER or not head[len(MAGIC) + 1] & _INLINE:
        return None
    version, after = _string(data, position + _HEADER, end)
    framed_text, _ = _string(data, after, end)
    if not version or framed_text is None:
        return None
    has_module = len(framed_text) >= 33 and framed_text[-17:-16] == b"\n"
    return parse(_decoded(version), framed_text[16:-16] if has_module else b"")


def _string(data: bytes, position: int, end: int) -> tuple[bytes | None, int]:
    """A string behind its length, a varint, and where the next one begins; None: cut short."""
    length = shift = 0
    for index in range(position, min(position + 10, end)):
        length |= (data[index] & 0x7F) << shift
        shift += 7
        if data[index] < 0x80:
            start = index + 1
            if length > min(end - start, _TEXT_LIMIT):
                return None, end
            return data[start : start + length], start + length
    return None, end


def parse(version: str, text: bytes) -> GoBuildInfo:
    """The module text, as ``go version -m`` prints it without its tabs.

    ``version`` may carry the experiments of its build (``go1.27.3 X:nodwarf5``).
    """
    path = module = ""
    settings: list[tuple[str, str]] = []
    for line in _decoded(text).split("\n"):
        kind, _, rest = line.partition("\t")
        if kind == "path":
            path = rest
        elif kind == "mod":
            module = rest.partition("\t")[0]
        elif kind == "build":
            settings.append(_setting(rest))
    return GoBuildInfo(version=version, path=path, module=module, settings=tuple(settings))


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "backslashreplace")


def _setting(text: str) -> tuple[str, str]:
    quoted = _QUOTED.match(text)
    if quoted:
        key, mark, value = _unquoted(quoted[0]), text[quoted.end() :][:1], text[quoted.end() + 1 :]
    else:
        key, mark, value = text.partition("=")
    if not key or mark != "=":
        raise MalformedError(f"a Go build setting without its key: {text[:60]!r}")
    if value[:1] in ('"', "`"):
        whole = _QUOTED.fullmatch(value)
        if whole is None:
            raise MalformedError(f"the Go build setting {key} ends inside its quotes")
        value = _unquoted(value)
    return key, value


def _unquoted(text: str) -> str:
    """A Go string literal's value."""
    if text.startswith("`"):
        return text[1:-1]

    def char(match: re.Match[str]) -> str:
        byte, octal, short, long, simple = match.groups()
        if byte or octal:
            return chr(int(byte, 16) if byte else int(octal, 8) & 0xFF)
        if short or long:
            number = int(short or long, 16)
            return chr(number) if number < 0x110000 else "\ufffd"
        return _SIMPLE.get(simple, simple)

    return _ESCAPE.sub(char, text[1:-1])
