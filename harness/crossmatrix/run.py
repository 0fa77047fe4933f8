"""Plan -> build -> inspect -> run -> Observation; stops at the first stage that goes otherwise."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from crossmatrix import binary, check
from crossmatrix.case import TextWanted
from crossmatrix.command import Command, Ended, File, Layout
from crossmatrix.engine import Box, Engine
from crossmatrix.errors import InputError
from crossmatrix.observation import BinaryFacts, Observation, Stage, StageSeen
from crossmatrix.placeholders import masked
from crossmatrix.plan import Plan

_SHOWN = 300


def observe(plan: Plan, engine: Engine, *, scale: float = 1.0) -> Observation:
    """Do what a plan says, in an engine; ``scale`` stretches every time limit.

    Raises `InfrastructureError` where the machine breaks, `MissingToolError` where it lacks a tool.
    """
    base = Observation(run_expected=plan.expect.run_named)
    built = _build(plan, engine, scale)
    stages: tuple[StageSeen, ...] = (built.seen,)
    if built.unmet:
        return replace(base, stages=stages, failed=Stage.BUILD, unmet=built.unmet)
    facts: BinaryFacts | None = None
    if plan.artifact is not None and plan.wanted is not None:
        facts, seen, unmet = _inspect(plan, built.files[plan.artifact])
        stages = (*stages, seen)
        if unmet:
            return replace(base, stages=stages, failed=Stage.INSPECT, unmet=unmet, facts=facts)
    base = replace(base, stages=stages, facts=facts)
    if plan.run is None:
        return base
    if plan.run.unreached:
        return replace(base, unreached=plan.run.unreached)
    seen, unmet = _run(plan, engine, scale, built.files)
    started = seen.exit not in (126, 127)
    return replace(
        base,
        stages=(*stages, seen),
        failed=Stage.RUN if unmet else None,
        unmet=unmet,
        executed=plan.run.runner if started else None,
    )


@dataclass(frozen=True, kw_only=True)
class _Built:
    seen: StageSeen
    unmet: tuple[str, ...]
    files: Mapping[str, File]


def _build(plan: Plan, engine: Engine, scale: float) -> _Built:
    with engine.builder(plan.builder) as box:
        begun = time.monotonic()
        box.put(dict(plan.files))
        ended = _steps(plan, box, scale)
        last, command = ended[-1], plan.build[len(ended) - 1]
        wanted = () if last.exit != 0 else _outputs(plan)
        found = {name: box.get(name) for name in wanted}
        missing = [f"[no output: {name}]" for name, file in found.items() if file is None]
        text = _text(ended, [*(e.how for e in ended if e.how), *missing], box.layout)
        if last.exit != 0:
            lines = [_exit_line(0, last.exit)]
        else:
            lines = [] if missing else _unmet("build", text, plan.expect.build)
        seen = StageSeen(
            stage=Stage.BUILD,
            text=_joined(text, lines),
            seconds=time.monotonic() - begun,
            argv=tuple(box.layout.fill(arg) for arg in command.argv),
            env=tuple((k, box.layout.fill(v)) for k, v in command.env.items()),
            exit=last.exit,
        )
    files = {name: file for name, file in found.items() if file is not None}
    return _Built(seen=seen, unmet=(*missing, *lines), files=files)


def _steps(plan: Plan, box: Box, scale: float) -> list[Ended]:
    """Run the commands of the build up to the first that fails."""
    ended: list[Ended] = []
    for command in plan.build:
        ended.append(box.run(_scaled(command, scale)))
        if ended[-1].exit != 0:
            break
    return ended


def _outputs(plan: Plan) -> tuple[str, ...]:
    """What a build must leave: the artifact first, then what goes along with it."""
    if plan.artifact is None:
        return ()
    return (plan.artifact, *(plan.run.files if plan.run else ()))


def _inspect(plan: Plan, artifact: File) -> tuple[BinaryFacts | None, StageSeen, tuple[str, ...]]:
    begun = time.monotonic()
    assert plan.wanted is not None
    facts: BinaryFacts | None = None
    try:
        facts = binary.read(artifact.data, name=plan.artifact or "", want=check.lists(plan.wanted))
        unmet = tuple(str(mismatch) for mismatch in check.compare(facts, plan.wanted))
    except InputError as error:
        unmet = (f"unreadable: {error.what}",)
    seen = StageSeen(stage=Stage.INSPECT, text=_joined("", unmet), seconds=time.monotonic() - begun)
    return facts, seen, unmet


def _run(
    plan: Plan, engine: Engine, scale: float, files: Mapping[str, File]
) -> tuple[StageSeen, tuple[str, ...]]:
    assert plan.run is not None
    with engine.runner(plan.run.needs) as box:
        begun = time.monotonic()
        box.put({**files, **_own_files(plan)})
        command = plan.run.command
        ended = box.run(_scaled(command, scale))
        layout = box.layout
        text = _text([ended], [ended.how] if ended.how else [], layout)
        unmet = []
        if ended.exit != plan.expect.exit:
            unmet.append(_exit_line(plan.expect.exit, ended.exit))
        unmet += _unmet("stdout", _decoded(ended.stdout, layout), plan.expect.stdout)
        unmet += _unmet("stderr", _decoded(ended.stderr, layout), plan.expect.stderr)
        seen = StageSeen(
            stage=Stage.RUN,
            text=_joined(text, unmet),
            seconds=time.monotonic() - begun,
            argv=tuple(layout.fill(arg) for arg in command.argv),
            env=tuple((k, layout.fill(v)) for k, v in command.env.items()),
            exit=ended.exit,
        )
    return seen, tuple(unmet)


def _own_files(plan: Plan) -> dict[str, File]:
    """The case's files below the folders that a wasm program sees."""
    assert plan.run is not None
    folders = tuple(f"{name}/" for name in plan.run.dirs)
    return {name: file for name, file in plan.files if name.startswith(folders)} if folders else {}


