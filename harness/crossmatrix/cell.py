"""One point of the matrix, its id, and the selectors that pick cells."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from functools import lru_cache, total_ordering

from crossmatrix.errors import InputError
from crossmatrix.targets import ARCHES

DEFAULT_CC = "none"
DEFAULT_BUILDMODE = "default"

_GO_VERSION = re.compile(
    r"(?:go)?([0-9]{1,4})\.([0-9]{1,4})(?:\.([0-9]{1,4})|(rc|beta)([0-9]{1,4}))?\Z"
)
_UNSAFE_IN_ID = re.compile("[^A-Za-z0-9_.-]")


@lru_cache(maxsize=1024)
def _version_key(text: str) -> tuple[int, int, int, int, int]:
    match = _GO_VERSION.match(text)
    if match is None:
        raise InputError(f"{text!r} is no Go version", hint="write it as 1.27, 1.27.3 or 1.28rc1")
    major, minor, patch, kind, number = match.groups()
    stage = {"beta": 0, "rc": 1, None: 2}[kind]
    return (int(major), int(minor), stage, int(number or 0), int(patch or 0))


@total_ordering
@dataclass(frozen=True)
class GoVersion:
    """A Go version in Go's own order: ``1.21rc2`` < ``1.21`` = ``1.21.0`` < ``1.21.1``."""

    text: str

    @property
    def key(self) -> tuple[int, int, int, int, int]:
        return _version_key(self.text)

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
class PortInfo:
    """One line of ``go tool dist list -json``."""

    goos: str
    goarch: str
    cgo_supported: bool

    @property
    def name(self) -> str:
        return f"{self.goos}/{self.goarch}"


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
    def parts(self) -> tuple[str, ...]:
        """What the id is made of: the target, then each axis that is not at its default."""
        parts = [self.target.replace("/", "_"), f"cgo{int(self.cgo)}"]
        if self.cc != DEFAULT_CC:
            parts.append(self.cc)
        if self.buildmode != DEFAULT_BUILDMODE:
            parts.append(self.buildmode)
        return (*parts, f"go{self.go}")

    @property
    def id(self) -> str:
        return _UNSAFE_IN_ID.sub("+", "-".join(self.parts))

    def env(self) -> dict[str, str]:
        """The Go variables that this cell stands for, with Go's own names."""
        arch = ARCHES[self.goarch]
        env = {"GOOS": self.goos, "GOARCH": self.goarch, "CGO_ENABLED": str(int(self.cgo))}
        if arch.variable:
            env[arch.variable] = self.variant
        return env


@dataclass(frozen=True)
class Selector:
    """``linux/*``, ``cgo1``, ``!*/wasm``: a glob over a cell's target, a part of its id, or the id.

    A target is known by its port, with its level, and with its default level written or left out.
    """

    text: str

    @property
    def negative(self) -> bool:
        return self.text.startswith("!")

    def matches(self, cell: Cell) -> bool:
        """Whether the glob (without its ``!``) matches."""
        pattern = self.text.removeprefix("!")
        port = f"{cell.goos}/{cell.goarch}"
        names = (cell.target, port, f"{port}/{cell.variant}", cell.id, *cell.parts)
        return any(fnmatch.fnmatchcase(name, pattern) for name in names)


def select(cells: tuple[Cell, ...], selectors: tuple[Selector, ...]) -> tuple[Cell, ...]:
    """The cells that match a positive selector (all, where there is none) and no negative one."""
    wanted = [s for s in selectors if not s.negative]
    refused = [s for s in selectors if s.negative]
    return tuple(
        cell
        for cell in cells
        if (not wanted or any(s.matches(cell) for s in wanted))
        and not any(s.matches(cell) for s in refused)
    )
