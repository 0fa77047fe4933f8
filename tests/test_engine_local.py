"""The local engine against real Go, zig, qemu, wazero and node: boxes, walls, caches, leftovers."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crossmatrix.cell import Cell
from crossmatrix.command import Command, Ended, File, Limits
from crossmatrix.engine import Box, warm
from crossmatrix.engine.local import LocalEngine
from crossmatrix.engine.session import Session
from crossmatrix.errors import InfrastructureError, InputError, MissingToolError
from crossmatrix.needs import BuilderNeeds, RunnerNeeds, Warm
from crossmatrix.planbuild import base_env, cc_env
from crossmatrix.toolchain import Store, host_port

pytestmark = pytest.mark.engine

GO = "1.27.3"
OLD = "1.21.13"
HELLO = b'package main\n\nimport "fmt"\n\nfunc main() { fmt.Println("hello") }\n'
CGO = b"""package main

// #include <stdio.h>
// static int add(int a, int b) { return a + b; }
import "C"
import "fmt"

func main() { fmt.Println(C.add(1, 2)) }
"""
SHELL = {"PATH": "⟦path⟧", "HOME": "⟦home⟧", "TMPDIR": "⟦tmp⟧"}


@pytest.fixture(scope="module")
def store() -> Store:
    return Store()


@pytest.fixture(scope="module")
def session(store: Store) -> Iterator[Session]:
    with Session.open(store.root) as made:
        yield made


@pytest.fixture(scope="module")
def engine(store: Store, session: Session) -> Iterator[LocalEngine]:
    made = LocalEngine(store, session, report=lambda _: None)
    yield made
    made.close()
    made.close()
    assert not list(session.folder.iterdir())


def native(cgo: bool = False, **fields: Any) -> Cell:
    port = host_port()
    variant = "v1" if port.goarch == "amd64" else "v8.0"
    base = Cell(goos=port.goos, goarch=port.goarch, cgo=cgo, go="1.27", go_version=GO)
    return replace(base, **{"variant": variant, **fields})


def needs(cell: Cell, *flags: str, zig: str = "", cc: str = "none") -> BuilderNeeds:
    packages = ("fmt", "net", "os")
    env = {**cell.env(), **{k: v for k, v in cc_env(cc, cell).items() if "⟦" not in v}}
    job = Warm(go=cell.go_version, env=tuple(sorted(env.items())), flags=flags, packages=packages)
    return BuilderNeeds(go=(cell.go_version,), cc=cc, zig_target=zig, warm=job)


def sh(box: Box, script: str, *, seconds: float = 20, **limits: Any) -> Ended:
    command = Command(
        argv=("sh", "-c", script), env=SHELL, limits=Limits(seconds=seconds, **limits)
    )
    return box.run(command)


def build(box: Box, cell: Cell, source: bytes, *flags: str, cc: str = "none") -> Ended:
    box.put({"go.mod": File(data=b"module x\ngo 1.21\n"), "main.go": File(data=source)})
    env = {**base_env(cell), **cc_env(cc, cell)}
    argv = ("go", "build", *flags, "-o", "app", ".")
    return box.run(Command(argv=argv, env=env, limits=Limits(seconds=600)))


def built(engine: LocalEngine, cell: Cell, source: bytes = HELLO) -> File:
    with engine.builder(needs(cell)) as box:
        ended = build(box, cell, source)
        assert (ended.exit, ended.stderr) == (0, b"")
        artifact = box.get("app")
    assert artifact is not None
    return artifact


def executed(engine: LocalEngine, wanted: RunnerNeeds, app: File, *argv: str) -> Ended:
    with engine.runner(wanted) as box:
        box.put({"app": app})
        env = {"PATH": "⟦path⟧", "HOME": "⟦work⟧"}
        return box.run(Command(argv=(*argv, "⟦work⟧/app"), env=env, limits=Limits(seconds=60)))


def separate(engine: LocalEngine) -> None:
    if not engine.notice.startswith("local engine: cases run as uid 65534"):
        pytest.skip(engine.notice)


@pytest.mark.parametrize("version", [OLD, GO])
def test_native(engine: LocalEngine, version: str) -> None:
    """What a builder made runs in a runner."""
    app = built(engine, native(go_version=version))
    assert app.mode & stat.S_IXUSR
    ended = executed(engine, RunnerNeeds(), app)
    assert (ended.exit, ended.stdout, ended.how) == (0, b"hello\n", "")


@pytest.mark.parametrize(
    ("port", "variant", "tool"),
    [
        ("linux/s390x", "", "qemu-s390x"),
        ("linux/arm", "6", "qemu-arm"),
        ("wasip1/wasm", "", "wazero"),
        ("js/wasm", "", "node"),
    ],
)
def test_runners(engine: LocalEngine, port: str, variant: str, tool: str) -> None:
    """Foreign programs run with the command that stands before them."""
    goos, goarch = port.split("/")
    app = built(engine, native(goos=goos, goarch=goarch, variant=variant))
    script = {"node": ("⟦tool:wasm_exec⟧",), "wazero": ("run",)}.get(tool, ())
    wanted = RunnerNeeds(tool=tool, go=GO if tool == "node" else "")
    ended = executed(engine, wanted, app, f"⟦tool:{tool}⟧", *script)
    assert (ended.exit, ended.stdout, ended.stderr, ended.how) == (0, b"hello\n", b"", "")


def test_foreign_program_without_a_runner(engine: LocalEngine) -> None:
    """A foreign program cannot be started, unless the kernel was taught its format."""
    app = built(engine, native(goarch="s390x", variant=""))
    if list(Path("/proc/sys/fs/binfmt_misc").glob("qemu-*")):
        pytest.skip("this kernel has foreign formats registered")
    ended = executed(engine, RunnerNeeds(), app)
    assert (ended.exit, ended.how) == (126, "[cannot start: exec format error]")


def test_path_holds_nothing_of_the_host(engine: LocalEngine) -> None:
    """PATH is Go, then busybox; the host's programs are not found."""
    with engine.builder(needs(native())) as box:
        ended = sh(box, "echo $PATH; for n in go sh python3 gcc git; do command -v $n; done")
        lines = ended.stdout.decode().splitlines()
        path = lines[0].split(":")
        assert path[0] == box.layout.fill("⟦goroot⟧/bin")
        assert Path(path[1]).name == "applets"
        assert len(path) == 2
        assert [Path(line).name for line in lines[1:]] == ["go", "sh"]


