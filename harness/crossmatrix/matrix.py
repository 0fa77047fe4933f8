"""matrix.yaml -> cells. Pure: what each Go knows comes in as `PortInfo` records.

A preset is a list of groups; a group is the product of its axes, and takes those that it does not
name from ``axes``. CGO_ENABLED=0 exists with cc ``none`` only.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

from pydantic import TypeAdapter

from crossmatrix import matrixschema as schema
from crossmatrix import strict_yaml as yaml
from crossmatrix.case import Condition, HostPort
from crossmatrix.cell import DEFAULT_CC, Cell, GoVersion, PortInfo, Selector, select
from crossmatrix.errors import InputError
from crossmatrix.matrixschema import TargetName
from crossmatrix.targets import ARCHES, TARGETS, zig_triple


@dataclass(frozen=True, kw_only=True)
class Group:
    """One product of axes. ``line`` is that of each target in the file, in their order."""

    targets: tuple[TargetName, ...]
    cgo: tuple[bool, ...]
    go: tuple[str, ...]
    cc: tuple[str, ...]
    buildmode: tuple[str, ...]
    lines: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A named choice of cells: the union of its groups."""

    name: str
    what: str
    groups: tuple[Group, ...]


@dataclass(frozen=True, kw_only=True)
class Exclude:
    """Cells that are not to be; every one that is dropped is counted with the reason."""

    when: Condition
    reason: str


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """A matrix.yaml, checked as far as that goes without any Go."""

    path: Path
    presets: Mapping[str, Preset]
    exclude: tuple[Exclude, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The chosen cells, sorted, and how many were dropped for which reason."""

    cells: tuple[Cell, ...]
    dropped: tuple[tuple[str, int], ...] = ()


@cache
def adapter() -> TypeAdapter[schema.MatrixFile]:
    """The validator of the file; built once, at its first use."""
    return TypeAdapter(schema.MatrixFile)


def read(path: Path) -> Matrix:
    """Read a matrix.yaml. Raises `InputError` with file and line for whatever is wrong with it."""
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError:
        raise InputError("the file is no UTF-8", file=path, hint="save it as UTF-8") from None
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror}", file=path, hint="name a matrix.yaml"
        ) from None
    return parse(text, path)


def parse(text: str, path: Path) -> Matrix:
    """The text of a matrix.yaml as a matrix; ``path`` is for the errors."""
    node = yaml.load(text, path)
    file = yaml.validate(node, adapter(), path)
    presets = {
        name: Preset(
            name=name,
            what=preset.what,
            groups=tuple(
                _group(group, file.axes, node, ("presets", name, "cells", number), path)
                for number, group in enumerate(preset.cells)
            ),
        )
        for name, preset in file.presets.items()
    }
    exclude = tuple(
        Exclude(
            when=item.when.condition(yaml.line_of(node, ("exclude", number, "when"))),
            reason=item.reason,
        )
        for number, item in enumerate(file.exclude)
    )
    return Matrix(path=path, presets=presets, exclude=exclude)


def _group(
    group: schema.GroupHead,
    axes: schema.AxesHead,
    node: yaml.Node,
    place: tuple[str | int, ...],
    file: Path,
) -> Group:
    where = ("axes", "targets") if group.targets is None else (*place, "targets")
    targets = group.targets or axes.targets
    if "1" not in (group.CGO_ENABLED or axes.CGO_ENABLED) and "none" not in (group.cc or axes.cc):
        raise InputError(
            "CGO_ENABLED=0 goes with cc none only, so this group is empty",
            file=file,
            line=yaml.line_of(node, place),
            hint="set CGO_ENABLED: 1, or leave cc out",
        )
    return Group(
        targets=targets,
        cgo=tuple(value == "1" for value in group.CGO_ENABLED or axes.CGO_ENABLED),
        go=group.go or axes.go,
        cc=group.cc or axes.cc,
        buildmode=group.buildmode or axes.buildmode,
        lines=tuple(yaml.line_of(node, (*where, n)) for n in range(len(targets))),
    )


def preset(matrix: Matrix, name: str) -> Preset:
    """A preset by its name; raises `InputError` that names the nearest."""
    if name not in matrix.presets:
        raise InputError(
            f"no preset {name!r}", file=matrix.path, hint=yaml.nearest(name, matrix.presets)
        )
    return matrix.presets[name]


def go_versions(matrix: Matrix, name: str, go: Iterable[str] | None = None) -> tuple[str, ...]:
    """The Go versions that a preset may need, as it spells them, oldest first.

    ``go`` narrows them to those of the same minor version; which patch is meant, `cells` decides.
    """
    spelled = {version for group in preset(matrix, name).groups for version in group.go}
    minors = {GoVersion(text).minor for text in go or ()}
    chosen = [version for version in spelled if not minors or GoVersion(version).minor in minors]
    return tuple(sorted(chosen, key=lambda version: (GoVersion(version).key, version)))


def _asked(label: str, full: str, asked: tuple[str, ...]) -> bool:
    keys = [GoVersion(text).key for text in asked]
    return label in asked or GoVersion(full).key in keys


def cells(
    matrix: Matrix,
    name: str,
    ports: Mapping[str, tuple[PortInfo, ...]],
    versions: Mapping[str, str],
    selectors: tuple[Selector, ...] = (),
    go: tuple[str, ...] | None = None,
) -> Selection:
    """The cells of a preset.

    ``ports`` maps full Go versions to what they know, ``versions`` the matrix's spellings to full
    ones; ``go`` narrows the Go versions. A port that some Go does not know is dropped there and
    counted; one that none of them knows raises `InputError` with the nearest. The result may be
    empty.
    """
    found: dict[Cell, None] = {}
    dropped: Counter[str] = Counter()
    seen: set[Cell] = set()
    for group in preset(matrix, name).groups:
        _check_known(matrix, group, ports, versions)
        for cell in _product(group, versions, go or ()):
            if cell in seen:
                continue
            seen.add(cell)
            reason = _reason(cell, ports, matrix.exclude)
            if reason is None:
                found[cell] = None
            elif select((cell,), selectors):
                dropped[reason] += 1
    chosen = sorted(select(tuple(found), selectors), key=_order)
    return Selection(cells=tuple(chosen), dropped=tuple(sorted(dropped.items())))


def _order(cell: Cell) -> tuple[object, ...]:
    return (cell.target, cell.cgo, cell.cc, cell.buildmode, GoVersion(cell.go_version).key, cell.go)


def _product(group: Group, versions: Mapping[str, str], go: tuple[str, ...]) -> Iterator[Cell]:
    axes = product(group.targets, group.cgo, group.cc, group.buildmode, group.go)
    for target, cgo, cc, buildmode, label in axes:
        full = versions.get(label, label)
        if (go and not _asked(label, full, go)) or (not cgo and cc != DEFAULT_CC):
            continue
        yield Cell(
            goos=target.goos,
            goarch=target.goarch,
            variant=target.variant,
            cgo=cgo,
            cc=cc,
            buildmode=buildmode,
            go=label,
            go_version=full,
        )


def _check_known(
    matrix: Matrix,
    group: Group,
    ports: Mapping[str, tuple[PortInfo, ...]],
    versions: Mapping[str, str],
) -> None:
    """Refuse a target that no Go of its group knows; a Go that is not at hand may know any."""
    chosen = [ports.get(versions.get(label, label)) for label in group.go]
    known = {port.name for infos in chosen for port in infos or ()}
    if None in chosen:
        known |= set(TARGETS)
    for target, line in zip(group.targets, group.lines, strict=True):
        if target.port not in known:
            raise InputError(
                f"{target.port} is no target of Go {', '.join(group.go)}",
                file=matrix.path,
                line=line,
                hint=schema.nearest_port(target.port, known),
            )


# The levels that are younger than their variable; sources: the release notes of 1.22 and 1.25.
_YOUNG_LEVELS = (
    ("GOARM", re.compile(".*,.*"), "1.22"),
    ("GORISCV64", re.compile("rva23u64"), "1.25"),
)


def _reason(
    cell: Cell, ports: Mapping[str, tuple[PortInfo, ...]], exclude: tuple[Exclude, ...]
) -> str | None:
    """Why a cell is not to be, or None."""
    port = f"{cell.goos}/{cell.goarch}"
    known = ports.get(cell.go_version)
    if known is not None and port not in {info.name for info in known}:
        return f"go{cell.go} does not know {port}"
    arch = ARCHES[cell.goarch]
    sinces = [arch.since] if cell.variant != arch.default else []
    sinces += [
        since
        for variable, shape, since in _YOUNG_LEVELS
        if variable == arch.variable and shape.fullmatch(cell.variant)
    ]
    if any(GoVersion(cell.go_version) < GoVersion(since) for since in sinces):
        return f"go{cell.go} does not know {arch.variable}={cell.variant}"
    supported = {info.name for info in known or () if info.cgo_supported}
    if cell.cgo and cell.cc != DEFAULT_CC and known is not None and port not in supported:
        return f"go{cell.go} has no cgo on {port}"
    if cell.cc.partition(":")[0] == "zig" and zig_triple(cell.goos, cell.goarch) is None:
        return f"zig does not compile C for {port}"
    host = HostPort(goos="", goarch="")
    return next((item.reason for item in exclude if item.when.holds(cell, host)), None)
