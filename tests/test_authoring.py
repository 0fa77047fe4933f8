"""Starting, unpacking, packing and formatting cases."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmatrix import authoring, casefile, txtar
from crossmatrix import strict_yaml as yaml
from crossmatrix.case import HostPort
from crossmatrix.cell import Cell
from crossmatrix.errors import InfrastructureError, InputError
from crossmatrix.headformat import format_head
from crossmatrix.toolchain import Store

HOST = HostPort(goos="linux", goarch="amd64")
CASE = """\
# Kept at the top.

title: A surprise
# about the traps
traps:
  - when: {GOARCH: arm}
    stage: build
    signature: 'undefined: add'   
why: Because of that.

refs: [https://go.dev/issue/24068]  # a source
cells: {GOOS: linux, GOARCH: [arm, 386]}
remedy: {what: Do it., build: {env: {A: 1}}}
-- main.go --
package main
func main() {  }
-- go.mod --
module x
"""  # noqa: W291
FORMATTED = """\
# Kept at the top.

title: A surprise
why: Because of that.
refs: [https://go.dev/issue/24068]  # a source
cells: {GOOS: linux, GOARCH: [arm, 386]}
# about the traps
traps:
  - when: {GOARCH: arm}
    stage: build
    signature: 'undefined: add'
remedy: {what: Do it., build: {env: {A: 1}}}
-- go.mod --
module x
-- main.go --
package main

func main() {}
"""


@pytest.fixture(scope="module")
def store() -> Store:
    """The real store, with a real gofmt."""
    return Store(report=lambda _: None)


def test_a_new_case_is_a_probe_as_it_stands(tmp_path: Path) -> None:
    """The template reads, is collected, and is already formatted."""
    path = authoring.new("cgo_missing-cc", tmp_path / "cases")
    case = casefile.load(path, root=tmp_path / "cases")
    assert case.name == "cgo_missing-cc.txtar"
    assert not case.traps
    assert format_head(path.read_text().partition("-- ")[0]) == path.read_text().partition("-- ")[0]


def test_the_template_becomes_a_pitfall_by_its_own_comments(tmp_path: Path) -> None:
    """Uncommenting what the template offers gives a head that reads."""
    text = authoring.new("a_b", tmp_path).read_text()
    head, mark, rest = text.partition("-- go.mod")
    lines = [line.removeprefix("# ") for line in head.splitlines() if "As it stands" not in line]
    made = "\n".join(line for line in lines if not line.startswith("goes wrong")) + "\n"
    made = made.replace("build: {env: {}}", "build: {env: {A: x}}")
    archive = casefile.parse((made + mark + rest).encode(), tmp_path)
    case = casefile.from_archive(archive, path=tmp_path, name="x")
    casefile.check(case, casefile.universe(), HOST)
    assert len(case.traps) == 1


@pytest.mark.parametrize("name", ["nocategory", "A_b", "../a_b", "a_b/c", "a_", ""])
def test_a_name_tells_its_category(tmp_path: Path, name: str) -> None:
    """A case is named <category>_<slug>, and nothing is written for another name."""
    with pytest.raises(InputError, match="no name of a case"):
        authoring.new(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_new_overwrites_nothing(tmp_path: Path) -> None:
    """A case that is there stays as it is."""
    path = tmp_path / "a_b.txtar"
    path.write_text("mine")
    with pytest.raises(InputError, match="there already"):
        authoring.new("a_b", tmp_path)
    assert path.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [path]


def test_unpack_and_pack_are_each_others_inverse(tmp_path: Path) -> None:
    """A formatted case comes back byte by byte, and a second unpacking overwrites nothing."""
    case = tmp_path / "a_b.txtar"
    case.write_text(FORMATTED + "-- remedy/sub/x.go --\npackage sub\n")
    authoring.unpack(case, tmp_path / "deep" / "folder")
    assert (tmp_path / "deep/folder/remedy/sub/x.go").read_text() == "package sub\n"
    again = authoring.pack(tmp_path / "deep" / "folder")
    assert again == tmp_path / "deep" / "folder.txtar"
    assert again.read_bytes() == case.read_bytes()
    with pytest.raises(InputError, match="there already"):
        authoring.unpack(case, tmp_path / "deep" / "folder")
    with pytest.raises(InputError, match="there already"):
        authoring.pack(tmp_path / "deep" / "folder")
    assert sorted(p.name for p in (tmp_path / "deep").iterdir()) == ["folder", "folder.txtar"]


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"package main", "does not end in a newline"), (b"x\n-- a --\n", "-- NAME --")],
)
def test_what_an_archive_cannot_hold_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    """A folder is packed exactly or not at all."""
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "case.yaml").write_text("title: x\n")
    (tmp_path / "x" / "main.go").write_bytes(data)
    with pytest.raises(InputError, match=words):
        authoring.pack(tmp_path / "x")
    assert not (tmp_path / "x.txtar").exists()


def test_a_bad_case_is_not_unpacked(tmp_path: Path) -> None:
    """What does not read is refused before anything is written."""
    case = tmp_path / "a_b.txtar"
    case.write_text("titel: x\n-- main.go --\n")
    with pytest.raises(InputError, match="unknown key 'titel'"):
        authoring.unpack(case, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_heads_keep_their_comments() -> None:
    """Keys come into their order and take the comments above them along."""
    assert format_head(CASE.partition("-- main")[0]) == FORMATTED.partition("-- go.mod")[0]


@pytest.mark.parametrize(
    "text",
    ["{title: x}\n", "why: |+\n  a\n\ntitle: x\n", "titel: x\n", 'title: "a \n  b"\n', "a: [\n"],
)
def test_a_head_never_changes_its_meaning(text: str) -> None:
    """A head that would mean something else, or that does not read, stays as it is."""
    made = format_head(text)
    try:
        before = yaml.plain(yaml.load(text, None))
    except InputError:
        before = None
    if before is None:
        assert made == text
    else:
        assert yaml.plain(yaml.load(made, None)) == before


@given(st.lists(st.sampled_from([*CASE.splitlines(keepends=True)[:13], "\n", "  \n", "# c\n"])))
def test_formatting_is_stable(parts: list[str]) -> None:
    """What is formatted once is not changed again."""
    once = format_head("".join(parts))
    assert format_head(once) == once


@pytest.mark.engine
def test_fmt_with_a_real_gofmt(tmp_path: Path, store: Store) -> None:
    """fmt brings head, files and Go code into order, --check only says so, twice is once."""
    path = tmp_path / "cases" / "a_b.txtar"
    path.parent.mkdir()
    path.write_text(CASE)
    (tmp_path / "matrix.yaml").write_text(
        "axes: {targets: [linux/arm, linux/386], go: 1.27}\n"
        "presets: {default: {what: x, cells: {}}}\n"
    )
    said: list[str] = []
    assert authoring.fmt([path], store, check=True, report=said.append) == (path,)
    assert path.read_text() == CASE
    assert said == [f"{path}: would change"]
    assert authoring.fmt([path], store, check=False, report=said.append) == (path,)
    assert path.read_text() == FORMATTED
    assert authoring.fmt([path], store, check=False, report=said.append) == ()
    assert [p.name for p in path.parent.iterdir()] == ["a_b.txtar"]


@pytest.mark.engine
@pytest.mark.parametrize(
    "source",
    [
        "package  main\n\n//go:build linux\n\nfunc main() {}\n",
        "// +build linux\npackage  main\n",
        "package  main\nfunc {\n",
    ],
)
def test_fmt_leaves_what_a_case_may_be_about(tmp_path: Path, store: Store, source: str) -> None:
    """Misplaced build constraints and broken Go stay as the author wrote them, and fmt says so."""
    path = tmp_path / "a_b.txtar"
    path.write_text(f"title: x\n-- main.go --\n{source}")
    said: list[str] = []
    authoring.fmt([path], store, check=False, report=said.append)
    text = path.read_text().partition("-- main.go --\n")[2]
    if text == source:
        assert any("left as it is" in line for line in said)
    else:
        assert [s for s in text.splitlines() if "build" in s] == [
            s for s in source.splitlines() if "build" in s
        ]


def cells(*targets: str) -> tuple[Cell, ...]:
    names = [name.split("/") for name in targets]
    return tuple(
        Cell(goos=goos, goarch=goarch, cgo=False, go="1.27", go_version="1.27.3")
        for goos, goarch in names
    )


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        (("linux/arm", "linux/386"), ""),
        (("linux/386",), "no cell in which its trap closes"),
        (("linux/arm",), "no control cell"),
    ],
)
def test_warnings(targets: tuple[str, ...], words: str) -> None:
    """A case should be seen closing, and seen not closing."""
    path = Path("x.txtar")
    case = casefile.from_archive(txtar.parse(CASE.encode()), path=path, name="x")
    found = authoring.warnings(case, cells(*targets), HOST)
    assert [words in text for text in found] == ([True] if words else [])


def test_a_case_in_too_many_cells() -> None:
    """More than a dozen items a Go version are too many for a pitfall."""
    path = Path("x.txtar")
    text = CASE.replace("cells: {GOOS: linux, GOARCH: [arm, 386]}", "cells: {}")
    case = casefile.from_archive(txtar.parse(text.encode()), path=path, name="x")
    arches = ("386", "arm", "arm64", "amd64", "riscv64", "s390x", "mips")
    many = cells(*(f"{goos}/{arch}" for goos in ("linux", "netbsd") for arch in arches))
    assert "14 items with Go 1.27" in authoring.warnings(case, many, HOST)[0]


def test_gofmt_that_is_not_there(tmp_path: Path) -> None:
    """A gofmt that cannot be started is a fault of the machine."""
    assert not (tmp_path / "gofmt").exists()
    with pytest.raises(InfrastructureError, match="gofmt did not run"):
        authoring.gofmt(tmp_path / "gofmt", b"package main\n")


def test_subprocess_is_what_runs_gofmt(tmp_path: Path) -> None:
    """A program that refuses its input leaves the file alone."""
    program = tmp_path / "no"
    program.write_text("#!/bin/sh\nexit 2\n")
    program.chmod(0o755)
    assert subprocess.run([program], check=False).returncode == 2
    assert authoring.gofmt(program, b"x") is None