def test_zig(engine: LocalEngine) -> None:
    """cgo works with zig on a cache that is only read, in seconds once it is filled."""
    cell = native(cgo=True, cc="zig")
    triple = {"amd64": "x86_64", "arm64": "aarch64"}[cell.goarch] + "-linux-musl"
    with engine.builder(needs(cell, cc="zig", zig=triple)) as box:
        begun = time.monotonic()
        ended = build(box, cell, CGO, cc="zig")
        assert (ended.exit, ended.stderr) == (0, b"")
        assert time.monotonic() - begun < 30
        app = box.get("app")
    assert app is not None
    assert executed(engine, RunnerNeeds(), app).stdout == b"3\n"


def test_host_gcc(engine: LocalEngine) -> None:
    """cgo works with the host's gcc, of which nothing but gcc and its kin are on PATH."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc on this machine")
    cell = native(cgo=True, cc="host-gcc")
    with engine.builder(needs(cell, cc="host-gcc")) as box:
        ended = build(box, cell, CGO, cc="host-gcc")
        assert (ended.exit, ended.stderr) == (0, b"")
        app = box.get("app")
    assert app is not None
    assert executed(engine, RunnerNeeds(), app).stdout == b"3\n"


@pytest.mark.parametrize(
    "wanted",
    [
        BuilderNeeds(go=(GO,), tools=("git",)),
        BuilderNeeds(go=(GO,), cc="mingw"),
        RunnerNeeds(root="scratch"),
        RunnerNeeds(pids=5),
        RunnerNeeds(tool="qemu-nonesuch"),
    ],
)
def test_what_it_lacks(engine: LocalEngine, wanted: BuilderNeeds | RunnerNeeds) -> None:
    """What this engine has not is a reason with a way out."""
    box = engine.builder(wanted) if isinstance(wanted, BuilderNeeds) else engine.runner(wanted)
    with pytest.raises(MissingToolError) as caught, box:
        pass
    assert caught.value.command


def test_host_gcc_without_gcc(engine: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without gcc says how to get it."""
    monkeypatch.setenv("PATH", "/nowhere")
    wanted = BuilderNeeds(go=(GO,), cc="host-gcc")
    with pytest.raises(MissingToolError, match="no gcc"), engine.builder(wanted):
        pass


