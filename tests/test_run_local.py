"""Whole runs in the local engine: verdicts, reruns, interruption, what the results keep."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crossmatrix import results
from test_plugin import HELLO, TRAP

pytestmark = pytest.mark.engine

Project = Callable[..., Path]
LOCAL = "--xm-engine=local"
HANGS = """
title: hangs
expect: {exit: 0}
run: {timeout: 60}
-- go.mod --
module x

go 1.21
-- main.go --
package main

import "time"

func main() { time.Sleep(time.Hour) }
"""


def verdicts(folder: Path) -> dict[str, str]:
    """What the results file says of each item, by the short id."""
    found = results.read(folder / ".crossmatrix" / "results.jsonl")
    return {item.id: item.verdict.value for item in found.items}


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_green_run(pytester: pytest.Pytester, project: Project, workers: str) -> None:
    """A trap is an expected failure, its remedy and its control pass, alike with workers."""
    folder = project(probe_hello=HELLO, build_trap=TRAP)
    result = pytester.runpytest_subprocess(LOCAL, "cases", "-n", workers, "--junitxml=j.xml")
    result.assert_outcomes(passed=4, xfailed=1)
    assert verdicts(folder)["build_trap.txtar::trap[linux_arm64-cgo0-go1.27]"] == "XFAIL"
    records = results.read(folder / ".crossmatrix" / "results.jsonl")
    executed = {r.id: r.executed for r in records.items}
    assert executed["probe_hello.txtar::probe[linux_amd64-cgo0-go1.27]"] == "native"
    assert executed["probe_hello.txtar::probe[linux_arm64-cgo0-go1.27]"] == "qemu"
    assert records.end is not None
    assert records.end.exit == 0
    assert 'name="crossmatrix.verdict" value="XFAIL"' in (folder / "j.xml").read_text()


def test_a_broken_signature_is_red(pytester: pytest.Pytester, project: Project) -> None:
    """A trap that closes in another way is a wrong failure, with want and got."""
    folder = project(build_trap=TRAP.replace("'undefined: nowhere'", "'undefined: elsewhere'"))
    result = pytester.runpytest_subprocess(LOCAL, "cases", "-k", "trap and arm64")
    assert result.ret == 1
    assert verdicts(folder)["build_trap.txtar::trap[linux_arm64-cgo0-go1.27]"] == "WRONG_FAILURE"
    result.stdout.fnmatch_lines(["*undefined: elsewhere*", "*undefined: nowhere*"])


def test_a_trap_that_opens_is_red(pytester: pytest.Pytester, project: Project) -> None:
    """A trap that closes no more is XPASS, and --runxfail cannot turn it green in the results."""
    opened = TRAP.replace("func init() { nowhere() }", "func init() {}")
    folder = project(build_trap=opened)
    for options in ([], ["--runxfail"]):
        result = pytester.runpytest_subprocess(LOCAL, "cases", "-k", "trap and arm64", *options)
        assert result.ret == (0 if options else 1)
        assert verdicts(folder)["build_trap.txtar::trap[linux_arm64-cgo0-go1.27]"] == "XPASS"


def test_last_failed_and_ids_find_items_again(pytester: pytest.Pytester, project: Project) -> None:
    """--lf and an item's id select just that item, with workers and without."""
    folder = project(probe_hello=HELLO, build_trap=TRAP.replace("undefined: nowhere", "undefinedx"))
    assert pytester.runpytest_subprocess(LOCAL, "cases").ret == 1
    for options in (["--lf"], ["--lf", "-n", "2"]):
        pytester.runpytest_subprocess(LOCAL, "cases", *options).assert_outcomes(failed=1)
        assert list(verdicts(folder).values()) == ["WRONG_FAILURE"]
    one = "cases/probe_hello.txtar::probe[linux_amd64-cgo0-go1.27]"
    for options in ([], ["-n", "2"]):
        pytester.runpytest_subprocess(LOCAL, one, *options).assert_outcomes(passed=1)


def test_a_missing_tool_is_a_skip_with_its_reason(
    pytester: pytest.Pytester, project: Project
) -> None:
    """What this machine does not have is skipped, and the summary counts it by reason."""
    project(probe_mingw="title: m\nbuild: {cc: mingw}\n")
    result = pytester.runpytest_subprocess(LOCAL, "cases", "-rs")
    result.assert_outcomes(skipped=2)
    result.stdout.fnmatch_lines(["*no C compiler mingw*"])


