"""Cases as they are read, and every refusal with its line."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmatrix import casefile
from crossmatrix.case import Case, FactWanted, HostPort, Match, TextWanted
from crossmatrix.casechecks import GO_VERSIONS
from crossmatrix.caseschema import When
from crossmatrix.cell import Cell
from crossmatrix.errors import InputError
from crossmatrix.observation import Stage
from crossmatrix.targets import ARCHES

HOST = HostPort(goos="linux", goarch="amd64")
FILES = "-- go.mod --\nmodule x\n-- main.go --\npackage main\n"
PITFALL = """\
title: A surprise
why: Because of that.
refs: [https://go.dev/issue/24068]
cells: {GOOS: linux, GOARCH: [arm, 386]}
traps:
  - when: {GOARCH: arm}
    stage: build
    signature: 'undefined: add'
remedy: {what: Do it., build: {env: {A: 1}}}
"""


def case(text: str, path: str = "x.txtar") -> Case:
    place = Path(path)
    return casefile.from_archive(casefile.parse(text.encode(), place), path=place, name=path)


def refused(text: str) -> InputError:
    with pytest.raises(InputError) as caught:
        casefile.check(case(text), casefile.universe(), HOST)
    assert caught.value.hint, "an error says the way out"
    return caught.value


def test_a_whole_head() -> None:
    """Every key arrives in the model, as text where YAML would guess."""
    found = case(
        """\
title: All
claims: [c-1]
each:
  - build: {env: {GOARM: 6}}
  - {run: {cpu: arm1176}, remove: [b.txt]}
needs: [no-binfmt]
build:
  env: {GOFLAGS: -trimpath, EMPTY: }
  unset: [GOARM]
  args: [-v]
  package: ./cmd
  buildmode: pie
  output: {exact: app.bin}
  cc: zig:gnu.2.17
  tools: [git]
  modules: true
run:
  args: [1.20, off]
  stdin: "x\\n"
  files: [b.txt]
  dirs: ['.']
  argv: [sh, -c, '{app}']
  runner: qemu:7.2
  runner_args: [-s]
  cpu: Nehalem
  sysroot: cross
  root: scratch
  timeout: 1.5
  limits: {pids: 64, memory: 64m}
expect:
  - when: {GOOS: {not: [linux, js]}}
    exit: 3
    stdout: {has: a, lacks: [b, c]}
    stderr: '^x$'
  - when: {each: 2}
    facts: {linkage: static, needed: [a, b], interpreter: absent, size: {max: 1000}, go.GOARM: 6}
"""
        + FILES
        + "-- b.txt --\n"
    )
    build, run = found.base.build, found.base.run
    assert dict(build.env) == {"GOFLAGS": "-trimpath", "EMPTY": ""}
    assert (build.output, build.output_exact, build.modules) == ("app.bin", True, True)
    assert (build.cc, build.package, build.unset) == ("zig:gnu.2.17", "./cmd", ("GOARM",))
    assert run.args == ("1.20", "off")
    assert run.limits == (("pids", 64), ("memory", 64 << 20))
    assert (run.timeout, run.runner, run.root) == (1.5, "qemu:7.2", "scratch")
    assert dict(found.each[0].build.env) == {"GOARM": "6"}
    assert found.each[1].remove == ("b.txt",)
    first, second = found.expect
    assert first.when.keys == (("GOOS", Match(values=("linux", "js"), negated=True)),)
    assert first.exit == 3
    assert first.stdout == (
        TextWanted(operator="has", values=("a",)),
        TextWanted(operator="lacks", values=("b", "c")),
    )
    assert first.stderr == (TextWanted(operator="matches", values=("^x$",)),)
    assert second.facts == (
        FactWanted(fact="linkage", operator="is", values=("static",)),
        FactWanted(fact="needed", operator="is", values=("a", "b")),
        FactWanted(fact="interpreter", operator="absent"),
        FactWanted(fact="size", operator="max", values=("1000",)),
        FactWanted(fact="go.GOARM", operator="is", values=("6",)),
    )
    assert found.head["title"] == "All"
    assert (build.line, run.line, second.line) == (7, 17, 35)


def test_a_pitfall() -> None:
    """Traps, remedies and the remedy's files are told apart from the program."""
    found = case(PITFALL + FILES + "-- remedy/add.go --\npackage main\n")
    (trap,) = found.traps
    assert (trap.stage, trap.signature, trap.line) == (Stage.BUILD, "undefined: add", 6)
    assert set(found.files) == {"go.mod", "main.go"}
    assert set(found.remedy_files) == {"add.go"}
    assert found.remedies[0].what == "Do it."
    casefile.check(found, casefile.universe(), HOST)


def test_run_false_and_facts_none() -> None:
    """false ends the case after inspection, none switches the automatic checks off."""
    found = case(f"title: x\nrun: false\nexpect: {{facts: none}}\n{FILES}")
    assert found.base.skip_run
    assert found.expect[0].no_facts


def pitfall(old: str, new: str) -> str:
    assert old in PITFALL
    return PITFALL.replace(old, new) + FILES


HEAD = "title: x\n"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (HEAD, 1, "a case without files"),
        (f"titel: x\n{FILES}", 1, "unknown key 'titel'"),
        (f"{HEAD}bulid: {{}}\n{FILES}", 2, "unknown key 'bulid'"),
        (f"why: x\n{FILES}", 1, "title is missing"),
        (f"title: ''\n{FILES}", 1, "one line of text"),
        (f"- a\n{FILES}", 1, "want a mapping"),
        (f"{HEAD}title: y\n{FILES}", 2, "duplicate key"),
        (f"{HEAD}needs: [root]\n{FILES}", 2, "'root' is none of"),
        (f"{HEAD}build:\n  env: {{1A: x}}\n{FILES}", 3, "'1A' is not possible"),
        (f"{HEAD}build:\n  args:\n    - -v\n    - -o\n{FILES}", 5, "'-o' in args"),
        (f"{HEAD}build: {{args: [-buildmode=pie]}}\n{FILES}", 2, "'-buildmode=pie' in args"),
        (f"{HEAD}build: {{steps: [[a]], args: [b]}}\n{FILES}", 2, "args beside build.steps"),
        (f"{HEAD}build: {{steps: [[a]], package: b}}\n{FILES}", 2, "package beside build.steps"),
        (f"{HEAD}build: {{steps: [[]]}}\n{FILES}", 2, "an empty list"),
        (f"{HEAD}build: {{cc: zigg}}\n{FILES}", 2, "'zigg' is not possible"),
        (f"{HEAD}build: {{buildmode: pei}}\n{FILES}", 2, "'pei' is not possible"),
        (f"{HEAD}build: {{modules: yes}}\n{FILES}", 2, "'yes' is not possible"),
        (f"{HEAD}build: {{output: ../x}}\n{FILES}", 2, "file name '../x'"),
        (f"{HEAD}build: {{output: {{exakt: x}}}}\n{FILES}", 2, "unknown key 'exakt'"),
        (f"{HEAD}build: {{env: {{A: 1}}, unset: [A]}}\n{FILES}", 2, "both in env and in unset"),
        (f"{HEAD}run: true\n{FILES}", 2, "want a mapping"),
        (f"{HEAD}run: {{timeout: soon}}\n{FILES}", 2, "no number of seconds"),
        (f"{HEAD}run: {{timeout: inf}}\n{FILES}", 2, "no number of seconds"),
        (f"{HEAD}run: {{stdin: {'x' * 65537}}}\n{FILES}", 2, "larger than 64 KiB"),
        (f"{HEAD}run: {{limits: {{pids: 0}}}}\n{FILES}", 2, "no whole number"),
        (f"{HEAD}run: {{root: alpine}}\n{FILES}", 2, "'alpine' is none of"),
        (f"{HEAD}expect: {{stdout: '('}}\n{FILES}", 2, "no valid regular expression"),
        (f"{HEAD}expect: {{stdout: {{eq: x}}}}\n{FILES}", 2, "unknown operator 'eq'"),
        (f"{HEAD}expect: {{exit: 256}}\n{FILES}", 2, "from 0 to 255"),
        (f"{HEAD}expect: {{facts: {{linkge: x}}}}\n{FILES}", 2, "unknown fact 'linkge'"),
        (f"{HEAD}expect: {{facts: {{linkage: statik}}}}\n{FILES}", 2, "linkage: 'statik'"),
        (f"{HEAD}expect: {{when: {{}}, exit: 1}}\n{FILES}", 2, "in a single mapping"),
        (f"{HEAD}expect:\n  - {{exit: 1}}\n{FILES}", 3, "without when"),
        (f"{HEAD}each: []\n{FILES}", 2, "an empty list"),
        (f"{HEAD}each:\n  - {{remove: [z]}}\n{FILES}", 1, "has no file 'z'"),
        (f"{HEAD}remedy: {{what: x}}\n{FILES}", 2, "a remedy without a trap"),
        (f"{HEAD}{FILES}-- remedy/x --\n", 6, "without its prose"),
        (f"{HEAD}{FILES}-- main.go --\n", 6, "twice, first on line 4"),
        (f"{HEAD}{FILES}-- ../x --\n", 6, "holds an empty part"),
        (f"{HEAD}{FILES}-- case.yaml --\n", 6, "unknown archive name 'case.yaml'"),
        (f"{HEAD}{FILES}-- remedy --\n", 6, "unknown archive name 'remedy'"),
        (f"{HEAD}{FILES}-- remedy/remedy/x --\n", 6, "unknown archive name"),
        (f"title: x\r\n{FILES}", 1, "CR LF"),
        (pitfall("why: Because of that.\n", ""), 4, "needs why"),
        (pitfall("refs: [https://go.dev/issue/24068]\n", ""), 4, "needs refs"),
        (pitfall("refs: [https://go.dev/issue/24068]", "refs: [somewhere]"), 3, "no public source"),
        (pitfall("cells: {GOOS: linux, GOARCH: [arm, 386]}\n", ""), 4, "needs cells"),
        (pitfall("remedy: {what: Do it., build: {env: {A: 1}}}\n", ""), 5, "needs remedy"),
        (pitfall(", build: {env: {A: 1}}", ""), 9, "changes nothing"),
        (pitfall("what: Do it.", "none: No way."), 9, "is none changes something"),
        (pitfall("what: Do it., ", ""), 9, "either what or none"),
        (pitfall("'undefined: add'", "''"), 8, "matches the empty string"),
        (pitfall("'undefined: add'", "'^'"), 8, "matches the empty string"),
        (pitfall("'undefined: add'", "'x*$'"), 8, "matches the empty string"),
        (pitfall("'undefined: add'", ".+"), 8, "matches any text"),
        (pitfall("'undefined: add'", "'[a'"), 8, "no valid regular expression"),
        (pitfall("'undefined: add'", "'[[x]'"), 8, "Possible nested set"),
        (pitfall("stage: build", "stage: link"), 7, "'link' is none of"),
        (pitfall("{GOARCH: arm}", "{GOARCH: armv7}"), 6, "'armv7' is not possible"),
        (pitfall("{GOARCH: arm}", "{GOARM: v6}"), 6, "GOARM=v6 is no level"),
        (pitfall("{GOARCH: arm}", "{since: new}"), 6, "is no Go version"),
        (pitfall("{GOARCH: arm}", "{CGO_ENABLED: true}"), 6, "'true' is not possible"),
        (pitfall("{GOARCH: arm}", "{GOACH: arm}"), 6, "unknown key 'GOACH'"),
        (pitfall("{GOARCH: arm}", "{GOARCH: {nto: arm}}"), 6, "want {not: …}"),
        (pitfall("{GOARCH: arm}", "{each: 1}"), 6, "the case has 0 variants"),
        (pitfall("[arm, 386]}", "[arm, 386], each: 1}"), 4, "cells cannot choose variants"),
        (pitfall("{GOARCH: arm}", "{GOARCH: arm64}"), 6, "matches no cell"),
        (pitfall("{GOARCH: arm}", "{since: 1.99}"), 6, "matches no cell"),
        (
            pitfall("traps:\n", "traps:\n  - {when: {}, stage: run, signature: xy}\n"),
            7,
            "two traps match linux_arm-cgo0-go1.21, the other on line 6",
        ),
        (
            pitfall(
                "remedy: {what: Do it., build: {env: {A: 1}}}",
                "remedy:\n  - {when: {since: 1.25}, what: x, build: {env: {A: 1}}}",
            ),
            10,
            "no remedy for linux_arm-cgo0-go1.21",
        ),
    ],
)
def test_refusals(text: str, line: int, words: str) -> None:
    """What a case may not be is refused at collection with file, line, cause and a way out."""
    error = refused(text)
    assert words in error.what + str(error)
    assert (str(error.file), error.line) == ("x.txtar", line)


