"""How an artifact is run: one table of runners, each a command before the binary."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from crossmatrix.case import Run
from crossmatrix.cell import Cell
from crossmatrix.command import Command, Limits
from crossmatrix.needs import Host, RunnerNeeds
from crossmatrix.placeholders import Filler
from crossmatrix.planbuild import overlaid
from crossmatrix.targets import ARCHES, target

RUN_SECONDS = 60.0

_NOTHING: Final = RunnerNeeds()
_NO_COMMAND: Final = Command(argv=(), env={}, limits=Limits(seconds=RUN_SECONDS))


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """The run stage. ``runner`` is what the results call the way that the artifact was executed.

    ``files`` go along from the work folder of the build, ``unreached`` says why nothing can run.
    """

    runner: str
    needs: RunnerNeeds = _NOTHING
    command: Command = _NO_COMMAND
    files: tuple[str, ...] = ()
    dirs: tuple[str, ...] = ()
    unreached: str = ""


def _native(_cell: Cell, _run: Run, _env: Mapping[str, str]) -> tuple[str, ...]:
    return ()


def _qemu(cell: Cell, run: Run, _env: Mapping[str, str]) -> tuple[str, ...]:
    cpu = ("-cpu", run.cpu) if run.cpu else ()
    return (f"⟦tool:{ARCHES[cell.goarch].qemu}⟧", *cpu)


def _wazero(_cell: Cell, run: Run, env: Mapping[str, str]) -> tuple[str, ...]:
    mounts = tuple(f"-mount=⟦work⟧/{name}:/{name}" for name in run.dirs or ())
    variables = tuple(f"-env={key}={value}" for key, value in env.items())
    return ("⟦tool:wazero⟧", "run", *mounts, *variables)


def _node(_cell: Cell, _run: Run, _env: Mapping[str, str]) -> tuple[str, ...]:
    return ("⟦tool:node⟧",)


RUNNERS: Final[Mapping[str, Callable[[Cell, Run, Mapping[str, str]], tuple[str, ...]]]] = (
    MappingProxyType({"native": _native, "qemu": _qemu, "wazero": _wazero, "node": _node})
)
"""What stands before the binary, by the runner's name."""


def usual_runner(cell: Cell, host: Host) -> str:
    """The runner of a cell's target on a host; empty where there is none."""
    native = cell.goos == host.goos and (
        cell.goarch == host.goarch
        or (cell.goarch == "386" and host.goarch == "amd64" and host.runs_386)
    )
    row = target(cell.goos, cell.goarch)
    return "native" if native else row.runner if row else ""


def run_env(run: Run, filler: Filler) -> dict[str, str]:
    """The environment of a run: PATH, HOME, TMPDIR, LC_ALL and what the case says."""
    base = {"PATH": "⟦path⟧", "HOME": "⟦work⟧", "TMPDIR": "⟦work⟧", "LC_ALL": "C"}
    return overlaid(base, run.unset, [(key, filler.command(value)) for key, value in run.env])


def plan_run(run: Run, cell: Cell, host: Host, filler: Filler) -> RunPlan:
    """The run stage of a cell; what stands in its way is in ``unreached``."""
    name = run.runner or ("qemu" if run.cpu else usual_runner(cell, host))
    if run.argv is not None:
        name = run.runner or "native"
    reason = _unreached(name, run, cell, host)
    if reason:
        return RunPlan(runner=name, unreached=reason)
    env = run_env(run, filler)
    limits = dict(run.limits)
    tool = {"qemu": ARCHES[cell.goarch].qemu, "native": ""}.get(name, name)
    return RunPlan(
        runner=name,
        needs=RunnerNeeds(
            tool=tool,
            go=cell.go_version if name == "node" else "",
            root=run.root or "runner",
            pids=limits.get("pids"),
            memory=limits.get("memory"),
            nofile=limits.get("nofile"),
        ),
        command=Command(
            argv=_argv(name, run, cell, env, filler),
            env=env,
            limits=Limits(
                seconds=run.timeout or RUN_SECONDS,
                memory=limits.get("memory"),
                pids=limits.get("pids"),
                nofile=limits.get("nofile"),
            ),
            stdin=filler.command(run.stdin or "").encode(),
        ),
        files=run.files or (),
        dirs=run.dirs or (),
    )


def _argv(
    name: str, run: Run, cell: Cell, env: Mapping[str, str], filler: Filler
) -> tuple[str, ...]:
    args = tuple(filler.command(arg) for arg in run.args or ())
    if run.argv is not None:
        return (*(filler.command(arg) for arg in run.argv), *args)
    options = tuple(filler.command(arg) for arg in run.runner_args or ())
    script = ("⟦tool:wasm_exec⟧",) if name == "node" else ()
    return (*RUNNERS[name](cell, run, env), *options, *script, f"⟦work⟧/{filler.app}", *args)


def _unreached(name: str, run: Run, cell: Cell, host: Host) -> str:
    """Why this run cannot be had here; empty where it can."""
    where = f"the {host.engine} engine"
    if not name:
        return f"no runner for {cell.goos}/{cell.goarch}"
    if name not in RUNNERS:
        return f"{where} has no runner {name}"
    if name == "qemu" and not ARCHES[cell.goarch].qemu:
        return f"qemu-user has no {cell.goarch}"
    root = run.root or "runner"
    if root != "runner":
        if host.lacks(f"root:{root}"):
            return host.lacks(f"root:{root}") or ""
        if root != "scratch":
            return f"{where} has no target root {root}"
        if name != "native":
            return f"root: scratch holds nothing but the artifact, and {name} is no part of it"
    if run.sysroot:
        return f"{where} has no sysroot {run.sysroot}"
    if run.root_files:
        return f"{where} lays no root_files over a root"
    tools = {"qemu": "qemu", "wazero": "wazero", "node": "node"}
    return (host.lacks(tools[name]) or "") if name in tools else ""
