"""Whole runs in containers: the same verdicts as locally, and what a dying daemon leaves."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from docker import DockerClient

from crossmatrix import results
from crossmatrix.engine.docker_daemon import Daemon
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


class OwnDaemon:
    """A daemon of a test's own, to be killed and started again in the same folder."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="xmd-"))
        self.host = f"unix://{self.folder}/docker.sock"

    @property
    def pid(self) -> int:
        return int((self.folder / "dockerd.pid").read_text())

    def start(self) -> None:
        env = {**os.environ, "DOCKER_HOST": self.host}
        subprocess.run(["sh", START, self.folder], env=env, check=True, capture_output=True)

    def kill(self) -> None:
        """As a crash does: its containers go on without it."""
        pid = self.pid
        os.kill(pid, signal.SIGKILL)
        while Path(f"/proc/{pid}").exists():
            time.sleep(0.1)

    def remove(self) -> None:
        """End it in good order, with what it has mounted."""
        pid = self.pid
        os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + 30
        while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
            time.sleep(0.2)
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for place in sorted((m for m in mounts if m.startswith(f"{self.folder}/")), reverse=True):
            subprocess.run(["umount", "-l", place], check=False)
        shutil.rmtree(self.folder)


@pytest.fixture
def own_daemon() -> Iterator[OwnDaemon]:
    if os.getuid() != 0 or shutil.which("dockerd", path="/usr/sbin:/usr/bin:/sbin") is None:
        pytest.skip("only root, where dockerd is installed, can start a daemon to kill")
    daemon = OwnDaemon()
    daemon.start()
    yield daemon
    daemon.remove()


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
    own_daemon: OwnDaemon, project: Project
) -> None:
    """With the daemon gone, items are ERROR and nothing is invented; the next run starts clean."""
    folder = project(a_hello=HELLO, b_hangs=HANGS, c_trap=TRAP)
    child = run(folder, "--engine", "docker", "-n", "0", host=own_daemon.host)
    file = folder / ".crossmatrix" / "results.jsonl"
    wait_for(file, 2, seconds=400)
    own_daemon.kill()
    out, _ = child.communicate(timeout=240)
    assert child.returncode not in (0, 5), out
    dead = results.read(file)
    after = {i.id: i.verdict.value for i in dead.items if not i.id.startswith("a_hello")}
    assert after
    assert set(after.values()) == {"ERROR"}
    own_daemon.start()
    again = run(folder, "--engine", "docker", "-k", "not b_hangs", host=own_daemon.host)
    out, _ = again.communicate(timeout=240)
    assert again.returncode == 0, out
    environment = {"DOCKER_HOST": own_daemon.host}
    client = DockerClient.from_env(environment=environment)
    assert client.containers.list(all=True) == []
    client.close()
