"""Plain processes of this machine, with the few walls that its kernel gives for nothing."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from filelock import FileLock

from crossmatrix.command import Command, Ended, Layout, Limits
from crossmatrix.engine import Box, supervise, warm
from crossmatrix.engine.local_box import LocalBox, ended_by_machine, fill
from crossmatrix.engine.session import Session, base, remove_tree
from crossmatrix.engine.supervise import Bind
from crossmatrix.errors import InfrastructureError, MissingToolError
from crossmatrix.needs import BuilderNeeds, RunnerNeeds
from crossmatrix.toolchain import Store

NOBODY: Final = 65534
GCC: Final = (
    "gcc",
    "g++",
    "cc",
    "c++",
    "cpp",
    "ar",
    "as",
    "ld",
    "nm",
    "ranlib",
    "strip",
    "objcopy",
)
"""What host-gcc brings along; a name that the host lacks is left out, gcc itself is a must."""

_FILE_BYTES: Final = 2 << 30
_PROCESSES: Final = 4096
_GRACE_SECONDS: Final = 60.0
_DIGITS: Final = 12
_DOCKER: Final = "start a Docker daemon, then: crossmatrix run --engine docker"


@dataclass(frozen=True, kw_only=True)
class Walls:
    """Under whom the commands of a case run, and where they see the store (``seen``).

    Without walls they run as the harness does, and may write to the caches.
    """

    uid: int = 0
    gid: int = 0
    nproc: int = 0
    store: Path
    seen: Path

    @property
    def separate(self) -> bool:
        return self.uid != 0

    def path(self, path: Path) -> str:
        """A path of the store as a command sees it."""
        inside = path.is_relative_to(self.store)
        return str(self.seen / path.relative_to(self.store) if inside else path)

    def binds(self, *, readonly: bool) -> tuple[Bind, ...]:
        bind = Bind(source=str(self.store), to=str(self.seen), readonly=readonly)
        return (bind,) if self.separate else ()


class LocalEngine:
    """One worker's processes and folders. ``notice`` says what walls there are."""

    name = "local"

    def __init__(
        self, store: Store, session: Session, *, report: Callable[[str], None] = print
    ) -> None:
        self._store = store
        self._report = report
        self._supervisor = store.get("supervisor").executable
        self._applets = store.get("busybox").root / "applets"
        self._count = 0
        self._done: set[str] = set()
        with ended_by_machine("making the run's folder"):
            self._folder = session.folder / f"local-{os.getpid()}-{id(self):x}"
            self._folder.mkdir(mode=0o711, parents=True)
        self._walls, self.notice = self._probe()
        report(self.notice)

    def describe(self) -> Mapping[str, str]:
        return {"local": f"{platform.system()} {platform.release()}", "walls": self.notice}

    @contextmanager
    def builder(self, needs: BuilderNeeds) -> Iterator[Box]:
        """A box for a build; raises `MissingToolError` for what this machine lacks."""
        for name in needs.tools:
            raise MissingToolError(f"the local engine has no tool {name} yet", command=_DOCKER)
        layout, caches = self._builder_paths(needs)
        self._warm(needs, layout, caches)
        with self._box(layout, Limits(seconds=0)) as box:
            if "zigcache" in caches:
                self._seed(caches["zigcache"], box)
            yield box

    @contextmanager
    def runner(self, needs: RunnerNeeds) -> Iterator[Box]:
        """A box for a run; raises `MissingToolError` for what this machine lacks."""
        if needs.root != "runner":
            raise MissingToolError(f"root: {needs.root} needs the docker engine", command=_DOCKER)
        if needs.pids is not None or needs.memory is not None:
            raise MissingToolError(
                "limits of pids or memory need the docker engine", command=_DOCKER
            )
        paths = {"path": self._walls.path(self._applets)}
        if needs.tool:
            qemu = needs.tool.startswith("qemu-")
            tool = self._store.get("qemu" if qemu else needs.tool)
            file = tool.root / "bin" / needs.tool if qemu else tool.executable
            if not file.exists():
                raise MissingToolError(f"qemu has no {needs.tool}", command=_DOCKER)
            paths[f"tool:{needs.tool}"] = paths["tool:runner"] = self._walls.path(file)
        if needs.tool == "node":
            scripts = self._store.get(f"wasm_exec{needs.go}").root
            found = next(scripts.rglob("wasm_exec_node.js"), scripts / "wasm_exec_node.js")
            paths["tool:wasm_exec"] = self._walls.path(found)
        with self._box(paths, Limits(seconds=0, nofile=needs.nofile)) as box:
            yield box

    def close(self) -> None:
        """Remove what this engine made in the run's folder. Safe to call twice."""
        remove_tree(self._folder)

    def _probe(self) -> tuple[Walls, str]:
        """Walls that were tried out, and what to say of them."""
        store = self._store.root
        plain = Walls(store=store, seen=store)
        unsafe = "cases run as {}, without walls, and may write to the caches: trust them"
        if os.getuid() != 0:
            return plain, "local engine: " + unsafe.format("this user")
        with ended_by_machine("making the store's other place"):
            seen = base() / "store"
            seen.mkdir(mode=0o711, exist_ok=True)
        walls = Walls(uid=NOBODY, gid=NOBODY, nproc=_PROCESSES, store=store, seen=seen)
        self._walls = walls
        busybox = walls.path(self._store.get("busybox").executable)
        command = Command(argv=(busybox, "true"), env={}, limits=Limits(seconds=20))
        try:
            with self._box({}, command.limits) as box:
                ended = box.run(command)
            why = ended.how or ("" if ended.exit == 0 else f"exit {ended.exit}")
        except InfrastructureError as error:
            why = error.what
        if not why:
            return walls, f"local engine: cases run as uid {NOBODY}, and only read the caches"
        return plain, f"warning: local engine: {unsafe.format('root')} ({why})"

    @contextmanager
    def _box(self, paths: Mapping[str, str], limits: Limits) -> Iterator[LocalBox]:
        self._count += 1
        folder = self._folder / str(self._count)
        walls = self._walls
        own = {
            name: str(folder / name) for name in ("work", "tmp", "home", "zigcache", "gomodcache")
        }
        layout = Layout(paths={**own, **paths})
        try:
            with ended_by_machine("making a work folder"):
                folder.mkdir(mode=0o711)
                for path in own.values():
                    Path(path).mkdir(mode=0o755)
                    if walls.separate:
                        os.chown(path, walls.uid, walls.gid)

            def run(command: Command) -> Ended:
                return self._run(command, layout, nofile=limits.nofile)

            yield LocalBox(layout=layout, folder=folder / "work", owner=walls.uid, command=run)
        finally:
            remove_tree(folder)

    def _run(
        self, command: Command, layout: Layout, *, trusted: bool = False, nofile: int | None = None
    ) -> Ended:
        """Run a command behind the walls, or (trusted: the harness's own) with the caches open."""
        walls = self._walls
        limits = command.limits
        if nofile is not None and limits.nofile is None:
            command = replace(command, limits=replace(limits, nofile=nofile))
        text = supervise.spec(
            command,
            layout,
            uid=0 if trusted else walls.uid,
            gid=0 if trusted else walls.gid,
            nproc=0 if trusted else walls.nproc,
            fsize=_FILE_BYTES,
            binds=walls.binds(readonly=not trusted),
        )
        return supervise.ended(self._supervise(text, limits.seconds + _GRACE_SECONDS), limits)

    def _supervise(self, text: str, seconds: float) -> bytes:
        """The record of a command. The supervisor ends with the pipe that this process holds."""
        with ended_by_machine("starting the supervisor"):
            process = subprocess.Popen(
                [self._supervisor, "run", "-"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                cwd="/",
                env={},
            )
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        watch = threading.Timer(seconds, process.kill)
        watch.start()
        try:
            with suppress(BrokenPipeError):
                process.stdin.write(text.encode() + b"\n")
                process.stdin.flush()
            record = process.stdout.read()
            said = process.stderr.read().decode("utf-8", "replace").strip()
        finally:
            with suppress(BrokenPipeError):
                process.stdin.close()
            try:
                process.wait(_GRACE_SECONDS)
            finally:
                watch.cancel()
                process.kill()
                process.stdout.close()
                process.stderr.close()
        if process.returncode != 0:
            raise InfrastructureError(
                f"a command cannot be supervised: {said or f'exit {process.returncode}'}"
            )
        return record

    def _builder_paths(self, needs: BuilderNeeds) -> tuple[dict[str, str], dict[str, Path]]:
        """The symbols of a builder, and the real folders of its caches by the symbol's name."""
        see = self._walls.path
        roots = {version: self._store.get(f"go{version}") for version in needs.go}
        first = roots[needs.go[0]]
        paths = {f"goroot:{version}": see(tool.root) for version, tool in roots.items()}
        paths["goroot"] = see(first.root)
        caches = {"gocache": self._cache(f"go{needs.go[0]}", first.digest)}
        folders = [see(first.root / "bin")]
        cc = needs.cc.partition(":")[0]
        if cc == "zig":
            zig = self._store.get("zig")
            folders.append(see(zig.executable.parent))
            paths["tool:zig"] = see(zig.executable)
            caches["zigcache"] = self._cache("zig", zig.digest) / (needs.zig_target or "native")
        elif cc == "host-gcc":
            folders.append(str(self._host_gcc()))
        elif cc != "none":
            raise MissingToolError(
                f"the local engine has no C compiler {needs.cc}", command=_DOCKER
            )
        folders.append(see(self._applets))
        paths["path"] = ":".join(folders)
        paths["gocache"] = see(caches["gocache"])
        return paths, caches

    def _cache(self, name: str, digest: str) -> Path:
        return self._store.root / "cache" / f"{name}-{digest.rpartition(':')[2][:_DIGITS]}"

    def _host_gcc(self) -> Path:
        """A folder with links to the host's gcc and its kin, and nothing else."""
        if shutil.which("gcc") is None:
            raise MissingToolError(
                "no gcc on this machine", command="apt-get install gcc libc6-dev"
            )
        folder = self._folder / "gcc"
        with ended_by_machine("linking the host's gcc"):
            folder.mkdir(exist_ok=True)
            for name in GCC:
                found = shutil.which(name)
                if found is not None and not (folder / name).is_symlink():
                    (folder / name).symlink_to(found)
        return folder

    def _warm(
        self, needs: BuilderNeeds, paths: Mapping[str, str], caches: Mapping[str, Path]
    ) -> None:
        """Fill the caches for a build, once per key and machine."""
        with ended_by_machine("making a cache"):
            for name in warm.GO_FOLDERS:
                (caches["gocache"] / name).mkdir(parents=True, exist_ok=True)
            for cache in caches.values():
                cache.mkdir(parents=True, exist_ok=True)
            _keep_untrimmed(caches["gocache"])
        digests = [self._store.get(f"go{v}").digest for v in needs.go[:1]]
        job = warm.job(needs, *digests, paths["goroot"])
        if job is None or job.key in self._done:
            return
        marks = warm.marks(job, tuple(caches.values()))
        locks = self._store.root / "locks"
        with ended_by_machine("locking a cache"):
            locks.mkdir(parents=True, exist_ok=True)
        if not all(mark.exists() for mark in marks):
            with FileLock(locks / f"warm-{job.key}.lock"):
                if not all(mark.exists() for mark in marks):
                    self._fill(job, paths, caches, marks)
        self._done.add(job.key)

    def _fill(
        self,
        job: warm.Job,
        paths: Mapping[str, str],
        caches: Mapping[str, Path],
        marks: tuple[Path, ...],
    ) -> None:
        self._report(f"compiling {job.title}")
        open_caches = {name: self._walls.path(path) for name, path in caches.items()}
        with self._box({**paths, **open_caches}, Limits(seconds=0)) as box:
            box.put(job.files)
            said = warm.carry_out(job, lambda c: self._run(c, box.layout, trusted=True))
        with ended_by_machine("marking a cache"):
            for mark in marks:
                mark.parent.mkdir(exist_ok=True)
                fill(mark, said.encode())

    def _seed(self, cache: Path, box: LocalBox) -> None:
        """Lay the box's own zig cache over the shared one; see `crossmatrix.engine.warm`."""
        see = self._walls.path
        argv = (see(self._supervisor), "seed", see(cache), "⟦zigcache⟧")
        ended = box.run(Command(argv=argv, env={}, limits=Limits(seconds=warm.SECONDS)))
        if ended.exit != 0:
            said = ended.stderr.decode("utf-8", "replace").strip()
            raise InfrastructureError(f"zig's cache cannot be laid out: {ended.how} {said}")


def _keep_untrimmed(cache: Path) -> None:
    """Keep go from trimming a cache; see `warm.TRIM`."""
    file, now = cache / warm.TRIM, time.time()
    if not (file.exists() and warm.is_fresh(file.read_bytes(), now)):
        fill(file, str(int(now)).encode())
