"""The report at the end of a run, for a terminal or a log: the grid first, what is red last."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from crossmatrix.records import EndRecord, ItemRecord, RunRecord
from crossmatrix.report.counts import (
    WORDS,
    by_outcome,
    by_reason,
    by_runner,
    duration,
    first_line,
    number,
    summary_line,
    visible,
    worst,
)
from crossmatrix.verdict import Outcome

_COLOURS: Final = {
    Outcome.PASS: "green",
    Outcome.XFAIL: "yellow",
    Outcome.SKIP: "blue",
    Outcome.XPASS: "bold red",
    Outcome.WRONG_FAILURE: "bold red",
    Outcome.FAIL: "bold red",
    Outcome.ERROR: "bold magenta",
}

_MEANINGS: Final = {
    Outcome.PASS: "went as the case expects",
    Outcome.XFAIL: "the trap closed, just as the case tells",
    Outcome.SKIP: "could not be judged here",
    Outcome.XPASS: "the trap did not close",
    Outcome.WRONG_FAILURE: "the trap closed differently",
    Outcome.FAIL: "went wrong, and no trap says so",
    Outcome.ERROR: "the harness or its machine broke",
}

_NARROWEST: Final = 40
_BAND: Final = 24
"""So many columns can still be followed up to their names."""
_FEW: Final = 12
_SLOWEST: Final = 5
_WHOLE_REASONS: Final = 20


@dataclass(frozen=True, kw_only=True)
class Marks:
    """The characters of a grid; ``plain`` says that nothing outside of ASCII may be shown."""

    outcomes: Mapping[Outcome, str]
    none: str
    corner: str
    bar: str
    gap: str
    plain: bool = False

    def show(self, text: str) -> str:
        """Any text in characters that can be shown."""
        text = visible(text)
        return text.encode("ascii", "backslashreplace").decode("ascii") if self.plain else text

    def line(self, text: str) -> str:
        """Any text as one line that can be shown."""
        return self.show(text.replace("\n", " "))


UNICODE: Final = Marks(
    outcomes=dict(zip(WORDS, "✓xsX≠F!", strict=True)), none="·", corner="┌", bar="│", gap="…"
)
ASCII: Final = Marks(
    outcomes=dict(zip(WORDS, "+xsXWF!", strict=True)),
    none=".",
    corner=",",
    bar="|",
    gap="~",
    plain=True,
)


def marks_for(encoding: str | None) -> Marks:
    """The characters that an output of this encoding can show."""
    every = "".join(
        [*UNICODE.outcomes.values(), UNICODE.none, UNICODE.corner, UNICODE.bar, UNICODE.gap]
    )
    try:
        every.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE


def render(
    run: RunRecord,
    items: Sequence[ItemRecord],
    *,
    width: int,
    color: bool,
    marks: Marks = UNICODE,
    end: EndRecord | None = None,
) -> str:
    """The whole report; ``end`` is None where the run was cut short.

    No line is wider than ``width`` columns (at least 40), except the last: it sums the run up, and
    stays in one piece for whoever searches a log.
    """
    width = max(width, _NARROWEST)
    out = io.StringIO()
    console = Console(
        file=out,
        width=width,
        height=100,
        force_terminal=color,
        color_system="standard" if color else None,
        no_color=not color,
        legacy_windows=False,
        force_jupyter=False,
        markup=False,
        emoji=False,
        highlight=False,
    )
    for part in _parts(run, items, width, marks, end):
        console.print(part, overflow="fold")
    console.print(_last(run, items, marks, end), soft_wrap=True)
    return "\n".join(line.rstrip(" ") for line in out.getvalue().split("\n"))


def _parts(
    run: RunRecord,
    items: Sequence[ItemRecord],
    width: int,
    marks: Marks,
    end: EndRecord | None,
) -> Iterator[RenderableType]:
    yield Text(marks.line(_headline(run)))
    for band in _bands(items, width, marks):
        yield ""
        yield from band
    yield from _section("", _legend(items, marks))
    yield from _section("skipped", _reasons(items, Outcome.SKIP, marks))
    yield from _section("passed without being executed", _reasons(items, Outcome.PASS, marks))
    yield from _section("left out of the matrix", _dropped(run, marks))
    yield from _section("executed", _executed(items, marks))
    yield from _section("slowest", _slowest(items, marks))
    yield from _red(items, marks)
    yield ""
    if end is None or end.interrupted:
        yield Text("The run was cut short: what is missing here was not judged.", style="bold")


def _last(run: RunRecord, items: Sequence[ItemRecord], marks: Marks, end: EndRecord | None) -> Text:
    took = "" if end is None else f"; {duration(end.seconds)}"
    red = any(item.verdict.red for item in items)
    style = "bold red" if red else "bold green"
    return Text(marks.line(summary_line(run, items) + took), style=style)


def _headline(run: RunRecord) -> str:
    own = run.versions.get("crossmatrix", "")
    return (
        f"crossmatrix {own}".strip()
        + f": engine {run.engine}, {f'preset {run.preset}' if run.preset else 'no preset'}, "
        + f"on {run.host.GOOS}/{run.host.GOARCH}, {run.started:%Y-%m-%d %H:%M} UTC"
    )


def _bands(items: Sequence[ItemRecord], width: int, marks: Marks) -> Iterator[list[Text]]:
    squares: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    for item in items:
        squares[item.case, item.cell.target].append(item.verdict)
    if not squares:
        return
    grid = {square: worst(outcomes) for square, outcomes in squares.items()}
    cases = sorted({case for case, _ in grid})
    targets = sorted({target for _, target in grid})
    label = max(cell_len(marks.line(target)) for target in targets)
    names = {case: marks.line(case.removesuffix(".txtar")) for case in cases}
    # One column between name and marks, one between two marks, one before a column's own name.
    room = width - label - 2
    longest = max(cell_len(name) for name in names.values())
    name_width = min(longest, max(room - 2 * min(len(targets), _FEW), 8))
    fitting = max(min((room - name_width) // 2, _BAND), 1)
    count = -(-len(targets) // fitting)
    size = -(-len(targets) // count)
    for start in range(0, len(targets), size):
        band = targets[start : start + size]
        rows = [case for case in cases if any((case, target) in grid for target in band)]
        yield [
            *_staircase(band, name_width, marks),
            *(_row(_fit(names[c], name_width, marks), c, band, grid, marks) for c in rows),
        ]


def _staircase(targets: Sequence[str], name_width: int, marks: Marks) -> Iterator[Text]:
    for place, target in enumerate(targets):
        bars = f" {marks.bar}" * place
        yield Text(f"{' ' * name_width}{bars} {marks.corner} {marks.line(target)}", no_wrap=True)


def _row(
    name: str,
    case: str,
    band: Sequence[str],
    grid: Mapping[tuple[str, str], Outcome],
    marks: Marks,
) -> Text:
    row = Text(name, no_wrap=True)
    for target in band:
        outcome = grid.get((case, target))
        if outcome is None:
            row.append(f" {marks.none}", style="dim")
        else:
            row.append(f" {marks.outcomes[outcome]}", style=_COLOURS[outcome])
    return row


def _fit(name: str, width: int, marks: Marks) -> str:
    if cell_len(name) <= width:
        return set_cell_size(name, width)
    head, tail = (width - 1) * 2 // 3, (width - 1) - (width - 1) * 2 // 3
    return set_cell_size(set_cell_size(name, head) + marks.gap + name[-tail:], width)


def _legend(items: Sequence[ItemRecord], marks: Marks) -> list[tuple[str, ...]]:
    counts = by_outcome(items)
    rows: list[tuple[str, ...]] = [
        (marks.outcomes[outcome], str(counts[outcome]), WORDS[outcome], _MEANINGS[outcome])
        for outcome in WORDS
        if counts[outcome]
    ]
    last = "not collected there; of several items in one place, the worst shows"
    return [*rows, (marks.none, "", "", last)]


def _reasons(items: Sequence[ItemRecord], outcome: Outcome, marks: Marks) -> list[tuple[str, ...]]:
    chosen = [
        item
        for item in items
        if item.verdict is outcome and (outcome is not Outcome.PASS or item.reason)
    ]
    return [(str(count), marks.line(reason)) for reason, count in by_reason(chosen)]


def _dropped(run: RunRecord, marks: Marks) -> list[tuple[str, ...]]:
    return [(str(dropped.count), marks.line(dropped.reason)) for dropped in run.dropped]


def _executed(items: Sequence[ItemRecord], marks: Marks) -> list[tuple[str, ...]]:
    return [
        (
            str(sum(count for _, count in arches)),
            marks.line(runner),
            marks.line(", ".join(f"{arch} {count}" for arch, count in arches)),
        )
        for runner, arches in by_runner(items)
    ]


def _slowest(items: Sequence[ItemRecord], marks: Marks) -> list[tuple[str, ...]]:
    timed = [item for item in items if item.seconds.total > 0]
    timed.sort(key=lambda item: (-item.seconds.total, item.id))
    return [
        (
            duration(item.seconds.total),
            ", ".join(
                f"{stage} {duration(seconds)}"
                for stage, seconds in (
                    ("build", item.seconds.build),
                    ("inspect", item.seconds.inspect),
                    ("run", item.seconds.run),
                )
                if seconds is not None and seconds >= 0.05
            ),
            marks.line(item.id),
        )
        for item in timed[:_SLOWEST]
    ]


def _section(title: str, rows: Sequence[tuple[str, ...]]) -> Iterator[RenderableType]:
    if not rows:
        return
    yield ""
    if title:
        yield Text(title, style="bold")
    table = Table.grid(padding=(0, 1))
    for place in range(len(rows[0])):
        short = all(len(row[place]) <= 14 for row in rows)
        right = all(
            row[place].replace(".", "").rstrip("smh").isdigit() or not row[place] for row in rows
        )
        table.add_column(no_wrap=short, justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(part) for part in row))
    yield Padding(table, (0, 0, 0, 2), expand=False)


def _red(items: Sequence[ItemRecord], marks: Marks) -> Iterator[RenderableType]:
    red = sorted((item for item in items if item.verdict.red), key=lambda item: item.id)
    if red:
        yield ""
        yield Text(f"red: {number(len(red), 'item')}", style="bold")
    for place, item in enumerate(red):
        whole = place < _WHOLE_REASONS
        yield Text(
            f"{marks.outcomes[item.verdict]} {item.verdict} {marks.line(item.id)}",
            style=_COLOURS[item.verdict],
        )
        reason = marks.show(item.reason if whole else first_line(item.reason))
        yield Padding(Text(reason or "no reason given"), (0, 0, 0, 4))
