"""Judging: what was expected and what was seen make the outcome."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmatrix.case import Condition, Trap
from crossmatrix.observation import Observation, Stage, StageSeen
from crossmatrix.verdict import Outcome, excerpt, judge

B, I, R = Stage.BUILD, Stage.INSPECT, Stage.RUN  # noqa: E741
NO_RUNNER = "no wine on this machine"

PASS, XFAIL, FAIL, XPASS, WRONG, SKIP, ERROR = (
    Outcome.PASS,
    Outcome.XFAIL,
    Outcome.FAIL,
    Outcome.XPASS,
    Outcome.WRONG_FAILURE,
    Outcome.SKIP,
    Outcome.ERROR,
)


def trap(stage: Stage, signature: str = "boom", exit: int | None = None) -> Trap:
    return Trap(when=Condition(), stage=stage, signature=signature, exit=exit)


def seen(
    *reached: Stage,
    failed: Stage | None = None,
    text: str = "boom\n",
    exit: int = 1,
    unreached: str | None = None,
    run_expected: bool = False,
) -> Observation:
    stages = tuple(
        StageSeen(
            stage=stage,
            text=text if stage is failed else "boom, but as expected\n",
            seconds=0.1,
            exit=None if stage is I else exit if stage is failed else 0,
        )
        for stage in reached
    )
    return Observation(
        stages=stages,
        failed=failed,
        unreached=unreached,
        run_expected=run_expected,
        executed="native" if R in reached else None,
    )


def short(*reached: Stage, failed: Stage | None = None, run_expected: bool = True) -> Observation:
    return seen(*reached, failed=failed, unreached=NO_RUNNER, run_expected=run_expected)


@pytest.mark.parametrize(
    ("what", "given_trap", "observation", "outcome", "stage"),
    [
        ("all well", None, seen(B, I, R, run_expected=True), PASS, None),
        ("run: false", None, seen(B, I), PASS, None),
        ("output: none", None, seen(B), PASS, None),
        ("build fails", None, seen(B, failed=B), FAIL, B),
        ("inspect fails", None, seen(B, I, failed=I), FAIL, I),
        ("run fails", None, seen(B, I, R, failed=R), FAIL, R),
        ("no runner, run matters", None, short(B, I), SKIP, None),
        ("no runner, run is mute", None, short(B, I, run_expected=False), PASS, None),
        ("no builder", None, seen(unreached=NO_RUNNER), SKIP, None),
        ("nothing at all", None, seen(), ERROR, None),
        ("fails early, no runner", None, short(B, I, failed=I), FAIL, I),
        ("closes at build", trap(B), seen(B, failed=B), XFAIL, B),
        ("closes at inspect", trap(I), seen(B, I, failed=I), XFAIL, I),
        ("closes at run", trap(R), seen(B, I, R, failed=R), XFAIL, R),
        ("closes with its status", trap(R, exit=1), seen(B, I, R, failed=R), XFAIL, R),
        ("another status", trap(R, exit=132), seen(B, I, R, failed=R), WRONG, R),
        ("exit 0 is a status too", trap(R, exit=0), seen(B, I, R, failed=R), WRONG, R),
        ("a status of inspect", trap(I, exit=1), seen(B, I, failed=I), WRONG, I),
        ("another text", trap(B, "bang"), seen(B, failed=B), WRONG, B),
        ("earlier than told", trap(R), seen(B, failed=B), WRONG, B),
        ("later than told", trap(B), seen(B, I, R, failed=R), WRONG, R),
        ("no text", trap(B), seen(B, failed=B, text=""), WRONG, B),
        ("a failed stage unseen", trap(B), seen(failed=B), WRONG, B),
        ("build trap is open", trap(B), seen(B, I, R), XPASS, B),
        ("inspect trap is open", trap(I), seen(B, I), XPASS, I),
        ("run trap is open", trap(R), seen(B, I, R), XPASS, R),
        ("run trap, run: false", trap(R), seen(B, I), XPASS, R),
        ("build trap open, no runner", trap(B), short(B, I), XPASS, B),
        ("inspect trap open, no runner", trap(I), short(B, I, run_expected=False), XPASS, I),
        ("run trap, no runner", trap(R), short(B, I), SKIP, None),
        ("run trap, no runner, mute", trap(R), short(B, I, run_expected=False), SKIP, None),
        ("build trap, no builder", trap(B), seen(unreached=NO_RUNNER), SKIP, None),
        ("inspect trap, nothing inspected", trap(I), seen(B, unreached="x"), SKIP, None),
        ("closes early, no runner", trap(B), short(B, failed=B), XFAIL, B),
        ("run trap fails early, no runner", trap(R), short(B, failed=B), WRONG, B),
        ("a trap, nothing at all", trap(B), seen(), ERROR, None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_outcome(
    what: str,  # noqa: ARG001
    given_trap: Trap | None,
    observation: Observation,
    outcome: Outcome,
    stage: Stage | None,
) -> None:
    """Each combination of trap, failed stage and reachable stages has one outcome."""
    found = judge(given_trap, observation)
    assert (found.outcome, found.stage) == (outcome, stage)


@pytest.mark.parametrize(
    ("signature", "text", "closes"),
    [
        (r"^\[exit 132 SIGILL\]", "hello\n[exit 132 SIGILL]\n", True),
        (r"hello$", "hello\nworld\n", True),
        (r"\Ahello", "first\nhello\n", False),
        (r"a.b", "a\nb\n", False),
        (r"{work}/main\.go:3", "{work}/main.go:3: bad\n", True),
        (r"undefined: add", "UNDEFINED: ADD\n", False),
    ],
)
def test_signature(signature: str, text: str, closes: bool) -> None:
    """A signature is searched in the stage's whole text, its anchors at every line."""
    found = judge(trap(R, signature), seen(B, I, R, failed=R, text=text))
    assert found.outcome is (XFAIL if closes else WRONG)


