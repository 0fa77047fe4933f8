"""Records of a small run, for the tests of what is drawn from records."""

from __future__ import annotations

from datetime import UTC, datetime

from crossmatrix.case import Role
from crossmatrix.cell import Cell
from crossmatrix.observation import Observation, Stage, StageSeen
from crossmatrix.records import (
    CellRecord,
    Dropped,
    HostRecord,
    ItemRecord,
    RunRecord,
    Selection,
    item_record,
)
from crossmatrix.targets import ARCHES
from crossmatrix.verdict import Outcome, Verdict

HOST = HostRecord(GOOS="linux", GOARCH="amd64", kernel="Linux 6.18", cpus=2, python="3.11.2")


def a_cell(target: str, *, cgo: bool = False, go: str = "1.27") -> Cell:
    goos, goarch, *level = target.split("/")
    return Cell(
        goos=goos,
        goarch=goarch,
        cgo=cgo,
        go=go,
        go_version=f"{go}.3",
        variant=level[0] if level else ARCHES[goarch].default,
    )


def an_item(
    case: str = "arm_goarm",
    target: str = "linux/arm",
    outcome: Outcome = Outcome.PASS,
    *,
    role: Role = "trap",
    reason: str = "",
    stage: Stage | None = None,
    executed: str | None = None,
    build: float = 0.0,
    run: float | None = None,
    cgo: bool = False,
) -> ItemRecord:
    cell = a_cell(target, cgo=cgo)
    stages = [StageSeen(stage=Stage.BUILD, text="", seconds=build)]
    if run is not None:
        stages.append(StageSeen(stage=Stage.RUN, text="", seconds=run))
    return item_record(
        id=f"{case}.txtar::{role}[{cell.id}]",
        case=f"{case}.txtar",
        role=role,
        cell=cell,
        engine="docker",
        verdict=Verdict(outcome=outcome, stage=stage, reason=reason),
        observation=Observation(stages=tuple(stages), executed=executed),
        digest="sha256:0123",
        worker="gw0",
    )


def a_run(*, dropped: tuple[Dropped, ...] = ()) -> RunRecord:
    return RunRecord(
        id="7f3a",
        started=datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
        versions={"crossmatrix": "0.1.0", "go1.27": "1.27.3"},
        engine="docker",
        preset="smoke",
        host=HOST,
        selection=Selection(cells=("linux/*",)),
        dropped=dropped,
    )


def cell_record(target: str) -> CellRecord:
    return CellRecord.of(a_cell(target))