def test_an_ordinary_test_uses_matrix_engine_and_judge(
    pytester: pytest.Pytester, project: Project
) -> None:
    """A marked test runs in the cells of its case, and its trap is a strict expected failure."""
    folder = project()
    (folder / "cases" / "test_it.py").write_text(
        """
import pytest

FILES = {
    "go.mod": "module x\\n\\ngo 1.21\\n",
    "main.go": "package main\\n\\nfunc main() { println(1 << 40 >> 39) }\\n",
}


@pytest.mark.case(
    title="one", why="because", refs=["found here: a test"], cells={"GOOS": "linux"},
    expect={"stderr": {"equal": "3\\n"}}, remedy={"none": "there is none"},
)
@pytest.mark.trap(when={"GOARCH": "arm64"}, stage="run", signature="stderr: want")
@pytest.mark.trap(when={"GOARCH": "amd64"}, stage="run", signature="stderr: never")
def test_it(cell, role, plan, observe, judge):
    judge(observe(plan(files=FILES)))
"""
    )
    result = pytester.runpytest_subprocess(LOCAL, "cases")
    result.assert_outcomes(failed=1, xfailed=1)
    assert sorted(verdicts(folder).values()) == ["WRONG_FAILURE", "XFAIL"]


def test_a_bare_assert_is_a_failure(pytester: pytest.Pytester, project: Project) -> None:
    """A test that fails by itself is FAIL, before and after its judgement, never an XFAIL."""
    folder = project()
    (folder / "cases" / "test_it.py").write_text(
        """
import pytest


@pytest.mark.case(title="one", cells={"GOOS": "linux", "GOARCH": "amd64"}, each=[{}, {}])
def test_it(crossmatrix_item, observe, judge):
    if crossmatrix_item.each == 2:
        judge(observe.text("build", ["x"], 0, "", unmet=False))
    assert 1 == 2
"""
    )
    pytester.runpytest_subprocess(LOCAL, "cases").assert_outcomes(failed=2)
    assert set(verdicts(folder).values()) == {"FAIL"}


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "crossmatrix.cli", "run", "--engine", "local", *options]
    return subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def wait_for(file: Path, count: int, seconds: float = 120) -> list[dict[str, Any]]:
    """The records of a results file, once it holds so many items."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if file.exists():
            records = [json.loads(line) for line in file.read_text().splitlines()]
            items = [record for record in records if record["kind"] == "item"]
            if len(items) >= count:
                return items
        time.sleep(0.2)
    raise AssertionError(f"no {count} items in {file} within {seconds} s")


def descendants_of(session: int) -> list[str]:
    """The command lines of what is still alive in a session of processes, or came out of it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(line)
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_keeps_what_it_had(project: Project, number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM end a run cleanly: results kept, nothing left running."""
    folder = project(a_hello=HELLO, b_hangs=HANGS)
    child = start(folder, "-p", "no:randomly")
    wait_for(folder / ".crossmatrix" / "results.jsonl", 2)
    time.sleep(1)
    if number is signal.SIGINT:
        os.killpg(child.pid, number)
    else:
        child.send_signal(number)
    out, _ = child.communicate(timeout=60)
    assert child.returncode == 2, out
    found = results.read(folder / ".crossmatrix" / "results.jsonl")
    assert len(found.items) >= 2
    assert found.end is not None
    assert found.end.interrupted
    assert descendants_of(child.pid) == []


def test_a_killed_worker_is_an_error(project: Project) -> None:
    """A worker that dies makes its item an ERROR, and the run is not green."""
    folder = project(a_hello=HELLO, b_hangs=HANGS)
    child = start(folder, "-n", "2", "--max-worker-restart=0")
    wait_for(folder / ".crossmatrix" / "results.jsonl", 1)
    time.sleep(4)
    workers = [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit()
        and b"sys.stdin.readline" in (entry / "cmdline").read_bytes()
        and os.getsid(int(entry.name)) == child.pid
    ]
    assert workers
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    out, _ = child.communicate(timeout=120)
    assert child.returncode not in (0, 5), out
    assert "ERROR" in {
        item.verdict.value for item in results.read(folder / ".crossmatrix" / "results.jsonl").items
    }
