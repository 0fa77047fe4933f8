"""Facts of an artifact against what its plan asked for -> mismatches. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from crossmatrix import binary
from crossmatrix.case import FactWanted
from crossmatrix.cell import DEFAULT_BUILDMODE, GoVersion
from crossmatrix.errors import InputError
from crossmatrix.observation import BinaryFacts
from crossmatrix.targets import Target, target

_PROGRAM: Final = (DEFAULT_BUILDMODE, "exe")
_ARCHIVES: Final = ("archive", "c-archive")
_LIBRARIES: Final = ("c-shared", "plugin", "shared")
_VERSIONED: Final = ("glibc", "go.version", "minos", "os_version", "size")
_SHOWN: Final = 12


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a plan effectively asks of its artifact; None: that is not checked.

    ``variant`` is the level's text, ``go_version`` with or without ``go`` before it, ``buildmode``
    Go's own name. ``facts`` are the case's own wishes, each instead of the automatic check of that
    fact; ``no_auto`` switches the automatic checks off.
    """

    goos: str | None
    goarch: str | None
    go_version: str
    variant: str | None = None
    cgo: bool | None = None
    buildmode: str = DEFAULT_BUILDMODE
    facts: tuple[FactWanted, ...] = ()
    no_auto: bool = False


@dataclass(frozen=True, kw_only=True)
class Mismatch:
    """One fact that is not as wanted; its text is the line of the inspect stage."""

    fact: str
    want: str
    got: str

    def __str__(self) -> str:
        return f"{self.fact}: want {_printable(self.want)}, got {_printable(self.got)}"


def lists(wanted: Wanted) -> frozenset[str]:
    """Which of the costly facts `binary.read` is to read for these wishes."""
    return frozenset(binary.LISTS) & {fact.fact for fact in wanted.facts}


def compare(facts: BinaryFacts, wanted: Wanted) -> tuple[Mismatch, ...]:
    """Every fact that is not as wanted: the automatic checks, then the case's own."""
    named = {fact.fact for fact in wanted.facts}
    found = [] if wanted.no_auto else list(_automatic(facts, wanted))
    kept = (m for m in found if m.fact not in named and not ("go" in named and m.fact[:3] == "go."))
    own = (m for fact in wanted.facts if (m := _asked(facts, fact)) is not None)
    return (*kept, *own)


def _automatic(facts: BinaryFacts, wanted: Wanted) -> Iterator[Mismatch]:
    row = target(wanted.goos or "", wanted.goarch or "")
    if row is not None:
        yield from _machine(facts, row, wanted.buildmode)
    if facts.format == "elf":
        yield from _shape(facts, wanted)
        if row is not None:
            yield from _linkage(facts, row, wanted)
            yield from _interpreter(facts, row)
    elif facts.format == "wasm":
        yield from _shape(facts, wanted)
    yield from _go(facts, wanted, row)


def _differ(facts: BinaryFacts, fact: str, *wants: str) -> Iterator[Mismatch]:
    """A mismatch where a fact that was read is none of what may be; the first is the usual one."""
    got = binary.value(facts, fact)
    if got is not None and got not in wants:
        yield Mismatch(fact=fact, want=wants[0], got=_shown(got))


def _machine(facts: BinaryFacts, row: Target, buildmode: str) -> Iterator[Mismatch]:
    yield from _differ(facts, "format", "archive" if buildmode in _ARCHIVES else row.format)
    yield from _differ(facts, "machine", row.arch.goarch)
    yield from _differ(facts, "class", str(row.arch.bits))
    yield from _differ(facts, "byteorder", row.arch.byteorder)


def _shape(facts: BinaryFacts, wanted: Wanted) -> Iterator[Mismatch]:
    """The type against the build mode; android's default is pie (internal/platform DefaultPIE)."""
    mode = wanted.buildmode
    if mode in _LIBRARIES:
        yield from _differ(facts, "type", "dyn")
    elif facts.format == "wasm" and mode in _PROGRAM:
        yield from _differ(facts, "type", "exe")
    elif mode == "pie" or (mode == DEFAULT_BUILDMODE and wanted.goos in ("android", "ios")):
        yield from _differ(facts, "type", "pie", "static-pie")
    elif mode in _PROGRAM:
        yield from _differ(facts, "type", "exe")


def _linkage(facts: BinaryFacts, row: Target, wanted: Wanted) -> Iterator[Mismatch]:
    """Without cgo, what the OS's contract says; with it, that is the C compiler's choice.

    A pie is left out: without cgo it names an interpreter and needs no library, which is what Go
    means by it, and a trap only where that interpreter is missing.
    """
    if wanted.cgo is False and wanted.buildmode in _PROGRAM:
        yield from _differ(facts, "linkage", "static" if row.static else "dynamic")


