"""What all reports count, and how they spell it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmatrix.report.counts import (
    WORDS,
    by_outcome,
    by_reason,
    by_runner,
    duration,
    summary_line,
    visible,
    worst,
)
from crossmatrix.verdict import Outcome
from report_records import a_run, an_item


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0s"),
        (9.94, "9.9s"),
        (9.96, "10s"),
        (59.4, "59s"),
        (59.6, "1m00s"),
        (185, "3m05s"),
        (3599.9, "1h00m"),
        (3720, "1h02m"),
        (90000, "25h00m"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    """A time is told as short as a reader needs it."""
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ünï 漢 €", "plain ünï 漢 €"),
        ("a\r\nb\tc", "a\nb   c"),
        ("50%\r100%", "50%\\r100%"),
        ("\x1b[31mred\x00", "\\x1b[31mred\\x00"),
        ("\u202eabc\u2028\udc80", "\\u202eabc\\u2028\\udc80"),
    ],
)
def test_visible(text: str, shown: str) -> None:
    """What a terminal would act on is spelled out; everything else stays."""
    assert visible(text) == shown


@settings(deadline=None)
@given(st.text())
def test_visible_is_printable(text: str) -> None:
    """Nothing but line ends and printable characters is left, and showing again changes nothing."""
    shown = visible(text)
    assert all(char == "\n" or char.isprintable() for char in shown)
    assert visible(shown) == shown


def test_every_outcome_has_a_word() -> None:
    """No outcome is missing in a report, and everything green is better than everything red."""
    assert set(WORDS) == set(Outcome)
    assert [outcome.red for outcome in WORDS] == [False] * 3 + [True] * 4


@settings(deadline=None)
@given(st.lists(st.sampled_from(Outcome), min_size=1))
def test_worst_is_never_green_when_one_is_red(outcomes: list[Outcome]) -> None:
    """A red item is never hidden behind a green one."""
    assert worst(outcomes).red is any(outcome.red for outcome in outcomes)


def test_by_runner() -> None:
    """Only what really ran is counted, by its runner and its architecture."""
    items = [
        an_item(target="linux/arm", executed="qemu"),
        an_item(target="linux/arm/6", executed="qemu"),
        an_item(target="linux/386", executed="qemu"),
        an_item(target="linux/amd64", executed="native"),
        an_item(target="js/wasm"),
    ]
    assert by_runner(items) == [("qemu", [("386", 1), ("arm", 2)]), ("native", [("amd64", 1)])]


def test_by_reason() -> None:
    """Reasons are counted whole, the way out included; a missing one is named as such."""
    items = [an_item(reason=reason) for reason in ("b", "a\n  get it so", "b", "")]
    assert by_reason(items) == [("b", 2), ("a; get it so", 1), ("no reason given", 1)]


def test_by_outcome_names_all() -> None:
    """An outcome that never came is counted as none."""
    assert by_outcome([an_item()])[Outcome.ERROR] == 0
    assert by_outcome([an_item()])[Outcome.PASS] == 1


def test_summary_line() -> None:
    """One line says what came out, what is red and why, and on how many ports something ran."""
    items = [
        an_item(executed="native", target="linux/386"),
        an_item(executed="qemu", target="linux/arm"),
        an_item(executed="node", target="js/wasm"),
        an_item(executed="wazero", target="wasip1/wasm"),
        an_item(outcome=Outcome.ERROR),
        an_item(outcome=Outcome.XPASS),
    ]
    assert summary_line(a_run(), items) == (
        "6 items on docker: 4 pass; 2 red (1 xpass, 1 error); executed 4 on 4 ports (3 GOARCH)"
    )
