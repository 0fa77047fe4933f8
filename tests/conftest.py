"""What the tests share: pytest's own pytester, and a small project of cases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from crossmatrix.toolchain import Store

pytest_plugins = ["pytester", "docker_fixtures"]

STORE = Store().root
"""The user's own store: pytester gives each test another HOME."""

MATRIX = """
axes:
  targets: [linux/amd64, linux/arm64]
  CGO_ENABLED: 0
  go: 1.27
presets:
  default: {what: two targets, cells: {}}
"""
PROGRAM = """
-- go.mod --
module x

go 1.21
-- main.go --
package main

func main() { println("hello") }
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Make a project: a matrix.yaml, and cases by name (a head, or a whole txtar)."""
    monkeypatch.setenv("CROSSMATRIX_STORE", str(STORE))

    def make(matrix: str = MATRIX, **cases: str) -> Path:
        (pytester.path / "matrix.yaml").write_text(dedent(matrix))
        folder = pytester.path / "cases"
        folder.mkdir(exist_ok=True)
        for name, text in cases.items():
            whole = dedent(text).lstrip()
            whole += "" if "-- go.mod --" in whole else PROGRAM.lstrip()
            (folder / f"{name}.txtar").write_text(whole)
        return pytester.path

    return make
