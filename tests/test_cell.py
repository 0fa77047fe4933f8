"""Cells, their ids, Go versions, selectors."""

from __future__ import annotations

import re
from typing import Any

import pytest

from crossmatrix.cell import Cell, GoVersion, Selector, select
from crossmatrix.errors import InputError


def cell(**changes: Any) -> Cell:
    base: dict[str, Any] = {
        "goos": "linux", "goarch": "arm", "variant": "7", "cgo": False, "go": "1.27",
        "go_version": "1.27.3",
    }  # fmt: skip
    return Cell(**{**base, **changes})


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, "linux_arm-cgo0-go1.27"),
        (
            {"variant": "6", "cgo": True, "cc": "zig", "buildmode": "pie"},
            "linux_arm_6-cgo1-zig-pie-go1.27",
        ),
        ({"variant": "5,softfloat"}, "linux_arm_5+softfloat-cgo0-go1.27"),
        ({"cgo": True, "cc": "zig:gnu.2.17"}, "linux_arm-cgo1-zig+gnu.2.17-go1.27"),
        ({"goos": "js", "goarch": "wasm", "variant": ""}, "js_wasm-cgo0-go1.27"),
    ],
)
def test_ids(changes: dict[str, Any], wanted: str) -> None:
    """An id leaves defaults out and holds safe characters only."""
    assert cell(**changes).id == wanted
    assert re.fullmatch(r"[A-Za-z0-9_.+-]+", wanted)


def test_versions_have_gos_own_order() -> None:
    """An rc comes before its release, and a missing patch is the patch 0."""
    texts = ["1.9", "1.21beta1", "1.21rc2", "1.21", "1.21.1", "1.21.10", "1.22"]
    assert [v.text for v in sorted(map(GoVersion, reversed(texts)))] == texts
    assert GoVersion("1.21") == GoVersion("go1.21.0")


@pytest.mark.parametrize("text", ["", "1", "1.2.3.4", "latest", "1." + "9" * 5000, "١.٢"])
def test_what_is_no_version(text: str) -> None:
    """A text that is no Go version is bad input."""
    with pytest.raises(InputError):
        _ = GoVersion(text) < GoVersion("1.21")


@pytest.mark.parametrize(
    ("text", "hit"),
    [
        ("linux/*", True),
        ("linux/arm", True),
        ("linux/arm/7", True),
        ("linux/arm/6", False),
        ("*/arm*", True),
        ("cgo0", True),
        ("cgo1", False),
        ("go1.27", True),
        ("linux_arm-cgo0-go1.27", True),
        ("linux_arm-*", True),
        ("windows/*", False),
    ],
)
def test_selectors(text: str, hit: bool) -> None:
    """A selector is a glob over the target, a part of the id, or the id."""
    assert Selector(text).matches(cell()) is hit


def test_a_cc_with_a_dash_is_one_part() -> None:
    """host-gcc and the parts of a zig libc are selected by their names."""
    assert Selector("host-gcc").matches(cell(cgo=True, cc="host-gcc"))
    assert Selector("zig:*").matches(cell(cgo=True, cc="zig:gnu.2.17"))


def test_negative_selectors_take_away() -> None:
    """All cells that a positive selector matches are chosen, less those of a negative one."""
    cells = (cell(), cell(variant="6"), cell(goos="windows", goarch="amd64", variant="v1"))
    chosen = select(cells, (Selector("*/arm*"), Selector("!linux/arm/6")))
    assert chosen == cells[:1]
    assert select(cells, (Selector("!windows/*"),)) == cells[:2]


def test_env_has_gos_own_names() -> None:
    """A cell stands for Go's own variables, its level among them."""
    assert cell(variant="6").env() == {
        "GOOS": "linux", "GOARCH": "arm", "CGO_ENABLED": "0", "GOARM": "6",
    }  # fmt: skip