def test_an_unknown_key_names_the_nearest() -> None:
    """A mistyped key is answered with the one that was meant."""
    assert "did you mean signature?" in str(refused(pitfall("signature", "signatur")))


def test_a_trap_on_a_patch_version_is_found() -> None:
    """A trap may be bound to patch versions, C compilers and levels that the case itself names."""
    for when in ("{since: 1.23.4, until: 1.24}", "{GOARM: 5}", "{CGO_ENABLED: 1, cc: zig}"):
        found = case(pitfall("{GOARCH: arm}", when.replace("{", "{GOARCH: arm, ", 1)))
        casefile.check(found, casefile.universe(), HOST)


def test_every_level_can_stand_in_a_condition() -> None:
    """A condition knows every variable of every architecture."""
    names = {arch.variable for arch in ARCHES.values() if arch.variable}
    assert names <= set(When.__dataclass_fields__)


def test_the_universe_holds_every_port_and_version() -> None:
    """Traps are tried over all ports, with and without cgo, on every Go version."""
    cells = casefile.universe()
    assert {cell.go for cell in cells} == set(GO_VERSIONS)
    assert len(set(cells)) == len(cells)
    assert all(isinstance(cell, Cell) for cell in cells)


def test_a_folder_reads_like_its_archive(tmp_path: Path) -> None:
    """A folder with case.yaml is the same case as the .txtar of its files."""
    folder = tmp_path / "cases" / "x"
    (folder / "remedy").mkdir(parents=True)
    (folder / "case.yaml").write_text(PITFALL)
    (folder / "main.go").write_bytes(b"package main")
    (folder / "remedy" / "add.go").write_text("package main\n")
    for path in (folder, folder / "case.yaml"):
        found = casefile.load(path, root=tmp_path / "cases")
        assert found.name == "x/case.yaml"
        assert found.files == {"main.go": b"package main"}
        assert set(found.remedy_files) == {"add.go"}


