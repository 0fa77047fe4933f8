"""A case: one sample program and what must be true of it; `crossmatrix.casefile` reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from crossmatrix.cell import Cell, GoVersion
from crossmatrix.observation import Stage

Role = Literal["trap", "remedy", "probe"]


@dataclass(frozen=True, kw_only=True)
class HostPort:
    """The machine that builds, for the values ``native`` and ``foreign``."""

    goos: str
    goarch: str


@dataclass(frozen=True, kw_only=True)
class Match:
    """One key of a condition: any of ``values``, or (``negated``) none of them."""

    values: tuple[str, ...]
    negated: bool = False


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A ``when`` or ``cells`` mapping. Every key must hold; nothing is ever evaluated."""

    keys: tuple[tuple[str, Match], ...] = ()
    line: int = 0

    def holds(self, cell: Cell, host: HostPort, each: int | None = None) -> bool:
        return all(_holds(key, match, cell, host, each) for key, match in self.keys)

    def values(self, key: str) -> tuple[str, ...]:
        """The values that a key names positively, such as the ccs that a case asks for."""
        return tuple(v for k, m in self.keys if k == key and not m.negated for v in m.values)


def _holds(key: str, match: Match, cell: Cell, host: HostPort, each: int | None) -> bool:
    if key == "since":
        hit = any(GoVersion(v) <= GoVersion(cell.go_version) for v in match.values)
    elif key == "until":
        hit = any(GoVersion(cell.go_version) < GoVersion(v) for v in match.values)
    else:
        hit = any(_equals(key, value, cell, host, each) for value in match.values)
    return hit is not match.negated


def _equals(key: str, value: str, cell: Cell, host: HostPort, each: int | None) -> bool:
    if key in ("GOOS", "GOARCH"):
        seen, native = (cell.goos, host.goos) if key == "GOOS" else (cell.goarch, host.goarch)
        if value in ("native", "foreign"):
            return (seen == native) is (value == "native")
        return seen == value
    if key == "each":
        return each is not None and str(each) == value
    if key in ("cc", "buildmode"):
        return {"cc": cell.cc, "buildmode": cell.buildmode}[key] == value
    return cell.env().get(key) == value


@dataclass(frozen=True, kw_only=True)
class Build:
    """The ``build`` mapping, or an overlay of it. None means: not said here."""

    env: tuple[tuple[str, str], ...] = ()
    unset: tuple[str, ...] = ()
    args: tuple[str, ...] | None = None
    package: str | None = None
    buildmode: str | None = None
    steps: tuple[tuple[str, ...], ...] | None = None
    output: str | None = None
    output_exact: bool = False
    cc: str | None = None
    tools: tuple[str, ...] | None = None
    modules: bool | None = None
    line: int = 0


@dataclass(frozen=True, kw_only=True)
class Run:
    """The ``run`` mapping, or an overlay of it. None means: not said here. Seconds, bytes."""

    env: tuple[tuple[str, str], ...] = ()
    unset: tuple[str, ...] = ()
    args: tuple[str, ...] | None = None
    stdin: str | None = None
    files: tuple[str, ...] | None = None
    dirs: tuple[str, ...] | None = None
    argv: tuple[str, ...] | None = None
    runner: str | None = None
    runner_args: tuple[str, ...] | None = None
    cpu: str | None = None
    sysroot: str | None = None
    root: str | None = None
    root_files: str | None = None
    timeout: float | None = None
    limits: tuple[tuple[str, int], ...] = ()
    line: int = 0


@dataclass(frozen=True, kw_only=True)
class Overlay:
    """What a variant, or a remedy, lays over the case. ``skip_run``: it says ``run: false``."""

    build: Build = Build()
    run: Run = Run()
    skip_run: bool = False
    remove: tuple[str, ...] = ()