def test_signature_elsewhere() -> None:
    """The signature in the text of another stage than the failed one closes nothing."""
    assert judge(trap(R), seen(B, I, R, failed=R, text="bang\n")).outcome is WRONG


def test_reason_of_a_wrong_failure() -> None:
    """A wrong failure says how it differs, what was wanted and what was got."""
    found = judge(
        trap(R, r"^\[exit 132 SIGILL\]", 132), seen(B, failed=B, text="main.go:3: undefined: add\n")
    )
    assert found.reason == (
        "the trap closed differently: at build, not at run\n"
        "want: run to go wrong with exit 132, its text matching\n"
        "      ^\\[exit 132 SIGILL\\]\n"
        "got:  build went wrong with exit 1\n"
        "      main.go:3: undefined: add"
    )


@pytest.mark.parametrize(
    ("given_trap", "observation", "headline"),
    [
        (
            trap(R, "bang"),
            seen(B, I, R, failed=R),
            "the trap closed differently: its signature is not in the text of run",
        ),
        (
            trap(R, exit=2),
            seen(B, I, R, failed=R),
            "the trap closed differently: with exit 1, not with exit 2",
        ),
        (trap(R), seen(B, I, R), "the trap did not close"),
        (None, seen(B, I, failed=I), "inspect did not go as expected"),
    ],
)
def test_headline(given_trap: Trap | None, observation: Observation, headline: str) -> None:
    """The first line of a red reason tells alone what is wrong, the next ones want and got."""
    lines = judge(given_trap, observation).reason.split("\n")
    assert lines[0] == headline
    assert [line for line in lines if line.startswith("want: ")]
    assert [line for line in lines if line.startswith("got:  ")]


def test_reason_of_an_open_trap() -> None:
    """An XPASS names the stages that went well, and why the run was not reached."""
    found = judge(trap(B, "undefined: add"), short(B, I))
    assert found.reason == (
        "the trap did not close\n"
        "want: build to go wrong, its text matching\n"
        "      undefined: add\n"
        f"got:  build, inspect as the case expects; run not reached: {NO_RUNNER}"
    )


