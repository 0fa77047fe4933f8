"""The words for how a command ended, and the program that finds out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from crossmatrix.command import Command, Ended, Layout, Limits
from crossmatrix.engine import supervise
from crossmatrix.errors import InfrastructureError
from crossmatrix.toolchain import Store

LIMITS = Limits(seconds=20, label="10s")


def record(**fields: Any) -> bytes:
    base = {
        "exit": 0,
        "signal": 0,
        "start_error": "",
        "timeout": False,
        "output_limit": False,
        "oom": False,
        "seconds": 0.5,
        "stdout": b64encode(b"out").decode(),
        "stderr": None,
    }
    return json.dumps({**base, **fields}).encode()


@pytest.mark.parametrize(
    ("fields", "how"),
    [
        ({}, ""),
        ({"exit": 1}, ""),
        ({"exit": 132, "signal": 4}, "[exit 132 SIGILL]"),
        ({"exit": 132}, "[exit 132 SIGILL]"),
        ({"exit": 137, "signal": 9}, "[exit 137 SIGKILL]"),
        ({"exit": 255}, ""),
        ({"exit": 128}, ""),
        ({"exit": 137, "signal": 9, "timeout": True}, "[timeout 10s]"),
        ({"exit": 137, "signal": 9, "output_limit": True}, "[output limit 1 MiB]"),
        ({"exit": 137, "oom": True, "timeout": True, "output_limit": True}, "[oom]"),
        ({"exit": 0, "oom": True}, ""),
        ({"exit": 126, "start_error": "exec format error"}, "[cannot start: exec format error]"),
    ],
)
def test_how(fields: dict[str, Any], how: str) -> None:
    """Every end that is not an ordinary exit has one line, the same in every engine."""
    seen = supervise.ended(record(**fields), LIMITS)
    assert (seen.how, seen.exit) == (how, fields.get("exit", 0))


def test_timeout_without_a_label_is_named_by_its_seconds() -> None:
    """A limit that nobody scaled names itself."""
    seen = supervise.ended(record(exit=137, timeout=True), Limits(seconds=2.5))
    assert seen.how == "[timeout 2.5s]"


@pytest.mark.parametrize(
    ("count", "text"), [(1 << 20, "1 MiB"), (64 << 10, "64 KiB"), (1000, "1000 B"), (0, "0 B")]
)
def test_size(count: int, text: str) -> None:
    """A size is told in the largest unit that holds it whole."""
    assert supervise.size(count) == text


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"exit": 0}',
        record()[:-20],
        record(exit="0"),
        record(exit=True),
        record(more=1),
        record(stdout="no base64!"),
        b"\xff\xfe",
    ],
)
def test_no_record_is_a_fault(data: bytes) -> None:
    """What is no record never becomes an observation."""
    with pytest.raises(InfrastructureError, match="no record"):
        supervise.ended(data, LIMITS)


def test_spec_fills_symbols() -> None:
    """Symbols in argv, environment and folder become the box's paths, and nothing else is there."""
    command = Command(
        argv=("⟦work⟧/app",), env={"PATH": "⟦path⟧"}, limits=Limits(seconds=1), stdin=b"\0"
    )
    text = supervise.spec(command, Layout(paths={"work": "/w", "path": "/bin"}), uid=7)
    assert json.loads(text) == {
        "argv": ["/w/app"],
        "env": ["PATH=/bin"],
        "cwd": "/w",
        "seconds": 1,
        "output": 1 << 20,
        "stdin": "AA==",
        "uid": 7,
    }


@pytest.fixture(scope="module")
def store() -> Store:
    return Store()


def run(
    store: Store, folder: Path, *argv: str, seconds: float = 20, stdin: bytes = b"", **limits: Any
) -> Ended:
    """Run a command under the real supervisor, with busybox on PATH."""
    applets = store.get("busybox").root / "applets"
    command = Command(
        argv=argv,
        env={"PATH": str(applets)},
        limits=Limits(seconds=seconds, **limits),
        stdin=stdin,
    )
    spec = supervise.spec(command, Layout(paths={"work": str(folder)}))
    done = subprocess.run(
        [store.get("supervisor").executable, "run", spec], capture_output=True, check=True
    )
    return supervise.ended(done.stdout, command.limits)


