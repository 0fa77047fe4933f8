"""The records of a results file: of the run, of each item, of the end.

docs/results.md tells readers of such a file what every field means.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar, Final, Literal, cast

from pydantic import AwareDatetime, ConfigDict, Field, PlainSerializer

from crossmatrix.case import Role
from crossmatrix.cell import Cell
from crossmatrix.observation import Observation, Stage
from crossmatrix.targets import ARCHES
from crossmatrix.verdict import Outcome, Verdict

SCHEMA: Final = 1

_Seconds = Annotated[float, Field(ge=0)]


class _Strict:
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, kw_only=True)
class HostRecord(_Strict):
    """The machine that builds, in Go's words; ``cpus`` are those that this process may use."""

    GOOS: str
    GOARCH: str
    kernel: str
    cpus: int
    python: str


@dataclass(frozen=True, kw_only=True)
class Selection(_Strict):
    """What was asked for: the selectors, the Go versions, the paths. Empty means all of them."""

    cells: tuple[str, ...] = ()
    go: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Dropped(_Strict):
    """How many cells of the matrix were left out of the run for one reason."""

    reason: str
    count: Annotated[int, Field(ge=1)]


@dataclass(frozen=True, kw_only=True)
class CellRecord(_Strict):
    """A cell under Go's own names; of the variables for levels only that of its GOARCH is there.

    ``go`` is the version as the matrix spells it, ``go_version`` the full one.
    """

    GOOS: str
    GOARCH: str
    CGO_ENABLED: Literal["0", "1"]
    cc: str
    buildmode: str
    go: str
    go_version: str
    GO386: str | None = None
    GOAMD64: str | None = None
    GOARM: str | None = None
    GOARM64: str | None = None
    GOMIPS: str | None = None
    GOMIPS64: str | None = None
    GOPPC64: str | None = None
    GORISCV64: str | None = None
    GOWASM: str | None = None

    @classmethod
    def of(cls, cell: Cell) -> CellRecord:
        variables = cast("dict[str, Any]", cell.env())
        return cls(
            **variables,
            cc=cell.cc,
            buildmode=cell.buildmode,
            go=cell.go,
            go_version=cell.go_version,
        )

    @property
    def named(self) -> dict[str, str]:
        """The fields that are there, by name."""
        values = ((f.name, getattr(self, f.name)) for f in fields(self))
        return {name: value for name, value in values if value is not None}

    @property
    def target(self) -> str:
        """``GOOS/GOARCH[/variant]``, the default level left out."""
        arch = ARCHES.get(self.GOARCH)
        level = getattr(self, arch.variable) if arch is not None and arch.variable else None
        known = arch is not None and level not in (None, arch.default)
        return "/".join([self.GOOS, self.GOARCH, *([str(level)] if known else [])])


@dataclass(frozen=True, kw_only=True)
class StageSeconds(_Strict):
    """Wall time of each stage; None where it was not reached."""

    build: _Seconds | None = None
    inspect: _Seconds | None = None
    run: _Seconds | None = None

    @property
    def total(self) -> float:
        return sum(value for value in (self.build, self.inspect, self.run) if value is not None)


@dataclass(frozen=True, kw_only=True)
class RunRecord(_Strict):
    """The first line: what ran, where, with which tools."""

    id: str
    started: AwareDatetime
    versions: dict[str, str]
    engine: str
    preset: str | None
    host: HostRecord
    selection: Selection
    dropped: tuple[Dropped, ...] = ()
    schema: Literal[1] = SCHEMA
    kind: Literal["run"] = "run"


@dataclass(frozen=True, kw_only=True)
class ItemRecord(_Strict):
    """One item. ``executed`` names the runner by which the artifact really ran, or is None."""

    id: str
    case: str
    role: Role
    cell: Annotated[CellRecord, PlainSerializer(lambda cell: cell.named)]
    engine: str
    verdict: Outcome
    stage: Stage | None
    reason: str
    executed: str | None
    seconds: StageSeconds
    digest: str
    worker: str
    kind: Literal["item"] = "item"


@dataclass(frozen=True, kw_only=True)
class EndRecord(_Strict):
    """The last line; a file without one is of a run that was killed, or that still goes."""

    exit: int
    seconds: _Seconds
    interrupted: bool
    kind: Literal["end"] = "end"


Record = RunRecord | ItemRecord | EndRecord


def item_record(
    *,
    id: str,
    case: str,
    role: Role,
    cell: Cell,
    engine: str,
    verdict: Verdict,
    observation: Observation | None = None,
    digest: str = "",
    worker: str = "main",
) -> ItemRecord:
    """The record of an item; ``observation`` is None where nothing could be observed."""
    observation = observation or Observation()
    return ItemRecord(
        id=id,
        case=case,
        role=role,
        cell=CellRecord.of(cell),
        engine=engine,
        verdict=verdict.outcome,
        stage=verdict.stage,
        reason=verdict.reason,
        executed=observation.executed,
        seconds=StageSeconds(
            **{seen.stage.value: round(max(seen.seconds, 0.0), 3) for seen in observation.stages}
        ),
        digest=digest,
        worker=worker,
    )