def test_reason_of_a_closed_trap() -> None:
    """An XFAIL quotes the line in which its signature was found."""
    text = "one\ntwo boom three\nfour\n"
    assert judge(trap(R), seen(B, I, R, failed=R, text=text)).reason == "two boom three"


def test_reason_is_short() -> None:
    """The reason of a red item is readable whatever a program has printed."""
    text = "".join(f"line {n} {'x' * 5000}\n" for n in range(10_000)) + "exit: want 0, got 1\n"
    reason = judge(None, seen(B, I, R, failed=R, text=text)).reason
    assert len(reason) < 12_000
    assert "line 0" in reason
    assert "left out" in reason
    assert reason.endswith("exit: want 0, got 1")


@pytest.mark.parametrize(
    ("text", "lines", "expected"),
    [
        ("", 4, ""),
        ("a\nb\n", 2, "a\nb"),
        ("a\nb\nc\n", 2, "a\n[... 1 lines left out ...]\nc"),
        ("a\nb\nc\nd\ne", 3, "a\nb\n[... 2 lines left out ...]\ne"),
        ("a\nb\n", 1, "a\n[... 1 lines left out ...]"),
    ],
)
def test_excerpt(text: str, lines: int, expected: str) -> None:
    """An excerpt keeps the head and the tail and counts what is missing between."""
    assert excerpt(text, lines=lines) == expected


STAGES: st.SearchStrategy[tuple[Stage, ...]] = st.sampled_from([(), (B,), (B, I), (B, I, R)])
TEXTS = st.text(alphabet="bom\n[]{}x", max_size=30)


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    reached = draw(STAGES)
    fails, cut_short = draw(st.booleans()), draw(st.booleans())
    return seen(
        *reached,
        failed=reached[-1] if reached and fails else None,
        text=draw(TEXTS),
        exit=draw(st.integers(0, 255)),
        unreached=NO_RUNNER if cut_short and R not in reached else None,
        run_expected=draw(st.booleans()),
    )


TRAPS = st.builds(
    trap,
    st.sampled_from(Stage),
    st.sampled_from(["boom", "^b", r"\[", "o+m$"]),
    st.none() | st.integers(0, 255),
)


@settings(deadline=None)
@given(observation=observations(), closing=st.none() | TRAPS)
def test_laws(observation: Observation, closing: Trap | None) -> None:
    """No failure turns green without its trap, no trap without its failure."""
    found = judge(closing, observation)
    failed = observation.failed
    if found.outcome is XFAIL:
        assert closing is not None
        assert failed is closing.stage is found.stage
        ended = observation.seen(failed)
        assert ended is not None
        assert closing.exit in (None, ended.exit)
    if found.outcome is PASS:
        assert closing is None
        assert failed is None
    if found.outcome is SKIP:
        assert failed is None
        assert found.reason == observation.unreached
    if failed is not None:
        assert found.outcome in ({FAIL} if closing is None else {XFAIL, WRONG})
    if found.outcome is XPASS:
        assert failed is None
        assert closing is not None
    assert found.outcome.red is (found.outcome in (FAIL, XPASS, WRONG, ERROR))
    assert found.outcome in (PASS, XFAIL) or found.reason


@settings(deadline=None)
@given(observation=observations(), closing=st.none() | TRAPS)
def test_judging_again(observation: Observation, closing: Trap | None) -> None:
    """The same trap and the same observation always give the same verdict."""
    assert judge(closing, observation) == judge(closing, observation)


@settings(deadline=None)
@given(text=st.text(max_size=400), lines=st.integers(1, 10), columns=st.integers(2, 20))
def test_excerpt_is_bounded(text: str, lines: int, columns: int) -> None:
    """An excerpt never has more than one line, and one remark a line, beyond what was asked for."""
    rows = excerpt(text, lines=lines, columns=columns).split("\n")
    assert len(rows) <= lines + 1
    assert all(len(row) <= columns + 60 for row in rows)