def running(word: str) -> list[str]:
    """The processes of this machine whose command line holds a word."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes()
        except OSError:
            continue
        if word.encode() in line:
            found.append(line.decode())
    return found


@pytest.mark.engine
def test_output_and_exit(store: Store, tmp_path: Path) -> None:
    """Both streams, the status and the input go through as they are."""
    seen = run(store, tmp_path, "sh", "-c", "cat; echo err >&2; exit 3", stdin=b"a\0b")
    assert (seen.exit, seen.stdout, seen.stderr, seen.how) == (3, b"a\0b", b"err\n", "")


@pytest.mark.engine
def test_environment_is_whole(store: Store, tmp_path: Path) -> None:
    """A command sees the variables that it was given and no other."""
    seen = run(store, tmp_path, "env")
    assert seen.stdout.splitlines() == [b"PATH=" + bytes(store.get("busybox").root / "applets")]


@pytest.mark.engine
def test_signal(store: Store, tmp_path: Path) -> None:
    """A death by signal and a status of 128+N read the same."""
    assert run(store, tmp_path, "sh", "-c", "kill -ILL $$").how == "[exit 132 SIGILL]"
    assert run(store, tmp_path, "sh", "-c", "exit 132").how == "[exit 132 SIGILL]"


@pytest.mark.engine
@pytest.mark.parametrize(
    ("data", "mode", "exit", "why"),
    [
        (b"\x7fELF\x02\x02\x01" + bytes(57), 0o755, 126, "exec format error"),
        (b"echo no shell steps in\n", 0o755, 126, "exec format error"),
        (b"#!/no/such/interpreter\n", 0o755, 127, "no such file or directory"),
        (b"#!/bin/sh\n", 0o644, 126, "permission denied"),
        (None, 0, 127, "no such file or directory"),
    ],
)
def test_start_errors(
    store: Store, tmp_path: Path, data: bytes | None, mode: int, exit: int, why: str
) -> None:
    """A program that cannot be started is an observation in the kernel's words."""
    if data is not None:
        (tmp_path / "app").write_bytes(data)
        (tmp_path / "app").chmod(mode)
    seen = run(store, tmp_path, "./app")
    assert (seen.exit, seen.how) == (exit, f"[cannot start: {why}]")


@pytest.mark.engine
def test_name_that_is_not_on_path(store: Store, tmp_path: Path) -> None:
    """A bare name is looked up on the command's own PATH, never in its folder."""
    (tmp_path / "app").write_bytes(b"#!/bin/sh\n")
    (tmp_path / "app").chmod(0o755)
    assert run(store, tmp_path, "app").exit == 127


@pytest.mark.engine
def test_timeout_leaves_nothing(store: Store, tmp_path: Path) -> None:
    """Fifty processes in sessions of their own, half of them orphans, die with the time limit."""
    script = "for i in $(seq 25); do (setsid sleep 4711.5 & setsid sleep 4711.5) & done; wait"
    begun = time.monotonic()
    seen = run(store, tmp_path, "sh", "-c", script, seconds=1)
    assert seen.how == "[timeout 1s]"
    assert time.monotonic() - begun < 10
    assert not running("4711.5")


@pytest.mark.engine
def test_output_limit(store: Store, tmp_path: Path) -> None:
    """Endless output is cut at the limit, both streams counted together."""
    seen = run(store, tmp_path, "sh", "-c", "yes >&2 & yes", output=100_000)
    assert seen.how == "[output limit 100000 B]"
    assert len(seen.stdout) + len(seen.stderr) == 100_000


@pytest.mark.engine
def test_daemon_is_killed(store: Store, tmp_path: Path) -> None:
    """What a program leaves in the background ends with it, and does not hold up the record."""
    begun = time.monotonic()
    script = "(setsid sh -c 'sleep 4712.5 & sleep 4712.5' &) ; echo done"
    seen = run(store, tmp_path, "sh", "-c", script, seconds=60)
    assert (seen.exit, seen.stdout, seen.how) == (0, b"done\n", "")
    assert time.monotonic() - begun < 10
    assert not running("4712.5")


