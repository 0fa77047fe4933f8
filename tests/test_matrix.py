"""From matrix.yaml to cells."""

from __future__ import annotations

import contextlib
import importlib.util
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmatrix import matrix
from crossmatrix.cell import PortInfo, Selector
from crossmatrix.errors import InputError

ROOT = Path(__file__).resolve().parent.parent
OWN = ROOT / "matrix.yaml"
VERSIONS = {"1.21": "1.21.13", "1.27": "1.27.3"}
NEW = ("linux/amd64", "linux/arm", "linux/arm64", "darwin/arm64", "js/wasm", "openbsd/ppc64")
PORTS = {
    "1.27.3": tuple(
        PortInfo(goos=n.split("/")[0], goarch=n.split("/")[1], cgo_supported=n != "js/wasm")
        for n in NEW
    ),
    "1.21.13": tuple(
        PortInfo(goos=n.split("/")[0], goarch=n.split("/")[1], cgo_supported=n != "js/wasm")
        for n in NEW
        if n != "openbsd/ppc64"
    ),
}


def parse(group: str, rest: str = "") -> matrix.Matrix:
    text = f"""\
axes: {{targets: [linux/amd64], go: [1.27], cc: [none, zig], CGO_ENABLED: [0, 1]}}
presets:
  p:
    what: For a test.
    cells:
      {group}
{rest}"""
    return matrix.parse(text, Path("m.yaml"))


def ids(group: str, rest: str = "", **more: object) -> list[str]:
    chosen = matrix.cells(parse(group, rest), "p", PORTS, VERSIONS, **more)  # type: ignore[arg-type]
    return [cell.id for cell in chosen.cells]


def test_a_group_is_the_product_of_its_axes() -> None:
    """An axis that a group does not name is that of axes; CGO_ENABLED=0 has no C compiler."""
    assert ids("{}") == [
        "linux_amd64-cgo0-go1.27",
        "linux_amd64-cgo1-go1.27",
        "linux_amd64-cgo1-zig-go1.27",
    ]


def test_groups_are_united_without_duplicates() -> None:
    """The default level written out is the same cell, and a cell of two groups is one."""
    group = "- {targets: [linux/arm, linux/arm/7], CGO_ENABLED: 0}\n"
    group += "      - {targets: ['linux/arm/7,hardfloat', linux/arm/6], CGO_ENABLED: 0}"
    assert ids(group) == ["linux_arm-cgo0-go1.27", "linux_arm_6-cgo0-go1.27"]


def test_versions_are_filled_in() -> None:
    """A cell knows the matrix's spelling and the full version."""
    table = parse("{CGO_ENABLED: 0}")
    (cell,) = matrix.cells(table, "p", PORTS, VERSIONS).cells
    assert (cell.go, cell.go_version, cell.variant) == ("1.27", "1.27.3", "v1")


def test_cells_are_sorted_and_stable() -> None:
    """The order does not depend on the order in the file, and Go versions are in Go's own."""
    first = ids("{targets: [linux/arm64, linux/amd64], go: [1.27, 1.21], CGO_ENABLED: 0}")
    second = ids("{targets: [linux/amd64, linux/arm64], go: [1.21, 1.27], CGO_ENABLED: 0}")
    assert first == second
    assert first[:2] == ["linux_amd64-cgo0-go1.21", "linux_amd64-cgo0-go1.27"]


def test_what_one_go_does_not_know_is_dropped_and_counted() -> None:
    """A port or a level that is younger than a Go version is dropped there with the reason."""
    table = parse("{targets: [openbsd/ppc64, linux/arm64/v8.1], go: [1.21, 1.27], CGO_ENABLED: 0}")
    chosen = matrix.cells(table, "p", PORTS, VERSIONS)
    assert [cell.go for cell in chosen.cells] == ["1.27", "1.27"]
    assert chosen.dropped == (
        ("go1.21 does not know GOARM64=v8.1", 1),
        ("go1.21 does not know openbsd/ppc64", 1),
    )


def test_excluded_cells_are_counted_with_their_reason() -> None:
    """An exclude drops what its condition holds for."""
    rest = "exclude: [{when: {cc: zig, GOOS: linux}, reason: not today}]\n"
    chosen = matrix.cells(parse("{}", rest), "p", PORTS, VERSIONS)
    assert [cell.cc for cell in chosen.cells] == ["none", "none"]
    assert chosen.dropped == (("not today", 1),)


