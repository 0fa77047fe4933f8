"""One point of the matrix, its id, and the selectors that pick cells."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from functools import total_ordering

from crossmatrix.errors import InputError
from crossmatrix.targets import ARCHES

DEFAULT_CC = "none"
DEFAULT_BUILDMODE = "default"

_GO_VERSION = re.compile(r"(?:go)?(\d+)\.(\d+)(?:\.(\d+)|(rc|beta)(\d+))?\Z")


@total_ordering
@dataclass(frozen=True)
class GoVersion:
    """A Go version in Go's own order: ``1.21rc2`` < ``1.21`` = ``1.21.0`` < ``1.21.1``."""

    text: str

    @property
    def key(self) -> tuple[int, int, int, int, int]:
        match = _GO_VERSION.match(self.text)
        if match is None:
            raise InputError(
                f"{self.text!r} is no Go version", hint="write it as 1.27, 1.27.3 or 1.28rc1"
            )
        major, minor, patch, kind, number = match.groups()
        stage = {"beta": 0, "rc": 1, None: 2}[kind]
        return (int(major), int(minor), stage, int(number or 0), int(patch or 0))

    @property
    def minor(self) -> str:
        """The language version, such as ``1.27``."""
        return f"{self.key[0]}.{self.key[1]}"

    def __lt__(self, other: GoVersion) -> bool:
        return self.key < other.key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GoVersion) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One point of the matrix.

    ``variant`` is the level in force, always set where the architecture has one. ``go`` is the
    version as the matrix spells it (``1.27``), ``go_version`` the full one that it stands for.
    """

    goos: str
    goarch: str
    cgo: bool
    go: str
    go_version: str
    variant: str = ""
    cc: str = DEFAULT_CC
    buildmode: str = DEFAULT_BUILDMODE

    @property
    def target(self) -> str:
        """``GOOS/GOARCH[/variant]``, the default level left out."""
        parts = [self.goos, self.goarch]
        if self.variant != ARCHES[self.goarch].default:
            parts.append(self.variant)
        return "/".join(parts)

    @property
    def id(self) -> str:
        parts = [self.target.replace("/", "_"), f"cgo{int(self.cgo)}"]
        if self.cc != DEFAULT_CC:
            parts.append(self.cc)
        if self.buildmode != DEFAULT_BUILDMODE:
            parts.append(self.buildmode)
        parts.append(f"go{self.go}")
        return re.sub("[,:]", "+", "-".join(parts))

    def env(self) -> dict[str, str]:
        """The Go variables that this cell stands for, with Go's own names."""
        arch = ARCHES[self.goarch]
        env = {"GOOS": self.goos, "GOARCH": self.goarch, "CGO_ENABLED": str(int(self.cgo))}
        if arch.variable:
            env[arch.variable] = self.variant
        return env


@dataclass(frozen=True)
class Selector:
    """``linux/*``, ``cgo1``, ``!*/wasm``: a glob over a cell's target or over a part of its id."""

    text: str

    def matches(self, cell: Cell) -> bool:
        pattern = self.text.removeprefix("!")
        names = (
            (cell.target, f"{cell.goos}/{cell.goarch}") if "/" in pattern else cell.id.split("-")
        )
        if pattern == cell.id:
            names = (cell.id,)
        return any(fnmatch.fnmatchcase(name, pattern) for name in names)

    @property
    def negative(self) -> bool:
        return self.text.startswith("!")


def select(cells: tuple[Cell, ...], selectors: tuple[Selector, ...]) -> tuple[Cell, ...]:
    """The cells that match any positive selector (or all, where there is none) and no negative one."""
    wanted = [s for s in selectors if not s.negative]
    refused = [s for s in selectors if s.negative]
    return tuple(
        cell
        for cell in cells
        if (not wanted or any(s.matches(cell) for s in wanted))
        and not any(s.matches(cell) for s in refused)
    )