def merge(base: Overlay, over: Overlay) -> Overlay:
    """What holds when ``over`` is laid over ``base``.

    Mappings merge by key, lists and scalars replace; an ``unset`` takes out what was set before it,
    an ``env`` brings back what was unset before it; every ``remove`` counts. In the result no name
    is both set and unset.
    """
    said_run = replace(over.run, line=0) != Run()
    return Overlay(
        build=_merged(base.build, over.build),
        run=_merged(base.run, over.run),
        skip_run=over.skip_run or (base.skip_run and not said_run),
        remove=tuple(dict.fromkeys((*base.remove, *over.remove))),
    )


_Part = TypeVar("_Part", bound="Build | Run")


def _merged(base: _Part, over: _Part) -> _Part:
    apart = ("env", "unset", "limits", "line", "output_exact")
    said: dict[str, Any] = {
        field.name: getattr(over, field.name)
        for field in fields(over)
        if field.name not in apart and getattr(over, field.name) is not None
    }
    if isinstance(over, Build) and over.output is not None:
        said["output_exact"] = over.output_exact
    if isinstance(base, Run) and isinstance(over, Run):
        said["limits"] = tuple((dict(base.limits) | dict(over.limits)).items())
    set_here = dict(over.env)
    kept = {name: value for name, value in base.env if name not in over.unset}
    still = [name for name in base.unset if name not in set_here]
    said["env"] = tuple((kept | set_here).items())
    said["unset"] = tuple(dict.fromkeys((*still, *over.unset)))
    said["line"] = over.line or base.line
    return replace(base, **said)


TextOperator = Literal["matches", "equal", "has", "lacks"]
FactOperator = Literal["is", "has", "lacks", "max", "min", "absent"]


@dataclass(frozen=True, kw_only=True)
class TextWanted:
    """What a stage's output must be: an operator of `TextOperator` and its values."""

    operator: TextOperator
    values: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class FactWanted:
    """What one fact of the artifact must be."""

    fact: str
    operator: FactOperator
    values: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Expect:
    """One ``expect`` mapping."""

    when: Condition = Condition()
    exit: int | None = None
    stdout: tuple[TextWanted, ...] = ()
    stderr: tuple[TextWanted, ...] = ()
    build: tuple[TextWanted, ...] = ()
    facts: tuple[FactWanted, ...] = ()
    no_facts: bool = False
    line: int = 0


@dataclass(frozen=True, kw_only=True)
class Trap:
    """Where a case goes wrong (``when``), at which stage, and how."""

    when: Condition
    stage: Stage
    signature: str
    exit: int | None = None
    line: int = 0


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """What makes a case pass where its trap closes; ``none`` says why nothing does."""

    what: str = ""
    none: str = ""
    when: Condition = Condition()
    overlay: Overlay = Overlay()
    line: int = 0


@dataclass(frozen=True, kw_only=True)
class Case:
    """One case. ``name`` is its path below the cases folder, ``files`` the program's own files."""

    path: Path
    name: str
    title: str
    why: str = ""
    refs: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()
    cells: Condition = Condition()
    each: tuple[Overlay, ...] = ()
    needs: tuple[str, ...] = ()
    base: Overlay = Overlay()
    expect: tuple[Expect, ...] = ()
    traps: tuple[Trap, ...] = ()
    remedies: tuple[Remedy, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    remedy_files: Mapping[str, bytes] = field(default_factory=dict)
    head: Mapping[str, Any] = field(default_factory=dict)

    def trap_for(self, cell: Cell, host: HostPort, each: int | None = None) -> Trap | None:
        """The trap that closes in a cell, or None."""
        return next((t for t in self.traps if t.when.holds(cell, host, each)), None)

    def remedy_for(self, cell: Cell, host: HostPort, each: int | None = None) -> Remedy | None:
        """The remedy that opens the trap in a cell, or None where there is none."""
        found = (r for r in self.remedies if not r.none and r.when.holds(cell, host, each))
        return next(found, None)
