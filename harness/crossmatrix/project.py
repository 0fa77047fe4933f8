"""From paths and options to what a run proves: the matrix, the cases, the items, the tools."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from crossmatrix import casechecks, casefile, matrix, plan
from crossmatrix.case import Case, HostPort
from crossmatrix.cell import Cell, PortInfo, Selector
from crossmatrix.errors import InputError, MissingToolError
from crossmatrix.needs import Host
from crossmatrix.plan import Item
from crossmatrix.resources import data_dir
from crossmatrix.toolchain import Store, host_port

MATRIX = "matrix.yaml"
FOLDER_CASE = "case.yaml"
_FETCHES = 3


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a user chose; ``scale`` stretches every time limit."""

    preset: str = "default"
    cells: tuple[str, ...] = ()
    go: tuple[str, ...] = ()
    engine: str = "auto"
    matrix: Path | None = None
    fresh: bool = False
    scale: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Project:
    """A matrix and the cells that a run takes out of it.

    ``versions`` maps Go versions as they are spelled to full ones, ``missing`` what could not be
    had to the reason, ``dropped`` counts the cells left out by reason.
    """

    options: Options
    matrix_file: Path
    port: HostPort
    cells: tuple[Cell, ...]
    versions: Mapping[str, str]
    missing: tuple[tuple[str, str], ...] = ()
    dropped: tuple[tuple[str, int], ...] = ()
    _cases: dict[Path, Case] = field(default_factory=dict, compare=False)

    def case(self, path: Path) -> Case:
        """A case, read and checked once."""
        path = path.resolve()
        if path not in self._cases:
            case = casefile.load(path, root=case_root(path))
            casechecks.check(case, self.universe, self.port)
            self._cases[path] = case
        return self._cases[path]

    def items(self, case: Case) -> tuple[Item, ...]:
        """The items of a case in this run's cells."""
        return tuple(plan.items(case, self.cells, self.port, self._selectors))

    @cached_property
    def universe(self) -> tuple[Cell, ...]:
        return casechecks.universe()

    @cached_property
    def _selectors(self) -> tuple[Selector, ...]:
        return tuple(Selector(text) for text in self.options.cells)


def load(options: Options, matrix_file: Path, store: Store) -> Project:
    """Read a matrix and choose its cells, with the ports that each chosen Go itself knows.

    A Go that is not to be had leaves its cells in the run, to be skipped with the reason.
    """
    file = options.matrix or matrix_file
    table = matrix.read(file)
    port = host_port()
    spelled = matrix.go_versions(table, options.preset, options.go)
    versions = {text: store.go_version(text) for text in spelled}
    ports: dict[str, tuple[PortInfo, ...]] = {}
    missing: list[tuple[str, str]] = []
    for version in sorted(set(versions.values())):
        try:
            ports[version] = store.go_ports(version)
        except MissingToolError as error:
            missing.append((f"go{version}", str(error)))
    selectors = tuple(Selector(text) for text in options.cells)
    chosen = matrix.cells(table, options.preset, ports, versions, selectors, options.go or None)
    return Project(
        options=options,
        matrix_file=file,
        port=port,
        cells=chosen.cells,
        versions={**store.go_versions(), **versions},
        missing=tuple(missing),
        dropped=chosen.dropped,
    )


def case_root(path: Path) -> Path:
    """The folder that a case's name is counted from: the nearest ``cases``, else its own."""
    for parent in path.parents:
        if parent.name == "cases":
            return parent
    return path.parent


def case_files(path: Path) -> Iterator[Path]:
    """The case files at or below a path, sorted: ``*.txtar``, and folders with a ``case.yaml``."""
    if path.is_file():
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
        if FOLDER_CASE in names:
            folders.clear()
            yield Path(folder) / FOLDER_CASE
            continue
        for name in sorted(names):
            if name.endswith(".txtar"):
                yield Path(folder) / name


def find_matrix(path: Path) -> Path:
    """The matrix.yaml beside or above a path, else the packaged one."""
    for folder in (path, *path.resolve().parents):
        if (folder / MATRIX).is_file():
            return folder / MATRIX
    return data_dir() / MATRIX


def default_paths(folder: Path) -> tuple[Path, ...]:
    """The cases of a folder's own project, else the packaged ones."""
    own = folder / "cases"
    return (own if (folder / MATRIX).is_file() and own.is_dir() else data_dir() / "cases",)


def required(items: Iterable[Item], project: Project) -> tuple[str, ...]:
    """The names of the store's tools that items need, most basic first."""
    host = optimistic(project.port)
    names: dict[str, None] = dict.fromkeys(("supervisor", "busybox"))
    for item in items:
        planned = plan.make(item, host, versions=project.versions)
        names.update(dict.fromkeys(f"go{version}" for version in planned.builder.go))
        if planned.builder.zig_target:
            names["zig"] = None
        run = planned.run
        if run is None or run.unreached or not run.needs.tool:
            continue
        tool = run.needs.tool
        names["qemu" if tool.startswith("qemu-") else tool] = None
        if run.needs.go:
            names[f"wasm_exec{run.needs.go}"] = None
    return tuple(names)


def optimistic(port: HostPort) -> Host:
    """A host that lacks nothing, to learn what a run would like to have."""
    tools = ("zig", "host-gcc")
    return Host(
        goos=port.goos,
        goarch=port.goarch,
        engine="any",
        runs_386=True,
        digests=tuple((tool, "") for tool in tools),
    )


def fetch(
    names: Iterable[str], store: Store, report: Callable[[str], None]
) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
    """Get tools: the digests of those that are there, and the reasons for those that are not.

    Some at a time: most of the wait is a registry's.
    """
    wanted = tuple(names)

    def got(name: str) -> tuple[str, str | None, str]:
        try:
            return name, store.get(name).digest, ""
        except MissingToolError as error:
            report(f"missing: {name}: {error.what}")
            return name, None, str(error)

    with ThreadPoolExecutor(_FETCHES) as pool:
        found = tuple(pool.map(got, wanted))
    digests = tuple((name, digest) for name, digest, _ in found if digest is not None)
    return digests, tuple((name, why) for name, digest, why in found if digest is None)


def find_item(project: Project, text: str) -> Item:
    """The item with an id such as ``cases/x.txtar::trap[linux_arm64-cgo0-go1.27]``."""
    place, _, name = text.partition("::")
    path = Path(place)
    if not path.exists():
        path = data_dir() / "cases" / place
    if not name or not path.exists():
        raise InputError(
            f"no case file {place!r}" if name else f"{text!r} names no item",
            hint="`crossmatrix list --ids` prints every id of this matrix",
        )
    found = project.items(project.case(path))
    for item in found:
        if item.name == name:
            return item
    near = ", ".join(item.name for item in found[:5]) or "none in these cells"
    raise InputError(f"{place} has no item {name}", hint=f"its items: {near} …")