def test_a_folder_holds_plain_files_only(tmp_path: Path) -> None:
    """A link in a case's folder is refused: it could lead anywhere."""
    (tmp_path / "case.yaml").write_text(HEAD)
    (tmp_path / "main.go").symlink_to("/etc/passwd")
    with pytest.raises(InputError, match="neither a file nor a folder"):
        casefile.load(tmp_path, root=tmp_path)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    """A case that is not there, or no text, is bad input."""
    with pytest.raises(InputError, match="no such case"):
        casefile.load(tmp_path / "no.txtar", root=tmp_path)
    (tmp_path / "x.txtar").write_bytes(b"title: x\nwhy: \xff\n" + FILES.encode())
    with pytest.raises(InputError, match="no UTF-8") as caught:
        casefile.load(tmp_path / "x.txtar", root=tmp_path)
    assert caught.value.line == 2


def test_a_marker_takes_the_keys_of_a_head() -> None:
    """Python values of a pytest marker read as the same head in a file would."""
    head: dict[str, Any] = {
        "title": "x", "why": "y", "refs": ["found here: z"], "cells": {"CGO_ENABLED": 0},
        "traps": [{"when": {}, "stage": "run", "signature": "no such"}],
        "remedy": {"what": "Do it."},
    }  # fmt: skip
    found = casefile.from_mapping(head, path=Path("test_x.py"), name="test_x.py::test_a", line=9)
    assert found.cells.values("CGO_ENABLED") == ("0",)
    assert found.traps[0].line == 9
    with pytest.raises(InputError, match=r"test_x.py:9: unknown key 'titel'"):
        casefile.from_mapping({"titel": 1}, path=Path("test_x.py"), name="a", line=9)


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_are_a_case_or_an_input_error(data: bytes) -> None:
    """No file makes anything but a case or an `InputError`."""
    with contextlib.suppress(InputError):
        case_of(data)


