"""(Case, Cell, Role) -> Plan: everything that will be done, and nothing done yet.

Paths that only an engine knows stand as symbols: ``⟦work⟧``, ``⟦goroot⟧``, ``⟦goroot:1.23.9⟧``,
``⟦gocache⟧``, ``⟦gomodcache⟧``, ``⟦zigcache⟧``, ``⟦tmp⟧``, ``⟦home⟧``, ``⟦path⟧`` (the value of
PATH), ``⟦tool:qemu-arm⟧`` (an executable), ``⟦tool:wasm_exec⟧`` (node's start script of the Go).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from crossmatrix import planbuild
from crossmatrix.case import (
    Build,
    Case,
    Expect,
    FactWanted,
    HostPort,
    Overlay,
    Role,
    TextWanted,
    merge,
)
from crossmatrix.cell import DEFAULT_BUILDMODE, DEFAULT_CC, Cell, Selector, select
from crossmatrix.check import Wanted
from crossmatrix.command import Command, File
from crossmatrix.needs import BuilderNeeds, Host
from crossmatrix.placeholders import Filler, goroots
from crossmatrix.planrun import RunPlan, plan_run


@dataclass(frozen=True, kw_only=True)
class Item:
    """One thing to prove: a case, a cell, a role, and the variant (from 1) where there are some."""

    case: Case
    cell: Cell
    role: Role
    each: int | None = None

    @property
    def name(self) -> str:
        """``trap[linux_arm64-cgo0-go1.27]``, the second half of the item's id."""
        variant = "" if self.each is None else f"~{self.each}"
        return f"{self.role}[{self.cell.id}{variant}]"

    @property
    def id(self) -> str:
        return f"{self.case.name}::{self.name}"


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What must be true of the stages' output. ``run_named``: the case speaks of the run."""

    exit: int = 0
    stdout: tuple[TextWanted, ...] = ()
    stderr: tuple[TextWanted, ...] = ()
    build: tuple[TextWanted, ...] = ()
    run_named: bool = False


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What will be done. ``skip`` says why nothing of it can be done here.

    ``artifact`` is a name in the work folder, None where there is nothing to inspect or to run;
    ``digest`` identifies what will be observed, the warm-up of caches left out. ``modules``: what
    its go.mod and go.sum name is to be laid beside it beforehand.
    """

    item: str
    files: tuple[tuple[str, File], ...]
    builder: BuilderNeeds
    build: tuple[Command, ...]
    artifact: str | None
    wanted: Wanted | None
    run: RunPlan | None
    expect: Expectation
    tools: tuple[tuple[str, str], ...] = ()
    skip: str = ""
    modules: bool = False

    @property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps(_canonical(self), sort_keys=True).encode()).hexdigest()


def _canonical(value: object) -> object:
    """A plan as plain JSON data; bytes by their sum."""
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    if isinstance(value, Mapping):
        return {str(key): _canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        names = (name for name in value.__dataclass_fields__ if name != "warm")
        return {name: _canonical(getattr(value, name)) for name in names}
    return value


def items(
    case: Case, cells: Iterable[Cell], host: HostPort, selectors: tuple[Selector, ...] = ()
) -> Iterable[Item]:
    """The items of a case over the cells of a run, traps before remedies in every cell."""
    variants = range(1, len(case.each) + 1) if case.each else (None,)
    for cell in with_named_ccs(case, tuple(cells), selectors):
        if not collected(case, cell):
            continue
        for each in variants:
            if not case.cells.holds(cell, host, each):
                continue
            if not case.traps:
                yield Item(case=case, cell=cell, role="probe", each=each)
                continue
            yield Item(case=case, cell=cell, role="trap", each=each)
            closes = case.trap_for(cell, host, each) is not None
            if closes and case.remedy_for(cell, host, each) is not None:
                yield Item(case=case, cell=cell, role="remedy", each=each)


def with_named_ccs(
    case: Case, cells: tuple[Cell, ...], selectors: tuple[Selector, ...]
) -> tuple[Cell, ...]:
    """The run's cells, and at its cgo targets those of a C compiler that the case lists by name."""
    named = [cc for cc in case.cells.values("cc") if cc != DEFAULT_CC]
    added = tuple(replace(cell, cc=cc) for cell in cells if cell.cgo for cc in named)
    return tuple(dict.fromkeys((*cells, *select(added, selectors))))


def collected(case: Case, cell: Cell) -> bool:
    """Whether a cell can hold a case: an axis that the case fixes itself has only its default."""
    build = case.base.build
    if build.cc is not None and cell.cc != DEFAULT_CC:
        return False
    fixes_mode = build.buildmode is not None or build.steps is not None
    return cell.buildmode == DEFAULT_BUILDMODE or not fixes_mode


def overlay(item: Item, host: HostPort) -> tuple[Overlay, dict[str, bytes]]:
    """What holds for an item: the case, its variant, its remedy; and the files of its program."""
    case = item.case
    whole = case.base
    files = dict(case.files)
    if item.each is not None:
        whole = merge(whole, case.each[item.each - 1])
    if item.role == "remedy":
        remedy = case.remedy_for(item.cell, host, item.each)
        if remedy is not None:
            whole = merge(whole, remedy.overlay)
            files.update(case.remedy_files)
    for name in whole.remove:
        files.pop(name, None)
    return whole, files