def test_caches_are_only_read(engine: LocalEngine) -> None:
    """A case cannot change what a later case will be built from."""
    separate(engine)
    with engine.builder(needs(native())) as box:
        script = box.layout.fill(
            "id -u; for d in ⟦gocache⟧ ⟦gocache⟧/00 ⟦goroot⟧/src; do touch $d/x; done"
        )
        ended = sh(box, script)
        assert ended.stdout == b"65534\n"
        assert ended.stderr.count(b"Read-only file system") == 3


@pytest.mark.parametrize("version", [OLD, GO])
@pytest.mark.parametrize("stamp", ["1", "", "99999999999"])
def test_cache_of_last_week(engine: LocalEngine, store: Store, version: str, stamp: str) -> None:
    """A cache that go would trim by now is kept whole, and builds on it work."""
    cell = native(go_version=version)
    with engine.builder(needs(cell)) as box:
        assert build(box, cell, HELLO).exit == 0
    (trim,) = (store.root / "cache").glob(f"go{version}-*/trim.txt")
    trim.write_text(stamp)
    with engine.builder(needs(cell)) as box:
        ended = build(box, cell, HELLO)
        assert (ended.exit, ended.stderr) == (0, b"")


def test_standard_packages_are_compiled_once(engine: LocalEngine) -> None:
    """A build on a warm cache compiles the case's own packages and nothing else."""
    cell = native()
    with engine.builder(needs(cell)) as box:
        ended = build(box, cell, HELLO, "-x")
        assert ended.exit == 0
        assert ended.stderr.count(b"/compile -o ") == 1


def test_warm_survives_what_does_not_compile(engine: LocalEngine) -> None:
    """A package that a target lacks is not the harness's business."""
    cell = native()
    job = Warm(go=GO, env=tuple(cell.env().items()), flags=(), packages=("syscall/js", "no/such"))
    with engine.builder(BuilderNeeds(go=(GO,), warm=job)) as box:
        assert build(box, cell, HELLO).exit == 0


def test_warm_fault_is_told() -> None:
    """A compiler that was cut short is a fault of the machine, never a filled cache."""
    job = warm.job(needs(native()))
    assert job is not None
    killed = Ended(exit=137, stdout=b"", stderr=b"", how="[oom]")
    with pytest.raises(InfrastructureError, match=r"go list \[oom\]"):
        warm.carry_out(job, lambda _: killed)


def test_boxes_share_nothing(engine: LocalEngine, session: Session) -> None:
    """A box is empty when it is handed out, and gone with all in it afterwards."""
    with engine.builder(needs(native())) as box:
        script = "mkdir -p a/b ~/m; touch a/b/c ~/m/f $TMPDIR/t; chmod 555 a a/b ~/m"
        assert sh(box, script).exit == 0
        folder = Path(box.layout.fill("⟦work⟧")).parent
    assert not folder.exists()
    with engine.builder(needs(native())) as box:
        assert sh(box, "ls -A . ~ $TMPDIR | grep -v :").stdout.split() == []
    assert [p.name for p in session.folder.rglob("work")] == []


def test_nothing_is_left_after_a_failure(engine: LocalEngine, session: Session) -> None:
    """A box goes away when its user fails."""
    with pytest.raises(ZeroDivisionError), engine.runner(RunnerNeeds()):
        raise ZeroDivisionError
    assert [p.name for p in session.folder.rglob("work")] == []