def test_cgo_without_a_compiler_stays_where_go_has_no_cgo() -> None:
    """CGO_ENABLED=1 on such a port is a pitfall to be seen; a C compiler for it is none."""
    table = parse("{targets: js/wasm}")
    chosen = matrix.cells(table, "p", PORTS, VERSIONS)
    assert [cell.id for cell in chosen.cells] == ["js_wasm-cgo0-go1.27", "js_wasm-cgo1-go1.27"]
    assert chosen.dropped == (("go1.27 has no cgo on js/wasm", 1),)


def test_selectors_and_go_narrow() -> None:
    """Cells and Go versions may be narrowed to nothing, which is not an error here."""
    group = "{targets: [linux/arm, linux/amd64], go: [1.21, 1.27], CGO_ENABLED: 0}"
    assert ids(group, selectors=(Selector("linux/arm"),), go=("1.21",)) == ["linux_arm-cgo0-go1.21"]
    assert ids(group, go=("1.27.3",), selectors=(Selector("!linux/arm"),)) == [
        "linux_amd64-cgo0-go1.27"
    ]
    assert ids(group, go=("1.25",)) == []
    assert matrix.go_versions(parse(group), "p", ("1.27.3",)) == ("1.27",)
    assert matrix.go_versions(parse(group), "p") == ("1.21", "1.27")


def test_a_go_that_is_not_at_hand_keeps_its_cells() -> None:
    """Where no port list is to be had, the cells stay, to be skipped with that reason."""
    table = parse("{CGO_ENABLED: 0, go: 1.26}")
    assert [c.id for c in matrix.cells(table, "p", {}, {}).cells] == ["linux_amd64-cgo0-go1.26"]


@pytest.mark.parametrize(
    ("target", "hint"),
    [
        ("macos/arm64", "did you mean darwin/arm64?"),
        ("osx/x86_64", "did you mean darwin/amd64?"),
        ("linux/aarch64", "did you mean linux/arm64?"),
        ("linux/i386", "did you mean linux/386?"),
        ("win/x64", "did you mean windows/amd64?"),
        ("wasi/wasm", "did you mean wasip1/wasm?"),
        ("liunx/amd64", "did you mean linux/amd64?"),
        ("linux/wasm", "did you mean"),
        ("Linux/ARM64", "did you mean linux/arm64?"),
        ("q/q", "go tool dist list"),
    ],
)
def test_an_unknown_target_names_the_nearest(target: str, hint: str) -> None:
    """A target that no Go of its group knows is an error that names the nearest one."""
    with pytest.raises(InputError, match="is no target of Go") as caught:
        matrix.cells(parse(f"{{targets: [linux/amd64,\n {target}]}}"), "p", {}, VERSIONS)
    assert hint in caught.value.hint
    assert caught.value.line == 7


def test_a_target_that_only_another_go_knows() -> None:
    """A target that none of the chosen Go versions knows any more is an error, not a silent gap."""
    with pytest.raises(InputError, match=r"m.yaml:6: windows/arm is no target of Go 1.27"):
        ids("{targets: windows/arm, CGO_ENABLED: 0}")


