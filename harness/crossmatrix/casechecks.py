"""What a case must be as a whole: its keys together, its files, its traps over all cells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from typing import Final

from crossmatrix import strict_yaml as yaml
from crossmatrix import txtar
from crossmatrix.case import Case, Condition, HostPort, Overlay, merge
from crossmatrix.cell import Cell, GoVersion
from crossmatrix.errors import InputError
from crossmatrix.targets import ARCHES, TARGETS

REMEDY_FOLDER: Final = "remedy/"
GO_VERSIONS: Final = ("1.21", "1.22", "1.23", "1.24", "1.25", "1.26", "1.27")

Fault = tuple[int, str, str]


def faults(case: Case, node: yaml.Node) -> Iterator[Fault]:
    """What no single value of a head shows: line, what is wrong, the way out."""

    def at(key: str) -> int:
        return yaml.line_of(node, (key,))

    if case.traps:
        wanted: dict[str, tuple[object, str]] = {
            "why": (case.why, "tell the mechanism in two to six lines"),
            "refs": (case.refs, "give a public source, or 'found here: …'"),
            "cells": ("cells" in case.head, "name the cells in which the case is collected"),
            "remedy": (case.remedies, "give one, or {none: why}"),
        }
        for key, (value, way) in wanted.items():
            if not value:
                yield at("traps"), f"a case with traps needs {key}", way
    elif case.remedies:
        yield at("remedy"), "a remedy without a trap", "add the trap that it opens"
    yield from _condition_faults(case)
    yield from _list_faults(node, "expect")
    yield from _list_faults(node, "remedy")
    yield from _remedy_faults(case)
    yield from _overlay_faults(case)
    yield from _steps_faults(case)


def _condition_faults(case: Case) -> Iterator[Fault]:
    if any(key == "each" for key, _ in case.cells.keys):
        yield case.cells.line, "cells cannot choose variants", "put each into a when"
    for when in _whens(case):
        for value in (v for key, match in when.keys if key == "each" for v in match.values):
            if int(value) > len(case.each):
                yield (
                    when.line,
                    f"each: {value}, but the case has {len(case.each)} variants",
                    "variants count from 1",
                )


def _whens(case: Case) -> tuple[Condition, ...]:
    owners = [t.when for t in case.traps] + [e.when for e in case.expect]
    return (*owners, *(remedy.when for remedy in case.remedies))


def _list_faults(node: yaml.Node, key: str) -> Iterator[Fault]:
    found = node.get(key) if isinstance(node, yaml.Table) else None
    if isinstance(found, yaml.Table) and found.get("when") is not None:
        yield (
            found.key_line("when"),
            f"{key}.when in a single mapping",
            f"write {key} as a list of mappings, each with its when",
        )
    if isinstance(found, yaml.Sequence):
        if not found.items:
            yield found.line, f"{key}: an empty list", "leave the key out"
        for item in found.items:
            if isinstance(item, yaml.Table) and item.get("when") is None:
                yield item.line, f"{key}: an entry of the list without when", "say where it holds"


def _remedy_faults(case: Case) -> Iterator[Fault]:
    for remedy in case.remedies:
        overlay = remedy.overlay
        bare = replace(
            overlay, build=replace(overlay.build, line=0), run=replace(overlay.run, line=0)
        )
        if bool(remedy.what) is bool(remedy.none):
            yield remedy.line, "a remedy needs either what or none", "say what is to be done"
        elif remedy.none and bare != Overlay():
            yield remedy.line, "a remedy that is none changes something", "give what, not none"
        elif remedy.what and bare == Overlay() and case.files and not case.remedy_files:
            yield (
                remedy.line,
                "a remedy that changes nothing",
                "give it build, run, remove, or files under remedy/",
            )


def _overlays(case: Case) -> tuple[Overlay, ...]:
    return (case.base, *case.each, *(remedy.overlay for remedy in case.remedies))


def _overlay_faults(case: Case) -> Iterator[Fault]:
    for overlay in _overlays(case):
        for part in (overlay.build, overlay.run):
            both = [name for name, _ in part.env if name in part.unset]
            if both:
                yield part.line, f"{both[0]} is both in env and in unset", "keep one of them"
        missing = [name for name in overlay.remove if case.files and name not in case.files]
        if missing:
            line = overlay.build.line or overlay.run.line or 1
            yield line, f"remove: the case has no file {missing[0]!r}", "name a file of the case"


def _steps_faults(case: Case) -> Iterator[Fault]:
    for number, overlay in enumerate(_overlays(case)):
        build = overlay.build if number == 0 else merge(case.base, overlay).build
        said = [key for key in ("package", "args", "buildmode") if getattr(overlay.build, key)]
        if build.steps is not None and said:
            yield (
                overlay.build.line,
                f"build.{said[0]} beside build.steps",
                "steps replace go build: write it into the step",
            )


def check_program(case: Case, node: yaml.Node, archive: txtar.Archive) -> None:
    """Refuse files and a head that do not fit together; raises `InputError`."""

    def refuse(line: int, what: str, hint: str) -> None:
        raise InputError(what, file=case.path, line=line or None, hint=hint)

    if not case.files and case.base.build.steps is None:
        refuse(node.line, "a case without files", "write the program after the head: -- main.go --")
    remedy = [file for file in archive.files if file.name.startswith(REMEDY_FOLDER)]
    if remedy and not any(remedy.what for remedy in case.remedies):
        refuse(
            remedy[0].line,
            "a remedy folder without its prose",
            "add remedy: {what: …} to the head",
        )
    kept = set(case.files) - {name for r in case.remedies for name in r.overlay.remove}
    for file in remedy:
        name = file.name.removeprefix(REMEDY_FOLDER)
        parents = (name.rsplit("/", n)[0] for n in range(1, name.count("/") + 1))
        below = any(other.startswith(f"{name}/") for other in kept)
        if below or any(parent in kept for parent in parents):
            refuse(file.line, f"{name!r} is a file and a folder at once", "remove the one first")


@cache
def universe(versions: tuple[str, ...] = GO_VERSIONS) -> tuple[Cell, ...]:
    """Every port with and without cgo, at its default level, for each Go version."""
    return tuple(
        Cell(
            goos=row.goos,
            goarch=row.arch.goarch,
            cgo=cgo,
            go=version,
            go_version=version,
            variant=row.arch.default,
        )
        for row in TARGETS.values()
        for cgo in (False, True)
        for version in versions
    )


def check(case: Case, cells: Iterable[Cell], host: HostPort) -> None:
    """Refuse two traps that match one cell, a trap that matches none, a closing cell unremedied.

    ``cells`` is what a matrix could hold; the levels, C compilers, build modes and patch versions
    that the case itself names are tried beside them. Raises `InputError` with the trap's line.
    """
    variants = range(1, len(case.each) + 1) if case.each else (None,)
    closing: set[int] = set()
    for cell in _widened(case, tuple(cells)) if case.traps else ():
        if not case.cells.holds(cell, host):
            continue
        for each in variants:
            found = [n for n, t in enumerate(case.traps) if t.when.holds(cell, host, each)]
            closing.update(found)
            if found:
                _check_closing(case, found, f"{cell.id}{f'~{each}' if each else ''}")
                _check_remedy(case, cell, host, each)
    for number, trap in enumerate(case.traps):
        if number not in closing:
            raise InputError(
                "the trap matches no cell that the case is collected in",
                file=case.path,
                line=trap.line or None,
                hint="compare its when with cells",
            )


def _check_closing(case: Case, found: list[int], name: str) -> None:
    if len(found) > 1:
        first, second = (case.traps[number] for number in found[:2])
        raise InputError(
            f"two traps match {name}, the other on line {first.line}",
            file=case.path,
            line=second.line or None,
            hint="narrow one when until no cell is in both",
        )


def _check_remedy(case: Case, cell: Cell, host: HostPort, each: int | None) -> None:
    held = [remedy for remedy in case.remedies if remedy.when.holds(cell, host, each)]
    if len(held) != 1:
        name = f"{cell.id}{f'~{each}' if each else ''}"
        raise InputError(
            f"{'two remedies' if held else 'no remedy'} for {name}, where a trap closes",
            file=case.path,
            line=(held or list(case.remedies))[-1].line or None,
            hint="one when of the remedies must hold there; {when: …, none: why} is one too",
        )


def _widened(case: Case, cells: tuple[Cell, ...]) -> Iterator[Cell]:
    """The cells, and those beside them that the case's own conditions can tell apart."""
    whens = (case.cells, *_whens(case))
    ccs = [cc for cc in _named(whens, "cc") if cc != "none"]
    modes = [mode for mode in _named(whens, "buildmode") if mode != "default"]
    known = {cell.go_version for cell in cells}
    minors = {GoVersion(version).minor for version in known}
    patches = [
        version
        for version in (*_named(whens, "since"), *_named(whens, "until"))
        if version not in known and GoVersion(version).minor in minors
    ]
    first = cells[0].go_version if cells else ""
    for cell in cells:
        levels = dict.fromkeys((cell.variant, *_named(whens, ARCHES[cell.goarch].variable)))
        versions = (first, *patches) if cell.go_version == first else (cell.go_version,)
        for version in versions:
            for level in levels:
                for cc in ("none", *ccs) if cell.cgo else ("none",):
                    for mode in ("default", *modes):
                        yield replace(
                            cell,
                            go=cell.go if version == cell.go_version else version,
                            go_version=version,
                            variant=level,
                            cc=cc,
                            buildmode=mode,
                        )


def _named(whens: Iterable[Condition], key: str) -> tuple[str, ...]:
    values = (v for when in whens for k, match in when.keys if k == key for v in match.values)
    return tuple(dict.fromkeys(values))
