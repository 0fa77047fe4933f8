"""Whole runs in containers: the same verdicts as locally, and what a dying daemon leaves."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crossmatrix import results
from crossmatrix.engine.docker_daemon import Daemon, connect
from crossmatrix.resources import data_dir
from test_plugin import HELLO, TRAP
from test_run_local import HANGS, wait_for

pytestmark = pytest.mark.engine

Project = Callable[..., Path]
START = Path(__file__).resolve().parents[1] / "scripts" / "start-dockerd.sh"
BOTH = (
    "probe_hello",
    "build_goos_goarch_typo",
    "build_sys_open_undefined",
    "artifact_goarm_invalid",
    "run_goarm_v6",
    "run_byte_order_by_pointer",
    "run_exec_format_error",
    "wasm_gomaxprocs",
    "wasm_no_preopen",
)


@pytest.fixture
def daemon() -> Daemon:
    """The daemon that this machine has."""
    found = connect()
    if isinstance(found, str):
        pytest.skip(found)
    return found


@pytest.fixture
def own_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """A daemon of this test's own, to be killed: its address and process."""
    if os.getuid() != 0 or shutil.which("dockerd", path="/usr/sbin:/usr/bin:/sbin") is None:
        pytest.skip("only root, where dockerd is installed, can start a daemon to kill")
    folder = tmp_path_factory.mktemp("d")
    env = {key: value for key, value in os.environ.items() if key != "DOCKER_HOST"}
    env["DOCKER_HOST"] = f"unix://{folder}/docker.sock"
    subprocess.run(["sh", START, folder], env=env, check=True, capture_output=True)
    pid = int((folder / "dockerd.pid").read_text())
    yield env["DOCKER_HOST"], pid
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            break
        time.sleep(3)


def run(folder: Path, *options: str, host: str = "") -> subprocess.Popen[str]:
    env = {**os.environ, "PYTHONUNBUFFERED": "1", **({"DOCKER_HOST": host} if host else {})}
    return subprocess.Popen(
        [sys.executable, "-m", "crossmatrix.cli", "run", *options],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env=env,
    )


def ours(daemon: Daemon, run_id: str) -> int:
    """How many containers and volumes a run has at a daemon."""
    wanted: dict[str, str | list[str] | bool] = {"label": f"crossmatrix.run={run_id}"}
    containers = daemon.client.containers.list(all=True, filters=wanted, ignore_removed=True)
    return len(containers) + len(daemon.client.volumes.list(filters=wanted))


def test_both_engines_give_the_same_verdicts(daemon: Daemon, tmp_path: Path) -> None:
    """What docker and local can both do ends in the same verdict at the same stage."""
    assert daemon
    cases = [str(data_dir() / "cases" / f"{name}.txtar") for name in BOTH]
    seen = {}
    for engine in ("docker", "local"):
        file = tmp_path / f"{engine}.jsonl"
        child = run(
            tmp_path,
            "--preset",
            "smoke",
            "--engine",
            engine,
            "-n",
            "2",
            "--results",
            str(file),
            *cases,
        )
        out, _ = child.communicate(timeout=900)
        assert child.returncode == 0, out
        seen[engine] = {i.id: (i.verdict, i.stage, i.executed) for i in results.read(file).items}
    assert seen["docker"] == seen["local"]
    assert len(seen["docker"]) > 20


@pytest.mark.parametrize("workers", ["0", "2"])
def test_ctrl_c_leaves_no_container(daemon: Daemon, project: Project, workers: str) -> None:
    """An interrupted run keeps what it had, and takes all of its containers with it."""
    folder = project(a_hello=HELLO, b_hangs=HANGS)
    child = run(folder, "--engine", "docker", "-n", workers)
    file = folder / ".crossmatrix" / "results.jsonl"
    wait_for(file, 1, seconds=400)
    time.sleep(3)
    os.killpg(child.pid, signal.SIGINT)
    out, _ = child.communicate(timeout=90)
    assert child.returncode == 2, out
    found = results.read(file)
    assert found.end is not None
    assert found.end.interrupted
    assert ours(daemon, found.run.id) == 0


def test_a_killed_run_is_cleaned_up_by_the_next(daemon: Daemon, project: Project) -> None:
    """After kill -9, the next start removes what was left."""
    folder = project(a_hello=HELLO, b_hangs=HANGS)
    child = run(folder, "--engine", "docker", "-n", "0")
    file = folder / ".crossmatrix" / "results.jsonl"
    wait_for(file, 1, seconds=400)
    time.sleep(3)
    os.killpg(child.pid, signal.SIGKILL)
    child.communicate()
    dead = results.read(file).run.id
    assert ours(daemon, dead) > 0
    again = run(folder, "--engine", "docker", "-k", "a_hello")
    out, _ = again.communicate(timeout=300)
    assert again.returncode == 0, out
    assert ours(daemon, dead) == 0


def test_a_dying_daemon_makes_errors_and_no_verdicts(
    own_daemon: tuple[str, int], project: Project
) -> None:
    """With the daemon gone, items are ERROR, nothing is invented, and the exit code tells."""
    host, pid = own_daemon
    folder = project(a_hello=HELLO, b_hangs=HANGS, c_trap=TRAP)
    child = run(folder, "--engine", "docker", "-n", "0", host=host)
    file = folder / ".crossmatrix" / "results.jsonl"
    wait_for(file, 2, seconds=400)
    os.kill(pid, signal.SIGKILL)
    out, _ = child.communicate(timeout=240)
    assert child.returncode not in (0, 5), out
    found = {item.id: item.verdict.value for item in results.read(file).items}
    after = {id: verdict for id, verdict in found.items() if not id.startswith("a_hello")}
    assert after
    assert set(after.values()) == {"ERROR"}