@pytest.mark.engine
def test_limits(store: Store, tmp_path: Path) -> None:
    """No core file, no more descriptors than asked for, and the usual umask."""
    seen = run(store, tmp_path, "sh", "-c", "ulimit -c; ulimit -n; umask", nofile=6)
    assert seen.stdout.split() == [b"0", b"6", b"0022"]


@pytest.mark.engine
def test_caller_that_dies(store: Store, tmp_path: Path) -> None:
    """A supervisor whose caller is gone, however that died, takes the command along."""
    sleep = store.get("busybox").root / "applets" / "sleep"
    command = Command(argv=(str(sleep), "4713.5"), env={}, limits=Limits(seconds=60))
    spec = supervise.spec(command, Layout(paths={"work": str(tmp_path)}))
    argv = [str(store.get("supervisor").executable), "run", "-"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(spec.encode())
        process.stdin.flush()
        while not running("4713.5"):
            time.sleep(0.01)
        process.stdin.close()
        assert process.wait(20) == supervise.FAULT
    assert not running("4713.5")


@pytest.mark.engine
def test_bad_spec(store: Store) -> None:
    """A spec that is none is a fault with a reason, no record."""
    argv = [str(store.get("supervisor").executable), "run", "{"]
    done = subprocess.run(argv, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (supervise.FAULT, b"")
    assert b"spec" in done.stderr


@pytest.mark.engine
def test_clean_refuses_a_machine(store: Store, tmp_path: Path) -> None:
    """Outside of its own container, clean kills nobody and wipes nothing."""
    (tmp_path / "kept").touch()
    argv = [str(store.get("supervisor").executable), "clean", str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, check=False)
    assert done.returncode == supervise.FAULT
    assert (tmp_path / "kept").exists()


@pytest.mark.engine
def test_init_reaps_and_cleans(store: Store, tmp_path: Path) -> None:
    """As PID 1 it leaves no zombie, clean ends all others and empties folders, SIGTERM ends it."""
    if os.getuid() != 0:
        pytest.skip("a process namespace of one's own needs root")
    supervisor = store.get("supervisor").executable
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "file").touch()
    deep.chmod(0o555)
    init = subprocess.Popen(
        ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", str(supervisor), "init"]
    )
    try:
        children = Path(f"/proc/{init.pid}/task/{init.pid}/children")
        while not (inner := children.read_text().split()):
            time.sleep(0.01)
        inside = ["nsenter", "--target", inner[0], "--pid", "--mount"]
        while b"init" not in Path(f"/proc/{inner[0]}/cmdline").read_bytes():
            time.sleep(0.01)
        script = "for i in 1 2 3 4 5; do sleep 4714.5 & done"
        subprocess.run([*inside, "sh", "-c", script], check=True)
        done = subprocess.run(
            [*inside, str(supervisor), "clean", str(tmp_path)], capture_output=True, check=True
        )
        assert json.loads(done.stdout) == {"clean": True, "left": []}
        assert not list(tmp_path.iterdir())
        assert not running("4714.5")
        assert Path(f"/proc/{inner[0]}/task/{inner[0]}/children").read_text() == ""
        os.kill(int(inner[0]), signal.SIGTERM)
        assert init.wait(10) == 0
    finally:
        init.kill()
        init.wait()


@pytest.mark.engine
def test_own_tests(store: Store, tmp_path: Path) -> None:
    """The supervisor's own Go tests pass."""
    go = store.get("go1.27.3")
    env = {"HOME": str(tmp_path), "GOCACHE": str(store.root / "gocache"), "CGO_ENABLED": "0"}
    env |= {"GOTOOLCHAIN": "local", "GOFLAGS": "", "GOENV": "off", "PATH": str(go.root / "bin")}
    folder = Path(supervise.__file__).parents[1] / "supervisor"
    for argv in (["go", "vet", "."], ["go", "test", "."]):
        done = subprocess.run(
            [go.executable, *argv[1:]], cwd=folder, env=env, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
