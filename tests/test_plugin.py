"""The plugin inside pytest: what is collected, how ids and bad input behave."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Project = Callable[..., Path]

HELLO = """
title: hello
expect: {stderr: {equal: "hello\\n"}}
"""
TRAP = """
title: a name that is nowhere
why: nothing declares it
refs: ['found here: a test']
cells: {GOOS: linux}
traps:
  - {when: {GOARCH: arm64}, stage: build, signature: 'undefined: nowhere'}
remedy: {what: declare it}
-- go.mod --
module x

go 1.21
-- main.go --
package main

func main() {}
-- main_arm64.go --
package main

func init() { nowhere() }
-- remedy/nowhere.go --
package main

func nowhere() {}
"""


def test_a_strangers_project_is_left_alone(pytester: pytest.Pytester) -> None:
    """Without a matrix.yaml nothing is collected, and nothing is said."""
    (pytester.path / "cases").mkdir()
    (pytester.path / "cases" / "x.txtar").write_text("no case at all")
    pytester.makepyfile("def test_it(): pass")
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*crossmatrix =*")


def test_items_have_ids_of_role_and_cell(pytester: pytest.Pytester, project: Project) -> None:
    """A case is collected per role and cell; a remedy where its trap closes."""
    project(probe_hello=HELLO, build_trap=TRAP)
    result = pytester.runpytest_subprocess("--collect-only", "-q", "cases")
    result.stdout.fnmatch_lines(
        [
            "cases/build_trap.txtar::trap[[]linux_amd64-cgo0-go1.27[]]",
            "cases/build_trap.txtar::trap[[]linux_arm64-cgo0-go1.27[]]",
            "cases/build_trap.txtar::remedy[[]linux_arm64-cgo0-go1.27[]]",
            "cases/probe_hello.txtar::probe[[]linux_amd64-cgo0-go1.27[]]",
            "cases/probe_hello.txtar::probe[[]linux_arm64-cgo0-go1.27[]]",
        ]
    )


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_bad_case_ends_with_two(
    pytester: pytest.Pytester, project: Project, workers: str
) -> None:
    """Bad input is one clear error with file and line, with and without workers."""
    project(probe_bad="title: x\nbiuld: {}\n", probe_hello=HELLO)
    result = pytester.runpytest_subprocess("-n", workers, "cases")
    assert result.ret == 2
    text = result.stdout.str() + result.stderr.str()
    assert "probe_bad.txtar:2" in text
    assert "Traceback" not in text


def test_a_bad_matrix_ends_with_two(pytester: pytest.Pytester, project: Project) -> None:
    """A target that no Go knows names the nearest one that is known."""
    matrix = """
    axes: {targets: [macos/arm64], CGO_ENABLED: 0, go: 1.27}
    presets: {default: {what: x, cells: {}}}
    """
    project(matrix, probe_hello=HELLO)
    result = pytester.runpytest_subprocess("cases")
    assert result.ret == 2
    text = result.stdout.str() + result.stderr.str()
    assert "matrix.yaml:2" in text
    assert "darwin/arm64" in text


def test_an_unknown_preset_names_the_nearest(pytester: pytest.Pytester, project: Project) -> None:
    """A misspelled preset is bad input."""
    project(probe_hello=HELLO)
    result = pytester.runpytest_subprocess("cases", "--xm-preset=defualt")
    assert result.ret == 2
    assert "default" in result.stdout.str() + result.stderr.str()


def test_an_empty_selection_ends_with_five(pytester: pytest.Pytester, project: Project) -> None:
    """No cell, no item: pytest's own exit code for that."""
    project(probe_hello=HELLO)
    result = pytester.runpytest_subprocess("cases", "--xm-cells=plan9/*", "--xm-engine=local")
    assert result.ret == 5


def test_selectors_choose_cells(pytester: pytest.Pytester, project: Project) -> None:
    """A glob takes, a glob with ! leaves out."""
    project(probe_hello=HELLO)
    result = pytester.runpytest_subprocess(
        "--collect-only", "-q", "cases", "--xm-cells=linux/*", "--xm-cells=!*/arm64"
    )
    result.stdout.fnmatch_lines(["cases/probe_hello.txtar::probe[[]linux_amd64-*"])
    result.stdout.no_fnmatch_line("*arm64*")


def test_the_matrix_is_refused_outside_of_cases(
    pytester: pytest.Pytester, project: Project
) -> None:
    """A test with the cell fixture that lies in no cases folder is told where to go."""
    project(probe_hello=HELLO)
    pytester.makepyfile("def test_it(cell): pass")
    result = pytester.runpytest_subprocess("-q", pytester.path)
    assert result.ret == 2
    assert "lies in no cases folder" in result.stdout.str() + result.stderr.str()


def test_a_timeout_scale_must_stretch(pytester: pytest.Pytester, project: Project) -> None:
    """A scale of nothing is bad input."""
    project(probe_hello=HELLO)
    assert pytester.runpytest_subprocess("cases", "--xm-timeout-scale=0").ret == 2
