"""The report at the end of a run, as it is really drawn."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from crossmatrix.observation import Stage
from crossmatrix.records import Dropped, EndRecord, ItemRecord
from crossmatrix.report.terminal import ASCII, UNICODE, Marks, marks_for, render
from crossmatrix.targets import TARGETS
from crossmatrix.verdict import Outcome
from report_records import a_run, an_item

END = EndRecord(exit=1, seconds=99.4, interrupted=False)
RUN = a_run(dropped=(Dropped(reason="go1.21 does not know it", count=2),))
WRONG = (
    "the trap closed differently: at build, not at run\n"
    "want: run to go wrong, its text matching\n"
    "      ^\\[exit 132\n"
    "got:  build went wrong with exit 1\n"
    "      main.go:3: ünknown"
)
ITEMS = (
    an_item(
        outcome=Outcome.XFAIL, executed="qemu", build=2.25, run=0.5, reason="[exit 132 SIGILL]"
    ),
    an_item(role="remedy", executed="qemu", build=1.0, run=0.5),
    an_item(target="linux/arm/6", executed="qemu"),
    an_item("cgo_dropped", "linux/amd64", executed="native", build=75.0),
    an_item("cgo_dropped", "linux/arm", Outcome.WRONG_FAILURE, stage=Stage.BUILD, reason=WRONG),
    an_item(
        "wasm_procs", "js/wasm", Outcome.SKIP, reason="no node: `crossmatrix fetch node` gets it"
    ),
    an_item("wasm_procs", "wasip1/wasm", reason="no wazero"),
)

SUMMARY = (
    "7 items on docker: 4 pass, 1 xfail, 1 skip; 1 red (1 wrong failure); "
    "executed 4 on 2 ports (2 GOARCH); 1m39s\n"
)

WIDE = """\
crossmatrix 0.1.0: engine docker, preset smoke, on linux/amd64, 2026-01-02 03:04
UTC

            ┌ js/wasm
            │ ┌ linux/amd64
            │ │ ┌ linux/arm
            │ │ │ ┌ linux/arm/6
            │ │ │ │ ┌ wasip1/wasm
arm_goarm   · · x ✓ ·
cgo_dropped · ✓ ≠ · ·
wasm_procs  s · · · ✓

  ✓ 4 pass          went as the case expects
  x 1 xfail         the trap closed, just as the case tells
  s 1 skip          could not be judged here
  ≠ 1 wrong failure the trap closed differently
  ·                 not collected there; of several items in one place, the
                    worst shows

skipped
  1 no node: `crossmatrix fetch node` gets it

passed without being executed
  1 no wazero

left out of the matrix
  2 go1.21 does not know it

executed
  3 qemu   arm 3
  1 native amd64 1

slowest
  1m15s build 1m15s          cgo_dropped.txtar::trap[linux_amd64-cgo0-go1.27]
  2.8s  build 2.2s, run 0.5s arm_goarm.txtar::trap[linux_arm-cgo0-go1.27]
  1.5s  build 1.0s, run 0.5s arm_goarm.txtar::remedy[linux_arm-cgo0-go1.27]