@pytest.mark.parametrize(
    ("group", "words", "hint"),
    [
        ("{targets: linux/arm/v6}", "GOARM=v6 is no level", "write linux/arm/6"),
        ("{targets: linux/arm/8}", "GOARM=8 is no level", "[567]"),
        ("{targets: linux/amd64/3}", "GOAMD64=3 is no level", "write linux/amd64/v3"),
        ("{targets: linux/amd64/V3}", "GOAMD64=V3 is no level", "write linux/amd64/v3"),
        ("{targets: linux/arm64/v8}", "GOARM64=v8 is no level", "write linux/arm64/v8.0"),
        ("{targets: linux/loong64/1}", "loong64 has no levels", "write linux/loong64"),
        ("{targets: linux}", "'linux' is no target", "GOOS/GOARCH"),
        ("{targets: linux/arm/}", "'linux/arm/' is no target", "GOOS/GOARCH"),
        ("{CGO_ENABLED: true}", "neither 0 nor 1", "write 0 or 1"),
        ("{CGO_ENABLED: [0, off]}", "neither 0 nor 1", "write 0 or 1"),
        ("{go: 1.x}", "no Go version", "1.27"),
        ("{go: go1.27}", "as a Go version", "write 1.27"),
        ("{go: 1.20}", "too old", "1.21"),
        ("{cc: gcc}", "no C compiler", "host-gcc"),
        ("{buildmode: pi}", "no build mode", "pie"),
        ("{targets: []}", "an empty list", "name at least one"),
        ("{CGO_ENABLED: 0, cc: zig}", "this group is empty", "CGO_ENABLED: 1"),
        ("{target: linux/arm}", "unknown key 'target'", "did you mean targets?"),
        ("[]", "an empty list", "name at least one"),
    ],
)
def test_refusals(group: str, words: str, hint: str) -> None:
    """What the go command would swallow silently is refused with file, line and the way out."""
    with pytest.raises(InputError) as caught:
        parse(group)
    assert words in caught.value.what
    assert hint in caught.value.hint
    assert str(caught.value).startswith(("m.yaml:6: ", "m.yaml:5: "))


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        ("exclude: [{when: {cc: zig}}]\n", "reason is missing"),
        ("exclude: [{reason: x}]\n", "when is missing"),
        ("exclude: [{when: {GOOS: native}, reason: x}]\n", "depend on the machine"),
        ("exclude: [{when: {each: 1}, reason: x}]\n", "no variants"),
        ("exlude: []\n", "unknown key 'exlude'"),
        ("presets: {}\n", "duplicate key"),
    ],
)
def test_refusals_beside_the_presets(rest: str, words: str) -> None:
    """An exclude needs a reason and speaks of cells alone."""
    with pytest.raises(InputError, match=words) as caught:
        parse("{}", rest)
    assert caught.value.line == 7


def test_an_unknown_preset_names_the_nearest() -> None:
    """A mistyped preset is answered with the one that was meant."""
    table = matrix.read(OWN)
    with pytest.raises(InputError, match="no preset 'defalt'") as caught:
        matrix.cells(table, "defalt", {}, {})
    assert "did you mean default?" in caught.value.hint


def test_a_matrix_that_cannot_be_read(tmp_path: Path) -> None:
    """A file that is not there, or no text, is bad input."""
    with pytest.raises(InputError, match="cannot be read"):
        matrix.read(tmp_path / "matrix.yaml")
    (tmp_path / "matrix.yaml").write_bytes(b"\xff")
    with pytest.raises(InputError, match="UTF-8"):
        matrix.read(tmp_path / "matrix.yaml")


def test_the_projects_own_presets() -> None:
    """smoke is small; default runs every linux GOARCH, both wasm ports, and one zig target."""
    table = matrix.read(OWN)
    smoke = matrix.cells(table, "smoke", {}, {}).cells
    assert {cell.go for cell in smoke} == {"1.27"}
    assert len(smoke) <= 5
    default = matrix.cells(table, "default", {}, {}).cells
    newest = [cell for cell in default if cell.go == "1.27" and not cell.cgo]
    assert len({cell.goarch for cell in newest if cell.goos == "linux"}) == 13
    assert {cell.goos for cell in newest} >= {"js", "wasip1", "windows", "darwin", "freebsd"}
    assert {cell.target for cell in default if cell.cc == "zig"} == {"linux/arm64"}
    assert {cell.go for cell in default} == {"1.21", "1.27"}
    full = matrix.cells(table, "full", {}, {}).cells
    assert set(default) <= set(full)


def test_the_schemas_are_fresh() -> None:
    """docs/ holds what scripts/write_schemas.py writes."""
    spec = importlib.util.spec_from_file_location("schemas", ROOT / "scripts/write_schemas.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    for name, text in script.pages().items():
        assert (ROOT / "docs" / name).read_text() == text, "run scripts/write_schemas.py"


LINES = OWN.read_text().splitlines(keepends=True)


@given(st.text() | st.lists(st.sampled_from(LINES)).map("".join))
def test_any_text_is_a_matrix_or_an_input_error(text: str) -> None:
    """No file makes anything but a matrix or an `InputError`."""
    with contextlib.suppress(InputError):
        table = matrix.parse(text, Path("m.yaml"))
        for name in table.presets:
            matrix.cells(table, name, {}, {})