WORDS = sorted({*PITFALL.split(), *"{}[]:-,'\"|>&*!#%@\\()?+$"})


@given(st.lists(st.sampled_from([*PITFALL.splitlines(keepends=True), *WORDS, "\n", " ", "  "])))
def test_scrambled_cases_are_cases_or_input_errors(parts: list[str]) -> None:
    """No mixture of the words of a case makes anything but a case or an `InputError`."""
    with contextlib.suppress(InputError):
        case_of("".join(parts).encode())


VALUES = st.recursive(
    st.sampled_from(["", "x", "1", "none", "false", "linux", "(", "a/b"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["when", "not", "env", "exact", "has", "build", "run", "what", "GOOS"]),
            inner,
            max_size=3,
        )
    ),
)
KEYS = ["title", "why", "refs", "cells", "each", "needs", "build", "run", "expect", "traps"]


@given(st.dictionaries(st.sampled_from([*KEYS, "remedy", "claims"]), VALUES))
def test_any_head_is_a_case_or_an_input_error(head: dict[str, Any]) -> None:
    """No mapping of values makes anything but a case or an `InputError` that says the way out."""
    with contextlib.suppress(InputError):
        found = casefile.from_mapping(head, path=Path("x"), name="x")
        casefile.check(found, casefile.universe()[:20], HOST)


def case_of(data: bytes) -> Case:
    path = Path("x.txtar")
    found = casefile.from_archive(casefile.parse(data, path), path=path, name="x")
    casefile.check(found, casefile.universe()[:20], HOST)
    return found
