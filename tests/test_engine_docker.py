"""The Docker engine against a real daemon: walls, warm pairs, ends, caches."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from crossmatrix.command import Command, File, Limits
from crossmatrix.engine import docker_box
from crossmatrix.engine.docker import DockerEngine
from crossmatrix.engine.docker_box import DockerBox, Holder
from crossmatrix.engine.docker_daemon import Daemon
from crossmatrix.engine.session import Session
from crossmatrix.errors import HarnessError, MissingToolError
from crossmatrix.needs import BuilderNeeds, RunnerNeeds
from crossmatrix.toolchain import Store
from docker_fixtures import GO, SHELL, go_build, host_name, native, sh, visit

pytestmark = pytest.mark.engine


def test_built_in_one_container_and_run_in_another(engine: DockerEngine, zoo: File) -> None:
    """An artifact comes out of the builder with its mode, goes into the runner, and runs."""
    assert zoo.mode == 0o755
    with engine.runner(RunnerNeeds()) as box:
        box.put({"zoo": zoo})
        ended = visit(box, "hello")
    assert (ended.exit, ended.stdout, ended.how) == (0, b"hello\n", "")


@pytest.mark.parametrize(
    ("goos", "goarch", "needs", "argv"),
    [
        ("linux", "s390x", RunnerNeeds(tool="qemu-s390x"), ("⟦tool:qemu-s390x⟧", "⟦work⟧/zoo")),
        (
            "wasip1",
            "wasm",
            RunnerNeeds(tool="wazero"),
            ("⟦tool:wazero⟧", "run", "⟦work⟧/zoo"),
        ),
        (
            "js",
            "wasm",
            RunnerNeeds(tool="node", go=GO),
            ("⟦tool:node⟧", "⟦tool:wasm_exec⟧", "⟦work⟧/zoo"),
        ),
    ],
    ids=["qemu", "wazero", "node"],
)
def test_every_runner_of_the_image_runs(
    engine: DockerEngine, goos: str, goarch: str, needs: RunnerNeeds, argv: tuple[str, ...]
) -> None:
    """qemu, wazero and node (with its libraries and that Go's script) execute a foreign program."""
    zoo = go_build(engine, goos, goarch)
    with engine.runner(needs) as box:
        box.put({"zoo": zoo})
        ended = box.run(Command(argv=(*argv, "hello"), env=SHELL, limits=Limits(seconds=60)))
    assert (ended.exit, ended.stdout) == (0, b"hello\n"), ended.stderr


def test_walls(engine: DockerEngine) -> None:
    """A case is nobody, without capabilities or network, on a read-only root, its volume nosuid."""
    script = """
        id -u; id -g; grep -E 'CapEff|NoNewPrivs' /proc/self/status
        ls /sys/class/net; ulimit -c; grep ' /w ' /proc/mounts
        touch /x; touch /cache/go/x; touch /opt/x; echo $HOME; ls -d $HOME $TMPDIR; touch /tmp/ok
    """
    with engine.builder(BuilderNeeds(go=(GO,))) as box:
        ended = sh(box, script)
    lines = ended.stdout.decode().split("\n")
    assert lines[:2] == ["65534", "65534"]
    assert [line.split()[-1] for line in lines[2:4]] == ["0000000000000000", "1"]
    assert lines[4:6] == ["lo", "0"]
    assert {"nosuid", "nodev", "rw"} <= set(lines[6].split()[3].split(","))
    assert lines[7:10] == ["/w/home", "/w/home", "/w/tmp"]
    assert ended.stderr.count(b"Read-only file system") == 3
    assert b"/tmp/ok" not in ended.stderr


def test_boxes_of_an_item_share_nothing(engine: DockerEngine) -> None:
    """What the builder writes anywhere is not to be seen in the runner."""
    with engine.builder(BuilderNeeds(go=(GO,))) as builder, engine.runner(RunnerNeeds()) as box:
        sh(builder, "touch /w/work/seen /tmp/seen /dev/shm/seen")
        assert sh(box, "find / -xdev -name seen; ls /w/work /tmp /dev/shm").stdout == (
            b"/dev/shm:\n\n/tmp:\n\n/w/work:\n"
        )


def test_volume_has_a_quota(engine: DockerEngine) -> None:
    """A program that fills its work volume is told so, and the machine's disk is not touched."""
    with engine.runner(RunnerNeeds()) as box:
        ended = sh(box, "dd if=/dev/zero of=big bs=1M count=2000")
    assert b"No space left on device" in ended.stderr


def test_only_regular_files_come_out(engine: DockerEngine) -> None:
    """Links are not followed at any place of a path; a pipe or a sparse giant is no file."""
    script = """
        mkdir -p a/b; echo yes >a/b/file; chmod 640 a/b/file
        ln -s a/b/file link; ln -s a folder; mkfifo pipe; truncate -s 1T giant
    """
    with engine.runner(RunnerNeeds()) as box:
        sh(box, script)
        names = ("link", "folder/b/file", "pipe", "giant", "a", "none", "a/none")
        assert [box.get(name) for name in names] == [None] * len(names)
        assert box.get("a/b/file") == File(data=b"yes\n", mode=0o640)


def test_missing_tools_are_named(engine: DockerEngine) -> None:
    """What the builder image cannot have is a `MissingToolError` with the way out."""
    wanted = (BuilderNeeds(go=(GO,), cc="host-gcc"), BuilderNeeds(go=(GO,), tools=("git",)))
    for needs, name in zip(wanted, ("host-gcc", "git"), strict=True):
        with (
            pytest.raises(MissingToolError, match=f"has no {name}.*\n.*--engine local"),
            engine.builder(needs),
        ):
            pass


# warm containers


def test_warm_container_comes_back_clean(engine: DockerEngine) -> None:
    """The next item gets the same container, without the last one's files and processes."""
    with engine.runner(RunnerNeeds()) as box:
        first = host_name(box)
        sh(box, "touch x /tmp/x /dev/shm/x; mkdir -p d/e; chmod 0 d; nohup sleep 1000 >/dev/null &")
    with engine.runner(RunnerNeeds()) as box:
        assert host_name(box) == first
        assert (
            sh(box, "ls -A . /tmp /dev/shm $HOME $TMPDIR | grep -v ':$'; true").stdout.split() == []
        )
        assert b"sleep 1000" not in sh(box, "ps -o args").stdout


def test_fresh_containers_are_not_used_again(
    daemon: Daemon, store: Store, session: Session
) -> None:
    """With ``fresh`` every item has a container of its own."""
    engine = DockerEngine(daemon=daemon, store=store, session=session, fresh=True)
    names = set()
    for _ in range(2):
        with engine.runner(RunnerNeeds()) as box:
            names.add(host_name(box))
    engine.close()
    assert len(names) == 2


def test_own_limits_mean_an_own_container(engine: DockerEngine) -> None:
    """A case's lower limits hold in a container that no other item gets."""
    needs = RunnerNeeds(memory=64 << 20, nofile=50, pids=10)
    with engine.runner(RunnerNeeds()) as box:
        usual = host_name(box)
    with engine.runner(needs) as box:
        own = host_name(box)
        assert sh(box, "ulimit -n").stdout == b"50\n"
        assert sh(box, "x=xxxxxxxx; while :; do x=$x$x; done").how == "[oom]"
    with engine.runner(needs) as box:
        assert len({own, usual, host_name(box)}) == 3


def test_failed_item_takes_its_container_along(engine: DockerEngine) -> None:
    """Where the harness itself fails in the middle of an item, the container is thrown away."""
    with pytest.raises(ValueError, match="on purpose"), engine.runner(RunnerNeeds()) as box:  # noqa: PT012
        first = host_name(box)
        raise ValueError("on purpose")
    with engine.runner(RunnerNeeds()) as box:
        assert host_name(box) != first


# how commands end


@pytest.mark.parametrize("root", ["runner", "scratch"])
@pytest.mark.parametrize(
    ("what", "limits", "exit_status", "how"),
    [
        ("hang", {"seconds": 1.5}, 137, "[timeout 1.5s]"),
        ("spam", {"output": 10_000}, 137, "[output limit"),
        ("crash", {}, 2, ""),
        ("eat", {}, 137, "[oom]"),
    ],
)
def test_ends_are_told_alike(
    engine: DockerEngine,
    zoo: File,
    root: str,
    what: str,
    limits: dict[str, Any],
    exit_status: int,
    how: str,
) -> None:
    """A program that hangs, floods, panics or eats all memory ends in the same words anywhere."""
    memory = 128 << 20 if what == "eat" else None
    with engine.runner(RunnerNeeds(root=root, memory=memory)) as box:
        box.put({"zoo": zoo})
        ended = visit(box, what, **limits)
    assert (ended.exit, ended.how[: len(how)], bool(ended.how)) == (exit_status, how, bool(how))
    assert len(ended.stdout) <= 10_000


@pytest.mark.parametrize("root", ["runner", "scratch"])
@pytest.mark.parametrize(
    ("file", "exit_status", "why"),
    [
        (None, 127, "no such file or directory"),
        (File(data=b"\x7fELF, but nothing else", mode=0o755), 126, "exec format error"),
        (File(data=b"#!/bin/sh\n", mode=0o644), 126, "permission denied"),
    ],
    ids=["absent", "wrong-format", "not-executable"],
)
def test_refused_starts_are_observations(
    engine: DockerEngine, root: str, file: File | None, exit_status: int, why: str
) -> None:
    """What the kernel refuses to start is told alike in any root, whatever the runtime says."""
    with engine.runner(RunnerNeeds(root=root)) as box:
        box.put({} if file is None else {"zoo": file})
        ended = visit(box, "hello")
    assert (ended.exit, ended.how) == (exit_status, f"[cannot start: {why}]")
    assert (ended.stdout, ended.stderr) == (b"", b"")


@pytest.mark.parametrize("root", ["runner", "scratch"])
def test_stdin_reaches_the_program(engine: DockerEngine, zoo: File, root: str) -> None:
    """All of the input comes in, and its end too."""
    text = b"line\n" * 10_000
    with engine.runner(RunnerNeeds(root=root)) as box:
        box.put({"zoo": zoo})
        assert visit(box, "copy", stdin=text).stdout == text


def test_too_long_a_command_is_refused_in_words(engine: DockerEngine, zoo: File) -> None:
    """Input that no argument of Linux can hold is an error with the way out, and no crash."""
    with engine.runner(RunnerNeeds()) as box:
        box.put({"zoo": zoo})
        with pytest.raises(HarnessError, match="into a file of the case"):
            visit(box, "copy", stdin=bytes(200_000))


def test_program_that_kills_its_supervisor(engine: DockerEngine) -> None:
    """``kill -9 -1`` is the program's own end, and the container is replaced."""
    with engine.runner(RunnerNeeds()) as box:
        first = host_name(box)
        ended = sh(box, "kill -9 -1")
        assert (ended.exit, ended.how) == (137, "[exit 137 SIGKILL]")
    with engine.runner(RunnerNeeds()) as box:
        assert host_name(box) != first


def test_program_that_stops_its_supervisor(
    engine: DockerEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A supervisor that can watch no more is watched from outside: a timeout all the same."""
    monkeypatch.setattr(docker_box, "GRACE", 1.0)
    with engine.runner(RunnerNeeds()) as box:
        ended = sh(box, "kill -STOP $PPID; sleep 1000", seconds=1)
    assert ended.how == "[timeout 1s]"


# the empty root


def test_scratch_root_is_empty(engine: DockerEngine, zoo: File) -> None:
    """Nothing is there but the work volume and what the container runtime itself mounts."""
    with engine.runner(RunnerNeeds(root="scratch")) as box:
        box.put({"zoo": zoo})
        seen = set(visit(box, "list").stdout.decode().split())
    assert seen - {".dockerenv", "run"} == {"dev", "etc", "proc", "sys", "w", "<nil>"}


def test_scratch_tells_a_missing_interpreter(engine: DockerEngine) -> None:
    """A dynamic executable without its loader cannot be started: exit 127."""
    zoo = go_build(engine, "linux", native(), "-buildmode=pie")
    with engine.runner(RunnerNeeds(root="scratch")) as box:
        box.put({"zoo": zoo})
        ended = visit(box, "hello")
    assert (ended.exit, ended.how) == (127, "[cannot start: no such file or directory]")


def test_scratch_leaves_a_programs_own_words_alone(engine: DockerEngine, zoo: File) -> None:
    """A program that fails to start a child, and says so, was itself started."""
    with engine.runner(RunnerNeeds(root="scratch")) as box:
        box.put({"zoo": zoo})
        ended = visit(box, "child")
    assert (ended.exit, ended.how) == (1, "")
    assert ended.stderr == b"fork/exec /bin/sh: no such file or directory\n"


# caches


def test_case_cannot_write_into_a_cache(engine: DockerEngine) -> None:
    """A case can neither change the GOCACHE nor make itself the owner of it."""
    with engine.builder(BuilderNeeds(go=(GO,))) as box:
        ended = sh(
            box,
            "touch /cache/go/x || chmod 777 /cache/go || mount -o remount,rw /cache/go",
        )
    assert ended.exit != 0


def test_cache_that_go_would_trim_is_kept_from_it(
    daemon: Daemon, store: Store, session: Session, zoo: File
) -> None:
    """A GOCACHE last trimmed days ago, which go must not write, does not stop a build."""
    old = DockerEngine(daemon=daemon, store=store, session=session)
    with old.builder(BuilderNeeds(go=(GO,))) as box:
        assert isinstance(box, DockerBox)
        kind = replace(box.holder.kind, filling=True)
        filler = Holder.start(daemon.client, kind, {})
        filler.lay("/cache/go", {"trim.txt": File(data=b"1000000000")})
        filler.discard()
    old.close()
    new = DockerEngine(daemon=daemon, store=store, session=session)
    assert go_build(new, "linux", native()).data == zoo.data
    new.close()


def test_second_build_compiles_no_standard_package(engine: DockerEngine, zoo: File) -> None:
    """With a cache that the harness filled, a build takes a fraction of the cold one."""
    begun = time.monotonic()
    assert go_build(engine, "linux", native()).data == zoo.data
    assert time.monotonic() - begun < 8


# what breaks, and what is left
