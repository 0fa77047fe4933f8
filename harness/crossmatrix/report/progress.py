"""How far a run is, while it goes: text for the caller to write, never written from here."""

from __future__ import annotations

from collections import Counter

from rich.cells import cell_len, set_cell_size

from crossmatrix.records import ItemRecord
from crossmatrix.report.counts import WORDS, duration, first_line
from crossmatrix.report.terminal import UNICODE, Marks
from crossmatrix.verdict import Outcome

_CLEAR = "\r\x1b[2K"


class Progress:
    """The progress of one run.

    Where ``live``, one line is written over again and again; otherwise a line of its own appears
    every ``every_items`` items, or with the first item after ``every_seconds`` seconds. What is red
    is told at once, in both. Times are seconds of any monotonic clock.
    """

    def __init__(
        self,
        *,
        live: bool,
        width: int,
        started: float,
        marks: Marks = UNICODE,
        every_items: int = 50,
        every_seconds: float = 15.0,
    ) -> None:
        self._live = live
        self._width = width
        self._started = started
        self._marks = marks
        self._every_items = every_items
        self._every_seconds = every_seconds
        self._counts: Counter[Outcome] = Counter()
        self._told = 0
        self._told_at = started
        self._shown = False

    def item(self, record: ItemRecord, done: int, total: int, now: float) -> str:
        """What to write now that ``done`` of ``total`` items are judged; often nothing."""
        self._counts[record.verdict] += 1
        red = self._red(record) if record.verdict.red else ""
        if self._live:
            self._shown = True
            return f"{_CLEAR}{red}{self._status(record, done, total, now)}"
        due = (
            done >= total
            or done - self._told >= self._every_items
            or now - self._told_at >= self._every_seconds
        )
        if not due:
            return red
        self._told, self._told_at = done, now
        return f"{red}{status(self._counts, done, total, now - self._started)}\n"

    def close(self) -> str:
        """What takes a live line away again, so that other output starts on a clean line."""
        shown, self._shown = self._shown, False
        return _CLEAR if shown else ""

    def _red(self, record: ItemRecord) -> str:
        text = f"{record.verdict} {record.id}: {first_line(record.reason)}"
        return self._marks.line(text) + "\n"

    def _status(self, record: ItemRecord, done: int, total: int, now: float) -> str:
        text = status(self._counts, done, total, now - self._started)
        # A terminal that is written to its last column may start a new line by itself.
        room = self._width - 1
        whole = f"{text}  {self._marks.line(record.id)}"
        return whole if cell_len(whole) <= room else set_cell_size(whole, room)


def status(counts: Counter[Outcome], done: int, total: int, seconds: float) -> str:
    """``[ 12/412   2%] 10 pass, 2 xfail; 0 red; 34s``."""
    share = 100 * done // total if total else 100
    green = ", ".join(f"{counts[o]} {WORDS[o]}" for o in WORDS if counts[o] and not o.red)
    red = sum(counts[o] for o in WORDS if o.red)
    place = f"{done:>{len(str(total))}}/{total}"
    return f"[{place} {share:>3}%] {green or '0 pass'}; {red} red; {duration(seconds)}"
