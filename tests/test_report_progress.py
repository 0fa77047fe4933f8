"""Progress while a run goes, as text."""

from __future__ import annotations

from collections import Counter

from rich.cells import cell_len

from crossmatrix.report.progress import Progress, status
from crossmatrix.report.terminal import ASCII
from crossmatrix.verdict import Outcome
from report_records import an_item

FAILED = an_item("bad", outcome=Outcome.FAIL, reason="run did not go as expected\nwant: x\x1b")


def test_status() -> None:
    """A status tells how far the run is, what came out, and how long it took."""
    counts = Counter({Outcome.PASS: 10, Outcome.XFAIL: 1, Outcome.FAIL: 1})
    assert status(counts, 12, 412, 34) == "[ 12/412   2%] 10 pass, 1 xfail; 1 red; 34s"
    assert status(Counter(), 0, 0, 0) == "[0/0 100%] 0 pass; 0 red; 0.0s"


def test_plain_lines_by_items() -> None:
    """In a log a line comes every so many items, and with the last one."""
    progress = Progress(live=False, width=80, started=0, every_items=3, every_seconds=1000)
    written = [progress.item(an_item(), done, 7, now=done) for done in range(1, 8)]
    assert written == [
        "",
        "",
        "[3/7  42%] 3 pass; 0 red; 3.0s\n",
        "",
        "",
        "[6/7  85%] 6 pass; 0 red; 6.0s\n",
        "[7/7 100%] 7 pass; 0 red; 7.0s\n",
    ]
    assert progress.close() == ""


def test_plain_lines_by_time() -> None:
    """In a log a slow run shows that it lives."""
    progress = Progress(live=False, width=80, started=100, every_items=50, every_seconds=15)
    written = [
        progress.item(an_item(), n, 99, now) for n, now in enumerate((110, 116, 117, 131), 1)
    ]
    assert [bool(text) for text in written] == [False, True, False, True]


def test_red_is_told_at_once() -> None:
    """A red item is named with the first line of its reason as soon as it is judged."""
    told = "FAIL bad.txtar::trap[linux_arm-cgo0-go1.27]: run did not go as expected\n"
    assert Progress(live=False, width=80, started=0).item(FAILED, 1, 99, 1) == told
    live = Progress(live=True, width=80, started=0).item(FAILED, 1, 99, 1)
    assert live.startswith(f"\r\x1b[2K{told}[ 1/99   1%] 0 pass; 1 red; 1.0s")


def test_live_line() -> None:
    """In a terminal one line is written over again, never to the last column, and taken away."""
    progress = Progress(live=True, width=40, started=0)
    assert progress.close() == ""
    text = progress.item(an_item("a_case_" * 20), 1, 412, 1)
    assert text.startswith("\r\x1b[2K[  1/412   0%] 1 pass; 0 red; 1.0s")
    assert "\n" not in text
    assert cell_len(text.removeprefix("\r\x1b[2K")) == 39
    assert progress.close() == "\r\x1b[2K"
    assert progress.close() == ""


def test_ascii() -> None:
    """Where the output cannot show it, nothing but ASCII is written."""
    record = an_item("ünï", outcome=Outcome.ERROR, reason="gönę\x1b[2J")
    for live in (True, False):
        text = Progress(live=live, width=80, started=0, marks=ASCII).item(record, 1, 1, 1)
        assert text.isascii()
        assert "\\x1b[2J" in text
