"""What JUnit XML is given: properties that tell verdicts apart, and the long text of a failure."""

from __future__ import annotations

import shlex
from textwrap import indent

from crossmatrix.observation import Observation, Stage, StageSeen
from crossmatrix.records import ItemRecord
from crossmatrix.report.counts import visible
from crossmatrix.verdict import Outcome, Verdict, excerpt

_LINES = 200


def properties(item: ItemRecord) -> tuple[tuple[str, str], ...]:
    """The properties of a test case; what an item does not have is left out.

    JUnit itself knows passed, failed, error and skipped only: to it an XFAIL is skipped.
    """
    named = [
        ("verdict", item.verdict.value),
        ("stage", item.stage.value if item.stage is not None else ""),
        ("reason", visible(item.reason)),
        ("executed", item.executed or ""),
        ("case", item.case),
        ("role", item.role),
        ("engine", item.engine),
        ("digest", item.digest),
        ("worker", item.worker),
        *((f"cell.{name}", value) for name, value in item.cell.named.items()),
        *(
            (f"seconds.{stage}", f"{seconds:.3f}")
            for stage, seconds in (
                ("build", item.seconds.build),
                ("inspect", item.seconds.inspect),
                ("run", item.seconds.run),
            )
            if seconds is not None
        ),
    ]
    return tuple((f"crossmatrix.{name}", value) for name, value in named if value)


def failure_text(verdict: Verdict, observation: Observation, *, id: str = "") -> str:
    """All that a reader needs of a red item: the reason, the command to repeat, the stage's text.

    For an XPASS the stage is the trap's, or the last one reached.
    """
    seen = _stage(verdict, observation)
    parts = [f"{verdict.outcome} {visible(id)}".rstrip(), visible(_headed(verdict))]
    if seen is None:
        return "\n".join(parts)
    if seen.argv:
        parts += ["", f"To repeat {seen.stage} by hand:", f"  {rerun(seen)}"]
    text = visible(excerpt(seen.text, lines=_LINES)).strip("\n")
    parts += ["", f"The text of {seen.stage}:", indent(text, "  ") if text else "  (none)"]
    return "\n".join(parts)


def rerun(seen: StageSeen) -> str:
    """The last command of a stage for a POSIX shell, with its whole environment."""
    return shlex.join(["env", "-i", *(f"{k}={v}" for k, v in seen.env), *seen.argv])


def _headed(verdict: Verdict) -> str:
    """The reason; of a red one without the excerpt, whose text follows at length."""
    if verdict.outcome is Outcome.ERROR:
        return verdict.reason
    lines = verdict.reason.split("\n")
    place = next((n for n, line in enumerate(lines) if line.startswith("got:")), len(lines))
    return "\n".join(lines[: place + 1])


def _stage(verdict: Verdict, observation: Observation) -> StageSeen | None:
    stage: Stage | None = verdict.stage
    found = observation.seen(stage) if stage is not None else None
    return found or (observation.stages[-1] if observation.stages else None)
