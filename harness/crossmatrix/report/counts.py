"""What every report counts in the same way, and how text of strangers is made fit to show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from crossmatrix.records import ItemRecord, RunRecord
from crossmatrix.verdict import Outcome

WORDS: Final = {
    Outcome.PASS: "pass",
    Outcome.XFAIL: "xfail",
    Outcome.SKIP: "skip",
    Outcome.XPASS: "xpass",
    Outcome.WRONG_FAILURE: "wrong failure",
    Outcome.FAIL: "fail",
    Outcome.ERROR: "error",
}
"""Every outcome as reports spell it, from the best to the worst."""

_RANK: Final = {outcome: rank for rank, outcome in enumerate(WORDS)}


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """The one that stands for all; ``outcomes`` is not empty."""
    return max(outcomes, key=_RANK.__getitem__)


def by_outcome(items: Iterable[ItemRecord]) -> dict[Outcome, int]:
    """How many items came out how, every outcome named, from the best to the worst."""
    seen = Counter(item.verdict for item in items)
    return {outcome: seen[outcome] for outcome in WORDS}


def by_reason(items: Iterable[ItemRecord]) -> list[tuple[str, int]]:
    """How many items there are for each reason, put on one line; the most frequent first."""
    return _frequent(
        "; ".join(line.strip() for line in item.reason.split("\n")) or "no reason given"
        for item in items
    )


def by_runner(items: Iterable[ItemRecord]) -> list[tuple[str, list[tuple[str, int]]]]:
    """For each runner, how many artifacts of each GOARCH it really ran."""
    ran = [item for item in items if item.executed is not None]
    runners = _frequent(item.executed or "" for item in ran)
    return [
        (runner, sorted(Counter(i.cell.GOARCH for i in ran if i.executed == runner).items()))
        for runner, _ in runners
    ]


def summary_line(run: RunRecord, items: Sequence[ItemRecord]) -> str:
    """One line for a nightly job: what came out, what is red, what was really executed."""
    counts = by_outcome(items)
    green = [
        f"{counts[o]} {WORDS[o]}" for o in WORDS if not o.red and (counts[o] or o is Outcome.PASS)
    ]
    red = [f"{counts[o]} {WORDS[o]}" for o in WORDS if o.red and counts[o]]
    ran = [item for item in items if item.executed is not None]
    ports = {(item.cell.GOOS, item.cell.GOARCH) for item in ran}
    which = f" ({', '.join(red)})" if red else ""
    return (
        f"{number(len(items), 'item')} on {run.engine}: {', '.join(green)}; "
        f"{sum(counts[o] for o in counts if o.red)} red{which}; "
        f"executed {len(ran)} on {number(len(ports), 'port')} "
        f"({len({arch for _, arch in ports})} GOARCH)"
    )


def number(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """``0.8s``, ``12s``, ``3m05s``, ``1h02m``."""
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}m{rest:02}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02}m"


def first_line(text: str) -> str:
    return text.split("\n", 1)[0]


def visible(text: str) -> str:
    """Text of a program made safe to show: what a terminal would act on is spelled out.

    Line ends stay, tabs become spaces.
    """
    plain = text.replace("\r\n", "\n").expandtabs(4)
    return "".join(c if c == "\n" or c.isprintable() else _spelled(c) for c in plain)


def _spelled(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def _frequent(words: Iterable[str]) -> list[tuple[str, int]]:
    return sorted(Counter(words).items(), key=lambda pair: (-pair[1], pair[0]))
