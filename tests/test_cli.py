"""The command line: what it prints, and what it ends with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from crossmatrix import cli, results
from report_records import a_run, an_item
from test_plugin import HELLO, TRAP

Project = Callable[..., Path]


def call(*args: str) -> Result:
    return CliRunner().invoke(cli.main, args)


@pytest.mark.parametrize("command", ["run", "list", "explain", "new", "fmt", "report", "doctor"])
def test_every_command_teaches(command: str) -> None:
    """--help of every command is more than its options."""
    result = call(command, "--help")
    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 5


def test_list_shows_cases_and_cells(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """list names each case, its roles and its cells, and builds nothing."""
    monkeypatch.chdir(project(probe_hello=HELLO, build_trap=TRAP))
    result = call("list")
    assert result.exit_code == 0, result.output
    assert "build_trap.txtar: a name that is nowhere" in result.output
    assert "2 trap, 1 remedy" in result.output
    assert "2 cases, 2 cells, 5 items" in result.output
    ids = call("list", "--ids").output.splitlines()
    assert "cases/build_trap.txtar::remedy[linux_arm64-cgo0-go1.27]" in ids


def test_list_of_nothing_ends_with_five(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty selection has pytest's own exit code."""
    monkeypatch.chdir(project(probe_hello=HELLO))
    assert call("list", "--cells", "plan9/*").exit_code == 5


def test_explain_prints_the_plan(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """explain shows files, environment, argv and runner of one item, for people and machines."""
    monkeypatch.chdir(project(probe_hello=HELLO))
    place = "cases/probe_hello.txtar::probe[linux_arm64-cgo0-go1.27]"
    text = call("explain", place).output
    assert "$ go build -o app ." in text
    assert "GOENV=off" in text
    assert "qemu-aarch64" in text
    data = json.loads(call("explain", place, "--json").output)
    assert data["build"] == [["go", "build", "-o", "app", "."]]
    assert data["env"]["GOARCH"] == "arm64"
    assert data["run"]["runner"] == "qemu"
    wrong = call("explain", "cases/probe_hello.txtar::probe[nowhere]")
    assert wrong.exit_code == 2
    assert "its items:" in wrong.output


def test_a_case_is_made_unpacked_and_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """new, unpack and pack work together, and new never overwrites."""
    monkeypatch.chdir(tmp_path)
    assert call("new", "run_mine").exit_code == 0
    case = tmp_path / "cases" / "run_mine.txtar"
    before = case.read_bytes()
    assert call("new", "run_mine").exit_code == 2
    assert call("unpack", str(case), "mine").exit_code == 0
    assert call("pack", "mine", "again.txtar").exit_code == 0
    assert (tmp_path / "again.txtar").read_bytes() == before


def test_report_draws_a_file_again(tmp_path: Path) -> None:
    """report shows what the results file holds; one that is none is bad input."""
    file = tmp_path / "r.jsonl"
    with results.Writer(file, a_run()) as writer:
        writer.item(an_item())
        writer.end(exit=0, seconds=1.0)
    result = call("report", str(file))
    assert result.exit_code == 0, result.output
    assert "1 item" in result.output
    file.write_text("{}\n")
    bad = call("report", str(file))
    assert bad.exit_code == 2
    assert f"{file}:1" in bad.output.replace("\n", "")


def test_doctor_speaks_to_people_and_machines() -> None:
    """doctor finds this Python, and says what each missing thing would add."""
    assert "python" in call("doctor").output
    rows = json.loads(call("doctor", "--json").output)
    assert {"name", "there", "detail", "adds", "command"} <= set(rows[0])


def test_run_passes_the_rest_to_pytest(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Options that are not ours reach pytest, paths and their ids too."""
    folder = project(probe_hello=HELLO)
    monkeypatch.chdir(folder)
    command = [sys.executable, "-m", "crossmatrix.cli", "run", "--collect-only", "-q"]
    one = "cases/probe_hello.txtar::probe[linux_amd64-cgo0-go1.27]"
    done = subprocess.run([*command, one], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert one in done.stdout.splitlines()
    missing = subprocess.run(
        [*command, "nowhere.txtar"], capture_output=True, text=True, check=False
    )
    assert missing.returncode == 2
    assert "no such case" in missing.stderr


@pytest.mark.engine
def test_a_wheel_works_from_any_folder(tmp_path: Path) -> None:
    """Cases, the default matrix and what the store is made from are in the wheel."""
    root = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir"]
    subprocess.run([*command, str(tmp_path), str(root)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "crossmatrix.cli", "list", "--preset", "smoke"],
        cwd=elsewhere,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "probe_hello.txtar" in done.stdout
    assert (tmp_path / "site" / "crossmatrix" / "supervisor" / "main.go").exists()
