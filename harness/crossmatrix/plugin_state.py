"""What the hooks of one process share: the project, the engine, the controller's records."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from crossmatrix import plan, prepare, project, run
from crossmatrix.case import Trap
from crossmatrix.command import File
from crossmatrix.engine import Engine, choose
from crossmatrix.engine.session import Session
from crossmatrix.needs import Host
from crossmatrix.observation import Observation
from crossmatrix.plan import Item, Plan
from crossmatrix.planbuild import MODULES
from crossmatrix.project import Options, Project
from crossmatrix.toolchain import Store

Report = Callable[[str], None]


@dataclass(kw_only=True)
class State:
    """One process of a run, the controller or a worker. The engine starts at the first item."""

    project: Project
    roots: tuple[Path, ...]
    store: Store
    session: Session | None
    prepared: prepare.Prepared | None
    report: Report
    worker: str = "main"
    packages: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _engine: Engine | None = None

    @property
    def host(self) -> Host:
        """The host as prepared; with ``--collect-only``, one that lacks nothing."""
        return self.prepared.host if self.prepared else project.optimistic(self.project.port)

    @property
    def engine(self) -> Engine:
        if self._engine is None:
            assert self.prepared is not None
            assert self.session is not None
            self._engine = choose.start(
                self.prepared.engine,
                self.store,
                self.session,
                prepare.options_of(self.project),
                self.report,
            )
        return self._engine

    def plan(self, item: Item) -> Plan:
        """The plan of an item, warmed with what all items of the same build import."""
        made = plan.make(item, self.host, versions=self.project.versions)
        warm = made.builder.warm
        if warm is None:
            return made
        packages = self.packages.get(_warm_key(made), warm.packages)
        return replace(made, builder=replace(made.builder, warm=replace(warm, packages=packages)))

    def gather(self, items: Iterable[Item]) -> None:
        """Learn which standard packages the items of one build configuration import together."""
        union: dict[str, set[str]] = {}
        for item in items:
            made = plan.make(item, self.host, versions=self.project.versions)
            if made.builder.warm is not None and not made.skip:
                union.setdefault(_warm_key(made), set()).update(made.builder.warm.packages)
        self.packages = {key: tuple(sorted(names)) for key, names in union.items()}

    def observe(self, made: Plan) -> Observation:
        if made.modules:
            made = replace(made, files=(*made.files, *self._modules(made)))
        return run.observe(made, self.engine, scale=self.project.options.scale)

    def _modules(self, made: Plan) -> tuple[tuple[str, File], ...]:
        """What a case's go.mod and go.sum name, fetched and checked before it is built."""
        files = dict(made.files)
        mod, sums = (files.get(name, File(data=b"")).data for name in ("go.mod", "go.sum"))
        folder = self.store.modules(made.builder.go[0], mod, sums)
        return tuple(
            (f"{MODULES}/{path.relative_to(folder).as_posix()}", File(data=path.read_bytes()))
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        )

    def trap(self, item: Item) -> Trap | None:
        """The trap that is in force for an item."""
        if item.role != "trap":
            return None
        return item.case.trap_for(item.cell, self.project.port, item.each)

    def accepts(self, path: Path) -> bool:
        return any(path.is_relative_to(root) for root in self.roots)

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()
            self._engine = None


def _warm_key(made: Plan) -> str:
    warm = made.builder.warm
    assert warm is not None
    return json.dumps([warm.go, warm.env, warm.flags, made.builder.zig_target])


def to_wire(state: State) -> str:
    """What a worker needs to become part of this run, as JSON."""
    assert state.prepared is not None
    options = state.project.options
    data = {
        "options": {**asdict(options), "matrix": str(state.project.matrix_file)},
        "roots": [str(root) for root in state.roots],
        "engine": state.prepared.engine,
        "session": state.prepared.session,
        "host": asdict(state.prepared.host),
        "store": str(state.store.root),
    }
    return json.dumps(data)


def _pairs(value: Iterable[Any]) -> tuple[tuple[str, str], ...]:
    return tuple((str(a), str(b)) for a, b in value)


def join(wire: str, worker: str, report: Report) -> State:
    """A worker's state, from what the controller sent."""
    data = json.loads(wire)
    raw = data["options"]
    options = Options(
        **{
            **raw,
            "matrix": Path(raw["matrix"]),
            "cells": tuple(raw["cells"]),
            "go": tuple(raw["go"]),
        }
    )
    host = data["host"]
    store = Store(Path(data["store"]), report=report)
    return State(
        project=project.load(options, Path(raw["matrix"]), store),
        roots=tuple(Path(root) for root in data["roots"]),
        store=store,
        session=Session.join(store.root, data["session"]),
        prepared=prepare.Prepared(
            engine=data["engine"],
            session=data["session"],
            host=Host(
                **{
                    **host,
                    "binfmt": tuple(host["binfmt"]),
                    "missing": _pairs(host["missing"]),
                    "digests": _pairs(host["digests"]),
                }
            ),
        ),
        report=report,
        worker=worker,
    )


def worker_name() -> str:
    return os.environ.get("PYTEST_XDIST_WORKER", "main")
