"""Expected and observed make the outcome, in one pure function."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from textwrap import indent
from typing import Final

from crossmatrix.case import Trap
from crossmatrix.observation import Observation, Stage, StageSeen


class Outcome(StrEnum):
    """How an item came out; the words are those of docs/results.md."""

    PASS = "PASS"
    XFAIL = "XFAIL"
    FAIL = "FAIL"
    XPASS = "XPASS"
    WRONG_FAILURE = "WRONG_FAILURE"
    SKIP = "SKIP"
    ERROR = "ERROR"

    @property
    def red(self) -> bool:
        """Whether a run that holds it has failed."""
        return self in _RED


_RED: Final = frozenset({Outcome.FAIL, Outcome.XPASS, Outcome.WRONG_FAILURE, Outcome.ERROR})

_REASON_LINES: Final = 20
_INDENT: Final = " " * 6


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The outcome of one item, the stage that decided it, and why.

    The first line of ``reason`` says it all in short. For the red outcomes, those after it show
    what was wanted and what was got; for a skip, the way out.
    """

    outcome: Outcome
    stage: Stage | None = None
    reason: str = ""


def judge(trap: Trap | None, observation: Observation) -> Verdict:
    """The verdict on an observation; ``trap`` is the one that closes in its cell.

    A verdict that the reached stages allow stands; only where what is to be judged lies in a stage
    that could not be reached is the item skipped.
    """
    if observation.failed is not None:
        if trap is None:
            return _failed(observation, observation.failed)
        return _closed(trap, observation, observation.failed)
    if not observation.stages and observation.unreached is None:
        return Verdict(outcome=Outcome.ERROR, reason="nothing was observed, and nothing says why")
    if observation.unreached is not None and _undecided(trap, observation):
        return Verdict(outcome=Outcome.SKIP, reason=observation.unreached)
    if trap is not None:
        return _open(trap, observation)
    return Verdict(outcome=Outcome.PASS, reason=observation.unreached or "")


def excerpt(text: str, *, lines: int, columns: int = 400) -> str:
    """A text cut in its middle to so many lines, and each line in its own to so many characters."""
    rows = [_cut(row, columns) for row in text.removesuffix("\n").split("\n")]
    if len(rows) > lines:
        head, tail = lines - lines // 2, lines // 2
        gap = f"[... {len(rows) - head - tail} lines left out ...]"
        rows = [*rows[:head], gap, *rows[len(rows) - tail :]]
    return "\n".join(rows)


def _cut(row: str, columns: int) -> str:
    if len(row) <= columns:
        return row
    half = columns // 2
    return f"{row[:half]}[... {len(row) - 2 * half} characters left out ...]{row[-half:]}"


def _undecided(trap: Trap | None, observation: Observation) -> bool:
    if not observation.stages:
        return True
    if trap is not None:
        return observation.seen(trap.stage) is None
    return observation.run_expected and observation.seen(Stage.RUN) is None


def _failed(observation: Observation, stage: Stage) -> Verdict:
    reason = _reason(f"{stage} did not go as expected", None, observation)
    return Verdict(outcome=Outcome.FAIL, stage=stage, reason=reason)


def _closed(trap: Trap, observation: Observation, stage: Stage) -> Verdict:
    seen = observation.seen(stage)
    text = "" if seen is None else seen.text
    match = re.search(trap.signature, text, re.MULTILINE)
    if stage is not trap.stage:
        wrong = f"at {stage}, not at {trap.stage}"
    elif match is None:
        wrong = f"its signature is not in the text of {stage}"
    elif trap.exit is not None and (seen is None or seen.exit != trap.exit):
        wrong = f"{_ended(seen)}, not with exit {trap.exit}"
    else:
        return Verdict(outcome=Outcome.XFAIL, stage=stage, reason=_line_at(text, match.start()))
    reason = _reason(f"the trap closed differently: {wrong}", trap, observation)
    return Verdict(outcome=Outcome.WRONG_FAILURE, stage=stage, reason=reason)


def _open(trap: Trap, observation: Observation) -> Verdict:
    reason = _reason("the trap did not close", trap, observation)
    return Verdict(outcome=Outcome.XPASS, stage=trap.stage, reason=reason)


def _line_at(text: str, place: int) -> str:
    row = text[text.rfind("\n", 0, place) + 1 :].lstrip("\n").split("\n", 1)[0]
    return _cut(row, 200)


def _reason(headline: str, trap: Trap | None, observation: Observation) -> str:
    return f"{headline}\nwant: {_want(trap)}\ngot:  {_got(observation)}"


def _want(trap: Trap | None) -> str:
    if trap is None:
        return "every stage as the case expects"
    status = "" if trap.exit is None else f" with exit {trap.exit}"
    return f"{trap.stage} to go wrong{status}, its text matching\n{_INDENT}{trap.signature}"


def _got(observation: Observation) -> str:
    if observation.failed is None:
        reached = ", ".join(seen.stage for seen in observation.stages)
        rest = (
            "" if observation.unreached is None else f"; run not reached: {observation.unreached}"
        )
        return f"{reached} as the case expects{rest}"
    seen = observation.seen(observation.failed)
    if seen is None or not seen.text.strip():
        return f"{observation.failed} went wrong {_ended(seen)}, without any text"
    text = indent(excerpt(seen.text, lines=_REASON_LINES), _INDENT)
    return f"{observation.failed} went wrong {_ended(seen)}\n{text}"


def _ended(seen: StageSeen | None) -> str:
    return "without exit status" if seen is None or seen.exit is None else f"with exit {seen.exit}"