def test_get_and_put(engine: LocalEngine) -> None:
    """Only regular files of the work folder come out, and files go nowhere else."""
    with engine.runner(RunnerNeeds()) as box:
        box.put({"d/e/f": File(data=b"data", mode=0o755), "plain": File(data=b"")})
        script = (
            "ln -s d/e/f link; ln -s d linked; mkfifo pipe; echo 1 >own; chmod 640 own;"
            " dd if=/dev/zero of=sparse bs=1 count=1 seek=300M; ls -l d/e/f plain"
        )
        assert sh(box, script).exit == 0
        assert box.get("d/e/f") == File(data=b"data", mode=0o755)
        assert box.get("own") == File(data=b"1\n", mode=0o640)
        for name in ("link", "linked/e/f", "pipe", "d", "sparse", "none", "plain/x"):
            assert box.get(name) is None, name
        for name in ("/etc/passwd", "../x", "a/../../x", ""):
            with pytest.raises(InputError):
                box.get(name)
            with pytest.raises(InputError):
                box.put({name: File(data=b"")})
        with pytest.raises(InfrastructureError):
            box.put({"linked/x": File(data=b"")})
        with pytest.raises(InfrastructureError):
            box.put({"link": File(data=b"")})
        assert box.get("d/e/f") == File(data=b"data", mode=0o755)


def test_limit_of_descriptors(engine: LocalEngine) -> None:
    """A runner's own limit holds for its commands."""
    with engine.runner(RunnerNeeds(nofile=20)) as box:
        assert sh(box, "ulimit -n").stdout == b"20\n"


def test_time_limit_under_walls(engine: LocalEngine) -> None:
    """Processes of another user die with the time limit too."""
    with engine.runner(RunnerNeeds()) as box:
        ended = sh(box, "(setsid sleep 4721.5 &); sleep 4721.5", seconds=1)
    assert ended.how == "[timeout 1s]"
    assert not any(b"4721.5" in p.read_bytes() for p in Path("/proc").glob("[0-9]*/cmdline"))


def test_large_input(engine: LocalEngine) -> None:
    """Input of any size reaches a command."""
    with engine.runner(RunnerNeeds()) as box:
        command = Command(
            argv=("wc", "-c"), env=SHELL, limits=Limits(seconds=20), stdin=bytes(3 << 20)
        )
        assert box.run(command).stdout.split() == [b"3145728"]


INTERRUPTED = """
import sys
from crossmatrix.command import Command, Limits
from crossmatrix.engine.local import LocalEngine
from crossmatrix.engine.session import Session
from crossmatrix.needs import RunnerNeeds
from crossmatrix.toolchain import Store

store = Store()
with Session.open(store.root) as session:
    engine = LocalEngine(store, session, report=lambda _: None)
    print(session.folder, flush=True)
    with engine.runner(RunnerNeeds()) as box:
        argv = ("sleep", sys.argv[1])
        box.run(Command(argv=argv, env={"PATH": "⟦path⟧"}, limits=Limits(seconds=60)))
"""


@pytest.mark.parametrize(
    ("number", "seconds"), [(signal.SIGINT, "4731.5"), (signal.SIGKILL, "4732.5")]
)
def test_interrupted(number: int, seconds: str, tmp_path: Path) -> None:
    """Ctrl-C leaves nothing behind; after a kill -9 no process is left, and folders are found."""

    def sleeping() -> bool:
        lines = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                lines.append(path.read_bytes())
            except OSError:
                continue
        return any(line.startswith(b"sleep\0" + seconds.encode()) for line in lines)

    argv = [sys.executable, "-c", INTERRUPTED, seconds]
    env = {**os.environ, "TMPDIR": tempfile.gettempdir()}
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=env
    ) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        end = time.monotonic() + 20
        while not sleeping() and time.monotonic() < end:
            time.sleep(0.02)
        process.send_signal(number)
        process.wait(20)
    while sleeping() and time.monotonic() < end:
        time.sleep(0.02)
    assert not sleeping()
    if number == signal.SIGINT:
        assert not folder.exists()
    else:
        from crossmatrix.engine.session import bury, dead

        root = Store().root
        assert folder.name in dead(root)
        bury(root, (folder.name,))
        assert not folder.exists()
