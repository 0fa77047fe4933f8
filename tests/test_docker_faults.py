"""The Docker engine when something breaks: what is told, and what is left behind."""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from crossmatrix.command import File
from crossmatrix.engine.docker import RUN_LABEL, DockerEngine, sweep
from crossmatrix.engine.docker_daemon import Daemon, connect
from crossmatrix.engine.session import Session
from crossmatrix.errors import InfrastructureError
from crossmatrix.needs import RunnerNeeds
from crossmatrix.toolchain import Store
from docker_fixtures import host_name, sh, visit

pytestmark = pytest.mark.engine


def left(daemon: Daemon, run: str) -> int:
    wanted: dict[str, Any] = {"label": f"{RUN_LABEL}={run}"}
    client = daemon.client
    return len(client.containers.list(all=True, filters=wanted)) + len(
        client.volumes.list(filters=wanted)
    )


def test_close_leaves_nothing(daemon: Daemon, store: Store, session: Session) -> None:
    """After `close`, twice, nothing of the run is at the daemon."""
    own = replace(session, id="test-close")
    engine = DockerEngine(daemon=daemon, store=store, session=own)
    with engine.runner(RunnerNeeds()):
        assert left(daemon, own.id) == 2
    engine.close()
    engine.close()
    assert left(daemon, own.id) == 0


def test_sweep_removes_what_a_dead_run_left(daemon: Daemon, store: Store, session: Session) -> None:
    """Containers and volumes of a dead run of this host go, those of another host stay."""
    runs = (replace(session, id="dead"), replace(session, id="dead", host="elsewhere"))
    engines = [DockerEngine(daemon=daemon, store=store, session=s) for s in runs]
    for engine in engines:
        with engine.runner(RunnerNeeds()):
            pass
    assert sweep(daemon, host=session.host, dead=("dead",)) == 2
    assert left(daemon, "dead") == 2
    engines[1].close()


def test_container_removed_in_the_middle_is_a_fault(daemon: Daemon, engine: DockerEngine) -> None:
    """A container that goes away under a command is an infrastructure error, never an end."""

    def remove() -> None:
        time.sleep(1)
        daemon.client.containers.get(first).remove(force=True)

    with pytest.raises(InfrastructureError), engine.runner(RunnerNeeds()) as box:  # noqa: PT012
        first = host_name(box).decode().strip()
        thread = threading.Thread(target=remove)
        thread.start()
        try:
            sh(box, "sleep 100")
        finally:
            thread.join()


@dataclass
class Relay:
    """A socket before the daemon's own, which can be cut."""

    path: Path
    target: str

    def __post_init__(self) -> None:
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(str(self.path))
        self.server.listen()
        self.open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self.server.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(self.target)
                self.open += [near, far]
                for a, b in ((near, far), (far, near)):
                    threading.Thread(target=self._copy, args=(a, b), daemon=True).start()

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        self.path.unlink()
        self.server.close()
        for end in self.open:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@pytest.fixture
def cuttable(
    daemon: Daemon,
    store: Store,
    session: Session,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[DockerEngine, Callable[[], None]]]:
    """An engine whose daemon can be taken away, and what takes it away."""
    kind = daemon.client.api.base_url.partition(":")[0]
    if kind != "http+docker":
        pytest.skip(f"the daemon is reached by {kind}, not by a socket of this machine")
    where = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
    relay = Relay(tmp_path / "relay.sock", where)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{relay.path}")
    found = connect()
    assert isinstance(found, Daemon)
    own = replace(session, id="test-relay")
    yield DockerEngine(daemon=found, store=store, session=own), relay.cut
    found.client.close()
    gc.collect()
    sweep(daemon, host=own.host, dead=(own.id,))
    assert left(daemon, own.id) == 0


# the SDK leaves a socket open that it could not connect
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize("root", ["runner", "scratch"])
def test_daemon_gone_in_the_middle_is_a_fault(
    cuttable: tuple[DockerEngine, Callable[[], None]], zoo: File, root: str
) -> None:
    """A daemon that dies under a command is an infrastructure error, and so is all after it."""
    engine, cut = cuttable
    with pytest.raises(InfrastructureError), engine.runner(RunnerNeeds(root=root)) as box:  # noqa: PT012
        box.put({"zoo": zoo})
        threading.Timer(1.5, cut).start()
        visit(box, "hang", seconds=30)
    with pytest.raises(InfrastructureError), engine.runner(RunnerNeeds(root=root)):
        pass
    engine.close()


def test_no_daemon_is_told_soon(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where no daemon answers, `connect` says where it looked, and does not wait for long."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    begun = time.monotonic()
    found = connect()
    assert isinstance(found, str)
    assert f"{tmp_path}/none.sock" in found
    assert time.monotonic() - begun < 5


INTERRUPTED = """
    from crossmatrix.command import Command, Limits
    from crossmatrix.engine.docker import DockerEngine, connect
    from crossmatrix.engine.session import Session
    from crossmatrix.needs import RunnerNeeds
    from crossmatrix.toolchain import Store
    import dataclasses

    store = Store()
    session = dataclasses.replace(Session.open(store.root), id="test-interrupt")
    engine = DockerEngine(daemon=connect(), store=store, session=session)
    try:
        with engine.runner(RunnerNeeds()) as box:
            box.put({})
            print("ready", flush=True)
            box.run(Command(argv=("sleep", "100"), env={"PATH": "/bin"}, limits=Limits(seconds=99)))
    finally:
        engine.close()
"""


def test_interrupt_in_the_middle_leaves_nothing(daemon: Daemon, engine: DockerEngine) -> None:
    """Ctrl-C while a command runs ends soon, and no container or volume is left."""
    with engine.runner(RunnerNeeds()):
        pass  # the image is there
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(INTERRUPTED)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    with process.stdout as output:
        assert output.readline() == b"ready\n"
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) != 0
    assert left(daemon, "test-interrupt") == 0