def _scaled(command: Command, scale: float) -> Command:
    seconds = command.limits.seconds
    limits = replace(command.limits, seconds=seconds * scale, label=f"{seconds:g}s")
    return replace(command, limits=limits)


def _decoded(data: bytes, layout: Layout) -> str:
    return masked(data.decode("utf-8", "replace"), layout.paths)


def _text(ended: Iterable[Ended], how: Iterable[str], layout: Layout) -> str:
    """Stdout, then stderr, paths rewritten, then a line for how it ended where not ordinarily."""
    ended = list(ended)
    streams = [e.stdout for e in ended] + [e.stderr for e in ended]
    return _joined(_decoded(b"".join(streams), layout), how)


def _joined(text: str, lines: Iterable[str]) -> str:
    for line in lines:
        text += ("" if not text or text.endswith("\n") else "\n") + line + "\n"
    return text


def _exit_line(want: int, got: int) -> str:
    return f"exit: want {want}, got {got}"


def _unmet(stream: str, text: str, wanted: Iterable[TextWanted]) -> list[str]:
    return [
        f"{stream}: want {_said(w.operator, value)}, got {_short(text)}"
        for w in wanted
        for value in w.values
        if not _met(w.operator, value, text)
    ]


def _met(operator: str, value: str, text: str) -> bool:
    if operator == "matches":
        return re.search(value, text, re.MULTILINE) is not None
    if operator == "equal":
        return text == value
    return (value in text) is (operator == "has")


def _said(operator: str, value: str) -> str:
    if operator == "matches":
        return f"/{value}/"
    said = json.dumps(value, ensure_ascii=False)
    return said if operator == "equal" else f"to {'have' if operator == 'has' else 'lack'} {said}"


def _short(text: str) -> str:
    cut = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    return json.dumps(cut, ensure_ascii=False)
