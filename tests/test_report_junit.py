"""What JUnit XML is given of an item."""

from __future__ import annotations

import shlex
import subprocess

from hypothesis import given, settings
from hypothesis import strategies as st

from crossmatrix.case import Condition, Trap
from crossmatrix.observation import Observation, Stage, StageSeen
from crossmatrix.report.junit import failure_text, properties, rerun
from crossmatrix.verdict import Outcome, Verdict, judge
from report_records import an_item

BUILT = StageSeen(
    stage=Stage.BUILD,
    text="./main.go:5: undefined: add\n",
    seconds=1.0,
    argv=("go", "build", "-ldflags=-s -w", "-o", "app", "."),
    env=(("GOOS", "linux"), ("CGO_CFLAGS", "-O2 -g"), ("EMPTY", "")),
    exit=1,
)
RAN = StageSeen(stage=Stage.RUN, text="hello\n", seconds=1.0, argv=("qemu-arm", "./app"), exit=0)


def test_properties() -> None:
    """An item's properties tell what JUnit cannot; what the item does not have is left out."""
    item = an_item(
        outcome=Outcome.XFAIL, stage=Stage.RUN, reason="boom", executed="qemu", build=1.5, run=0.25
    )
    assert properties(item) == (
        ("crossmatrix.verdict", "XFAIL"),
        ("crossmatrix.stage", "run"),
        ("crossmatrix.reason", "boom"),
        ("crossmatrix.executed", "qemu"),
        ("crossmatrix.case", "arm_goarm.txtar"),
        ("crossmatrix.role", "trap"),
        ("crossmatrix.engine", "docker"),
        ("crossmatrix.digest", "sha256:0123"),
        ("crossmatrix.worker", "gw0"),
        ("crossmatrix.cell.GOOS", "linux"),
        ("crossmatrix.cell.GOARCH", "arm"),
        ("crossmatrix.cell.CGO_ENABLED", "0"),
        ("crossmatrix.cell.cc", "none"),
        ("crossmatrix.cell.buildmode", "default"),
        ("crossmatrix.cell.go", "1.27"),
        ("crossmatrix.cell.go_version", "1.27.3"),
        ("crossmatrix.cell.GOARM", "7"),
        ("crossmatrix.seconds.build", "1.500"),
        ("crossmatrix.seconds.run", "0.250"),
    )
    names = [name for name, _ in properties(an_item())]
    assert "crossmatrix.stage" not in names
    assert "crossmatrix.executed" not in names


def test_properties_tell_outcomes_apart() -> None:
    """Each outcome has a property of its own, and a skip its reason."""
    shown = {dict(properties(an_item(outcome=o)))["crossmatrix.verdict"] for o in Outcome}
    assert len(shown) == len(Outcome)
    skipped = dict(properties(an_item(outcome=Outcome.SKIP, reason="no node")))
    assert skipped["crossmatrix.reason"] == "no node"


def test_properties_are_fit_for_xml() -> None:
    """What XML cannot hold is spelled out."""
    item = an_item(outcome=Outcome.FAIL, reason="\x00\x1b[31m")
    assert dict(properties(item))["crossmatrix.reason"] == "\\x00\\x1b[31m"


def test_failure_text() -> None:
    """A failure shows want and got, the command to repeat, and the stage's text, each once."""
    seen = Observation(stages=(BUILT,), failed=Stage.BUILD)
    trap = Trap(when=Condition(), stage=Stage.RUN, signature=r"^\[oom\]")
    assert failure_text(judge(trap, seen), seen, id="a.txtar::trap[x]") == (
        "WRONG_FAILURE a.txtar::trap[x]\n"
        "the trap closed differently: at build, not at run\n"
        "want: run to go wrong, its text matching\n"
        "      ^\\[oom\\]\n"
        "got:  build went wrong with exit 1\n"
        "\n"
        "To repeat build by hand:\n"
        "  env -i GOOS=linux 'CGO_CFLAGS=-O2 -g' EMPTY= go build '-ldflags=-s -w' -o app .\n"
        "\n"
        "The text of build:\n"
        "  ./main.go:5: undefined: add"
    )


def test_failure_text_of_an_open_trap() -> None:
    """An XPASS shows the stage at which the trap should have closed."""
    seen = Observation(stages=(BUILT, RAN), executed="qemu")
    trap = Trap(when=Condition(), stage=Stage.RUN, signature="boom")
    text = failure_text(judge(trap, seen), seen)
    assert text.startswith("XPASS\nthe trap did not close\n")
    assert text.endswith("env -i qemu-arm ./app\n\nThe text of run:\n  hello")


def test_failure_text_of_a_broken_machine() -> None:
    """Where nothing was observed the reason is all there is, and it is whole."""
    verdict = Verdict(outcome=Outcome.ERROR, reason="the daemon is gone\ngot: nothing\nstart it")
    assert failure_text(verdict, Observation()) == f"ERROR\n{verdict.reason}"


def test_inspect_has_no_command() -> None:
    """A stage without a command is shown without one."""
    seen = Observation(
        stages=(StageSeen(stage=Stage.INSPECT, text="", seconds=0.1),), failed=Stage.INSPECT
    )
    text = failure_text(judge(None, seen), seen)
    assert "by hand" not in text
    assert text.endswith("The text of inspect:\n  (none)")


def test_long_text_is_cut_in_its_middle() -> None:
    """Of a very long text the head and the tail are shown, and how much is missing."""
    text = "".join(f"line {n}\n" for n in range(1000))
    seen = Observation(
        stages=(StageSeen(stage=Stage.RUN, text=text, seconds=1, exit=1),), failed=Stage.RUN
    )
    lines = failure_text(judge(None, seen), seen).split("\n")
    assert "  line 99" in lines
    assert "  [... 800 lines left out ...]" in lines
    assert "  line 900" in lines
    assert lines[-1] == "  line 999"


def test_rerun_runs() -> None:
    """The command to repeat does in a shell what was done, in its environment alone."""
    seen = StageSeen(
        stage=Stage.RUN,
        text="",
        seconds=0,
        argv=("/usr/bin/env",),
        env=(("A", "1 2"), ("B", "$HOME 'x' \"y\"\n;z")),
    )
    done = subprocess.run(["sh", "-c", rerun(seen)], capture_output=True, text=True, check=True)
    assert done.stdout == "A=1 2\nB=$HOME 'x' \"y\"\n;z\n"


WORD = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


@settings(deadline=None)
@given(
    argv=st.lists(WORD, min_size=1),
    env=st.dictionaries(st.from_regex(r"[A-Z_]+", fullmatch=True), WORD),
)
def test_rerun_is_quoted(argv: list[str], env: dict[str, str]) -> None:
    """Any argument and any value reach the command as they were."""
    seen = StageSeen(stage=Stage.RUN, text="", seconds=0, argv=tuple(argv), env=tuple(env.items()))
    words = [*(f"{name}={value}" for name, value in env.items()), *argv]
    assert shlex.split(rerun(seen)) == ["env", "-i", *words]