red: 1 item
≠ WRONG_FAILURE cgo_dropped.txtar::trap[linux_arm-cgo0-go1.27]
    the trap closed differently: at build, not at run
    want: run to go wrong, its text matching
          ^\\[exit 132
    got:  build went wrong with exit 1
          main.go:3: ünknown

"""

NARROW = """\
crossmatrix 0.1.0: engine docker, preset smoke, on
linux/amd64, 2026-01-02 03:04 UTC

            , js/wasm
            | , linux/amd64
            | | , linux/arm
            | | | , linux/arm/6
            | | | | , wasip1/wasm
arm_goarm   . . x + .
cgo_dropped . + W . .
wasm_procs  s . . . +

  + 4 pass          went as the case expects
  x 1 xfail         the trap closed, just as the
                    case tells
  s 1 skip          could not be judged here
  W 1 wrong failure the trap closed differently
  .                 not collected there; of
                    several items in one place,
                    the worst shows

skipped
  1 no node: `crossmatrix fetch node` gets it

passed without being executed
  1 no wazero

left out of the matrix
  2 go1.21 does not know it

executed
  3 qemu   arm 3
  1 native amd64 1

slowest
  1m15s build 1m15s          cgo_dropped.txtar::tr
                             ap[linux_amd64-cgo0-g
                             o1.27]
  2.8s  build 2.2s, run 0.5s arm_goarm.txtar::trap
                             [linux_arm-cgo0-go1.2
                             7]
  1.5s  build 1.0s, run 0.5s arm_goarm.txtar::reme
                             dy[linux_arm-cgo0-go1
                             .27]

red: 1 item
W WRONG_FAILURE
cgo_dropped.txtar::trap[linux_arm-cgo0-go1.27]
    the trap closed differently: at build, not at
    run
    want: run to go wrong, its text matching
          ^\\[exit 132
    got:  build went wrong with exit 1
          main.go:3: \\xfcnknown

"""


def drawn(*items: ItemRecord, width: int = 80, marks: Marks = UNICODE, color: bool = False) -> str:
    return render(RUN, items, width=width, color=color, marks=marks, end=END)


def test_at_80_columns() -> None:
    """A run of every kind of item is drawn so."""
    assert drawn(*ITEMS) == WIDE + SUMMARY


def test_at_50_columns_in_ascii() -> None:
    """Where the output cannot show more than ASCII, the same is told in ASCII."""
    assert drawn(*ITEMS, width=50, marks=ASCII) == NARROW + SUMMARY


def test_wide_terminal_needs_no_folding() -> None:
    """With 200 columns the same words stand in fewer lines."""
    wide = drawn(*ITEMS, width=200)
    assert wide.split() == (WIDE + SUMMARY).split()
    assert wide.count("\n") < WIDE.count("\n")


def test_green_run() -> None:
    """Where nothing is red, nothing speaks of red items but the count."""
    text = drawn(an_item(executed="qemu"))
    assert "red:" not in text
    assert text.endswith(
        "1 item on docker: 1 pass; 0 red; executed 1 on 1 port (1 GOARCH); 1m39s\n"
    )


@pytest.mark.parametrize("end", [None, EndRecord(exit=2, seconds=1, interrupted=True)])
def test_cut_short(end: EndRecord | None) -> None:
    """The report of an interrupted run says that it is not whole."""
    text = render(RUN, ITEMS, width=80, color=False, end=end)
    assert "\nThe run was cut short: what is missing here was not judged.\n" in text


def test_no_items() -> None:
    """A run that judged nothing has a report without a grid."""
    text = render(RUN, (), width=80, color=False)
    assert "0 items on docker: 0 pass; 0 red; executed 0 on 0 ports (0 GOARCH)" in text
    assert "┌" not in text


@pytest.mark.parametrize(
    ("outcomes", "mark"),
    [
        ((Outcome.PASS, Outcome.XFAIL), "x"),
        ((Outcome.XFAIL, Outcome.SKIP), "s"),
        ((Outcome.SKIP, Outcome.XPASS), "X"),
        ((Outcome.XPASS, Outcome.WRONG_FAILURE), "≠"),
        ((Outcome.WRONG_FAILURE, Outcome.FAIL), "F"),
        ((Outcome.FAIL, Outcome.ERROR), "!"),
    ],
)
def test_worst_of_a_square(outcomes: tuple[Outcome, ...], mark: str) -> None:
    """Several items of one case and target show as the worst of them, in any order."""
    for order in (outcomes, outcomes[::-1]):
        items = [an_item(outcome=o, cgo=bool(n)) for n, o in enumerate(order)]
        assert f"\narm_goarm {mark}\n" in drawn(*items)


def test_bands() -> None:
    """Columns that do not fit side by side follow in bands, each with the names of its own."""
    items = [an_item("hello", port) for port in TARGETS]
    text = drawn(*items)
    heads = re.findall(r"┌ (\S+)", text)
    assert heads == sorted(TARGETS)
    rows = re.findall(r"^hello((?: ✓)+)$", text, re.MULTILINE)
    assert sum(row.count("✓") for row in rows) == len(TARGETS)
    assert len(rows) == 3
    assert max(row.count("✓") for row in rows) - min(row.count("✓") for row in rows) <= 2


def test_band_without_a_case() -> None:
    """A case that has nothing in a band is not listed there."""
    items = [an_item("everywhere", port) for port in TARGETS] + [an_item("here", "aix/ppc64")]
    assert len(re.findall(r"^everywhere ", drawn(*items), re.MULTILINE)) == 3
    assert len(re.findall(r"^here +✓", drawn(*items), re.MULTILINE)) == 1


def test_marks_stand_below_their_column() -> None:
    """The mark of an item stands right below the corner of its target's name."""
    lines = drawn(
        *(an_item("a_case", port) for port in ("js/wasm", "linux/386", "linux/arm"))
    ).split("\n")
    head = next(line for line in lines if line.endswith("┌ linux/arm"))
    row = next(line for line in lines if line.startswith("a_case"))
    assert row[head.index("┌")] == "✓"
    assert head.index("┌") == len(row) - 1


def test_long_names() -> None:
    """A long name keeps its beginning and its end, and the grid its columns."""
    name = "category_" + "long_" * 30 + "end"
    text = drawn(*(an_item(name, port) for port in TARGETS))
    row = next(line for line in text.split("\n") if line.startswith("category_long_"))
    assert "…" in row
    assert "_end " in row
    assert len(row) <= 80


def test_skips_are_counted_by_reason() -> None:
    """Every reason of a skip is there with its count, the most frequent first."""
    items = [
        an_item(target="js/wasm", outcome=Outcome.SKIP, reason="no node"),
        an_item(target="linux/arm", outcome=Outcome.SKIP, reason="no qemu-arm\n  get it so"),
        an_item(target="linux/arm/6", outcome=Outcome.SKIP, reason="no qemu-arm\n  get it so"),
    ]
    assert "\nskipped\n  2 no qemu-arm; get it so\n  1 no node\n" in drawn(*items)


def test_many_red_items() -> None:
    """Of very many red items all are named, and the first ones with all that was seen."""
    items = [
        an_item(f"case{n:02}", outcome=Outcome.FAIL, reason="head\nwant: x") for n in range(30)
    ]
    text = drawn(*items)
    assert len(re.findall(r"^F FAIL case", text, re.MULTILINE)) == 30
    assert text.count("    head\n") == 30
    assert text.count("    want: x\n") == 20


def test_colour() -> None:
    """Colours come only when they are asked for, and change nothing else."""
    coloured = drawn(*ITEMS, color=True)
    assert "\x1b[32m ✓" in coloured
    assert "\x1b" not in drawn(*ITEMS)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert [line.rstrip() for line in plain.split("\n")] == drawn(*ITEMS).split("\n")


def test_environment_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Width and colour are the caller's: no variable of the environment has a say."""
    before = drawn(*ITEMS), drawn(*ITEMS, color=True)
    for name, value in {
        "COLUMNS": "20",
        "TERM": "dumb",
        "NO_COLOR": "1",
        "FORCE_COLOR": "1",
    }.items():
        monkeypatch.setenv(name, value)
    assert (drawn(*ITEMS), drawn(*ITEMS, color=True)) == before


def test_what_a_program_printed_is_harmless() -> None:
    """Control characters in a reason are spelled out, never sent to a terminal."""
    reason = "head\x1b]0;title\x07\nwant: \x1b[2J\u202e\r\n  [bold]kept[/bold]"
    text = drawn(an_item(outcome=Outcome.FAIL, reason=reason), color=True)
    assert "head\\x1b]0;title\\x07" in text
    assert "\\x1b[2J\\u202e" in text
    assert "[bold]kept[/bold]" in text


def test_summary_is_the_last_line() -> None:
    """The sum of the run is one whole line at the end, however narrow the terminal."""
    assert drawn(*ITEMS, width=40).endswith(f"\n{SUMMARY}")


@pytest.mark.parametrize(
    ("encoding", "marks"),
    [
        ("utf-8", UNICODE),
        ("UTF-16", UNICODE),
        ("ascii", ASCII),
        ("latin-1", ASCII),
        ("cp1252", ASCII),
        (None, ASCII),
        ("no-such-encoding", ASCII),
    ],
)
def test_marks_for_an_encoding(encoding: str | None, marks: Marks) -> None:
    """The marks are those that the output can show."""
    assert marks_for(encoding) is marks


ANY_ITEM = st.builds(
    an_item,
    st.text(min_size=1, max_size=60),
    st.sampled_from(sorted(TARGETS)),
    st.sampled_from(Outcome),
    reason=st.text(max_size=200),
    executed=st.none() | st.sampled_from(["native", "qemu", "wazero"]),
    build=st.floats(0, 1e6),
)


@settings(deadline=None)
@given(
    items=st.lists(ANY_ITEM, max_size=25),
    width=st.integers(40, 220),
    marks=st.sampled_from([UNICODE, ASCII]),
)
def test_any_run_fits(items: list[ItemRecord], width: int, marks: Marks) -> None:
    """Whatever the items are, every line but the last fits, and ASCII stays ASCII."""
    text = drawn(*items, width=width, marks=marks)
    lines = text.rstrip("\n").split("\n")
    assert all(cell_len(line) <= width for line in lines[:-1])
    assert all(char == "\n" or char.isprintable() for char in text)
    assert text.isascii() or not marks.plain


def test_start_is_told_in_utc() -> None:
    """The headline names engine, preset, host and the start."""
    assert RUN.started.utcoffset() == timedelta(0)
    assert drawn().startswith(
        "crossmatrix 0.1.0: engine docker, preset smoke, on linux/amd64, 2026-01-02 03:04\nUTC\n"
    )