def expectation(
    expects: Iterable[Expect], item: Item, host: HostPort, filler: Filler
) -> tuple[Expectation, tuple[FactWanted, ...], bool]:
    """All matching ``expect`` mappings as one, the facts wanted, and whether facts are off."""
    matching = [e for e in expects if e.when.holds(item.cell, host, item.each)]
    exits = [e.exit for e in matching if e.exit is not None]

    def texts(stream: str) -> tuple[TextWanted, ...]:
        found = [wanted for e in matching for wanted in getattr(e, stream)]
        return tuple(_filled(wanted, filler) for wanted in found)

    facts = tuple(
        replace(f, values=tuple(filler.literal(v) for v in f.values))
        for e in matching
        for f in e.facts
    )
    whole = Expectation(
        exit=exits[-1] if exits else 0,
        stdout=texts("stdout"),
        stderr=texts("stderr"),
        build=texts("build"),
        run_named=bool(exits) or any(e.stdout or e.stderr for e in matching),
    )
    return whole, facts, any(e.no_facts for e in matching)


def _filled(wanted: TextWanted, filler: Filler) -> TextWanted:
    fill = filler.pattern if wanted.operator == "matches" else filler.literal
    return replace(wanted, values=tuple(fill(value) for value in wanted.values))


def make(
    item: Item,
    host: Host,
    *,
    versions: Mapping[str, str] | None = None,
) -> Plan:
    """The plan of an item on a host.

    ``versions`` maps Go versions as cases spell them (``{goroot:1.23}``) to full ones.
    """
    cell = item.cell
    port = HostPort(goos=host.goos, goarch=host.goarch)
    whole, files = overlay(item, port)
    build = whole.build
    cc = build.cc or cell.cc
    added = planbuild.cc_env(cc, cell) | planbuild.modules_env(build)
    base = planbuild.overlaid(planbuild.base_env(cell), (), added.items())
    artifact = planbuild.output_name(build, cell, {**base, **dict(build.env)})
    filler = Filler(cell=cell, app=artifact or "app", versions=versions or {})
    env = planbuild.overlaid(
        base, build.unset, [(key, filler.command(value)) for key, value in build.env]
    )
    commands = tuple(planbuild.commands(build, cell, env, filler))
    expect, facts, no_facts = expectation(item.case.expect, item, port, filler)
    extra = tuple(v.removeprefix("go") for v in goroots(_case_texts(build)))
    extra = tuple((versions or {}).get(v, v) for v in extra)
    run = None
    if artifact is not None and not whole.skip_run:
        run = plan_run(whole.run, cell, host, filler)
    needs = BuilderNeeds(
        go=tuple(dict.fromkeys((cell.go_version, *extra))),
        cc=cc,
        zig_target=planbuild.zig_target(cc, cell.goos, cell.goarch),
        tools=build.tools or (),
        warm=planbuild.warm_for(
            build,
            cell,
            env,
            planbuild.std_imports(files),
            port,
        ),
    )
    return Plan(
        item=item.id,
        files=tuple((name, File(data=data)) for name, data in sorted(files.items())),
        builder=needs,
        build=commands,
        artifact=artifact,
        wanted=_wanted(build, cell, env, facts, no_facts) if artifact is not None else None,
        run=run,
        expect=expect,
        tools=_digests(needs, run, host),
        skip=_skip(item.case, needs, host),
        modules=bool(build.modules),
    )


def _case_texts(build: Build) -> tuple[str, ...]:
    steps = tuple(arg for step in build.steps or () for arg in step)
    return (*(value for _, value in build.env), *steps, *(build.args or ()))


def _wanted(
    build: Build, cell: Cell, env: Mapping[str, str], facts: tuple[FactWanted, ...], off: bool
) -> Wanted:
    port = planbuild.effective(env)
    cgo = env.get("CGO_ENABLED")
    return Wanted(
        goos=port[0] if port else None,
        goarch=port[1] if port else None,
        variant=planbuild.wanted_variant(cell, env),
        cgo={"0": False, "1": True}.get(cgo or ""),
        go_version=cell.go_version,
        buildmode=build.buildmode or cell.buildmode,
        facts=facts,
        no_auto=off,
    )


def _digests(needs: BuilderNeeds, run: RunPlan | None, host: Host) -> tuple[tuple[str, str], ...]:
    names = {f"go{version}" for version in needs.go} | {"busybox", "supervisor", needs.cc}
    if run is not None and run.needs.tool:
        names |= {"qemu" if run.needs.tool.startswith("qemu-") else run.needs.tool}
    return tuple(sorted((n, d) for n, d in host.digests if n in names))


def _skip(case: Case, needs: BuilderNeeds, host: Host) -> str:
    """Why an item cannot be done here; empty where it can."""
    where = f"the {host.engine} engine"
    for need in case.needs:
        if need == "no-binfmt" and host.binfmt:
            return f"needs a kernel without binfmt_misc formats, has {', '.join(host.binfmt)}"
        if need == "binfmt" and not host.binfmt:
            return "needs a kernel with binfmt_misc formats, has none"
        if need == "network":
            return "needs a network, and no command of a case has one"
    for version in needs.go:
        if reason := host.lacks(f"go{version}"):
            return reason
    name = needs.cc.partition(":")[0]
    if name != "none":
        known = {tool for tool, _ in (*host.digests, *host.missing)}
        if reason := host.lacks(name):
            return reason
        if name not in known:
            return f"{where} has no C compiler {needs.cc}"
    if name == "zig" and not needs.zig_target:
        return "zig's C compiler does not serve this target"
    for tool in needs.tools:
        return host.lacks(tool) or f"{where} has no tool {tool}"
    return ""