def _interpreter(facts: BinaryFacts, row: Target) -> Iterator[Mismatch]:
    if not row.interpreters:
        return
    if facts.interpreter != "absent":
        yield from _differ(facts, "interpreter", *row.interpreters)
    elif facts.needed and facts.type in ("exe", "pie", "static-pie"):
        yield Mismatch(fact="interpreter", want=row.interpreters[0], got="absent")


def _go(facts: BinaryFacts, wanted: Wanted, row: Target | None) -> Iterator[Mismatch]:
    """The Go build info of formats in which it is read, as far as that Go records it."""
    if facts.format not in binary.READ:
        return
    if facts.go is None:
        yield Mismatch(fact="go", want="present", got="absent")
        return
    if facts.go.version and _key("go.version", facts.go.version) != _key(
        "go.version", wanted.go_version
    ):
        version = f"go{wanted.go_version.removeprefix('go')}"
        yield Mismatch(fact="go.version", want=version, got=facts.go.version)
    if wanted.goos:
        yield from _differ(facts, "go.GOOS", wanted.goos)
    if wanted.goarch:
        yield from _differ(facts, "go.GOARCH", wanted.goarch)
    if wanted.cgo is not None:
        yield from _differ(facts, "go.CGO_ENABLED", str(int(wanted.cgo)))
    if row is not None and wanted.variant and _records_level(row, wanted.go_version):
        yield from _differ(facts, f"go.{row.arch.variable}", wanted.variant)


def _records_level(row: Target, go_version: str) -> bool:
    arch = row.arch
    return bool(arch.variable) and GoVersion(go_version) >= GoVersion(f"{arch.since}beta1")


def _asked(facts: BinaryFacts, wish: FactWanted) -> Mismatch | None:
    """What a case says of one fact, by its operator."""
    got = binary.value(facts, wish.fact)
    if got is None and facts.format not in binary.READ:
        return Mismatch(fact=wish.fact, want=_wish(wish), got=f"not read from {facts.format} yet")
    seen = "absent" if got is None or got == () else got
    if _holds(wish, seen):
        return None
    if wish.operator == "lacks" and isinstance(seen, tuple):
        seen = tuple(value for value in seen if value in wish.values)
    return Mismatch(fact=wish.fact, want=_wish(wish), got=_shown(seen))


def _holds(wish: FactWanted, seen: str | tuple[str, ...]) -> bool:
    absent = seen == "absent"
    if wish.operator == "absent":
        return absent
    if wish.operator == "is":
        if absent and not wish.values:
            return True
        if isinstance(seen, tuple):
            return set(seen) == set(wish.values)
        return any(_key(wish.fact, seen) == _key(wish.fact, value) for value in wish.values)
    if wish.operator == "has":
        return not absent and all(value in seen for value in wish.values)
    if wish.operator == "lacks":
        return absent or not any(value in seen for value in wish.values)
    if isinstance(seen, tuple):
        return False
    if absent:
        return wish.operator == "max"
    mine, bound = _number(wish.fact, seen), [_number(wish.fact, value) for value in wish.values]
    if wish.operator == "max":
        return all(mine <= limit for limit in bound)
    return all(mine >= limit for limit in bound)


def _key(fact: str, text: str) -> object:
    """What two values of a fact are compared by: a version by its numbers, else the text."""
    return _number(fact, text) if fact in _VERSIONED and re.search("[0-9]", text) else text


def _number(fact: str, text: str) -> tuple[int, ...]:
    if fact == "go.version":
        try:
            return GoVersion(text.split()[0]).key
        except (InputError, IndexError):
            pass
    # Numbers of any length come from a file: cut, so that none costs more than it should.
    found = [int(n[:18]) for n in re.findall("[0-9]+", text[:200])]
    while found and not found[-1]:
        found.pop()
    return tuple(found)


def _wish(wish: FactWanted) -> str:
    text = ", ".join(wish.values)
    if wish.operator == "is":
        return text or "absent"
    return f"{wish.operator} {text}".rstrip()


def _shown(value: str | tuple[str, ...]) -> str:
    if isinstance(value, str):
        return value
    more = f", … ({len(value)} in all)" if len(value) > _SHOWN else ""
    return ", ".join(value[:_SHOWN]) + more or "absent"


def _printable(text: str) -> str:
    """Text from a file cannot begin a line of its own, nor speak to a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
