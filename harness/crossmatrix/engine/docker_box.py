"""A container and its work volume: the walls around one item at a time."""

from __future__ import annotations

import io
import json
import stat
import tarfile
import time
import uuid
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.client import NOT_FOUND
from typing import Any, cast

from docker import DockerClient
from docker.errors import NotFound
from docker.models.containers import Container
from docker.types import LogConfig, Mount, Ulimit

from crossmatrix.command import Command, Ended, File, Layout, Limits
from crossmatrix.engine import supervise
from crossmatrix.engine.docker_daemon import CALL_SECONDS, Executed, execute, faults
from crossmatrix.engine.images import SUPERVISOR, USER
from crossmatrix.errors import HarnessError, InfrastructureError

MIB = 1 << 20
WORK = "/w"
GRACE = 15.0
"""Seconds that a command gets beyond its limit, before its container is killed from outside."""
_OWN_SECONDS = 30.0
_SIGKILL = 137
_DIRECTORY = 1 << 31
_IRREGULAR = sum(1 << bit for bit in (31, 27, 26, 25, 24, 21, 19))
_CLEANED = (WORK, "/tmp", "/dev/shm", "/dev/mqueue")
_FOLDERS = ("work", "home", "tmp")
_LONGEST = 120_000
"""Linux takes no longer single argument than 128 KiB (MAX_ARG_STRLEN)."""
_OOM = "[oom]"
_OOM_KILLS = (
    "cat /sys/fs/cgroup/memory.events /sys/fs/cgroup/memory/memory.oom_control 2>/dev/null"
    " | sed -n 's/^oom_kill //p'"
)


@dataclass(frozen=True, kw_only=True)
class Walls:
    """What a container may use: bytes, processes (threads count), files of its work volume."""

    memory: int
    pids: int
    work: int
    inodes: int
    tmp: int
    nofile: int | None = None


BUILDER = Walls(memory=3072 * MIB, pids=1024, work=1024 * MIB, inodes=200_000, tmp=256 * MIB)
RUNNER = Walls(memory=1024 * MIB, pids=256, work=256 * MIB, inodes=10_000, tmp=64 * MIB)


@dataclass(frozen=True, kw_only=True)
class Cache:
    """A named volume that outlives the run, and where containers see it."""

    volume: str
    path: str


@dataclass(frozen=True, kw_only=True)
class Kind:
    """All that containers which may stand in for each other have in common."""

    image: str
    walls: Walls
    caches: tuple[Cache, ...] = ()
    filling: bool = False


def options(walls: Walls, labels: Mapping[str, str]) -> dict[str, Any]:
    """How every container is locked down, whatever it is for."""
    ulimits = [Ulimit(name="core", soft=0, hard=0)]
    if walls.nofile is not None:
        ulimits.append(Ulimit(name="nofile", soft=walls.nofile, hard=walls.nofile))
    return {
        "user": f"{USER}:{USER}",
        "network_mode": "none",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "mem_limit": walls.memory,
        "memswap_limit": walls.memory,
        "pids_limit": walls.pids,
        "ulimits": ulimits,
        "log_config": LogConfig(type="none"),
        "labels": dict(labels),
    }


def work_volume(client: DockerClient, walls: Walls, labels: Mapping[str, str]) -> str:
    """A new volume in memory with a quota; it is empty again when its last container stops."""
    limits = f"size={walls.work},nr_inodes={walls.inodes},mode=0755"
    volume = client.volumes.create(
        name=f"crossmatrix-{uuid.uuid4().hex}",
        driver="local",
        driver_opts={
            "type": "tmpfs",
            "device": "tmpfs",
            "o": f"{limits},uid={USER},gid={USER},nosuid,nodev",
        },
        labels=dict(labels),
    )
    return str(volume.name)


def work_mount(volume: str) -> Mount:
    return Mount(target=WORK, source=volume, type="volume", no_copy=True)


@dataclass(kw_only=True)
class Holder:
    """A running container with its work volume. ``broken`` says that it must not be used again."""

    client: DockerClient
    kind: Kind
    volume: str
    container: Container
    broken: bool = False

    @classmethod
    def start(cls, client: DockerClient, kind: Kind, labels: Mapping[str, str]) -> Holder:
        with faults("starting a container"):
            volume = work_volume(client, kind.walls, labels)
            caches = [
                Mount(target=c.path, source=c.volume, type="volume", read_only=not kind.filling)
                for c in kind.caches
            ]
            container = client.containers.create(
                kind.image,
                command=[SUPERVISOR, "init"],
                name=f"crossmatrix-{uuid.uuid4().hex}",
                mounts=[work_mount(volume), *caches],
                tmpfs={"/tmp": f"size={kind.walls.tmp},mode=1777,exec,nosuid,nodev"},
                **options(kind.walls, labels),
            )
            container.start()
        return cls(client=client, kind=kind, volume=volume, container=container)

    def put(self, files: Mapping[str, File], folder: str = "work") -> None:
        """Lay files below a folder of the work volume, which is made if it is not there."""
        self.lay(WORK, {f"{folder}/{n}": file for n, file in files.items()}, folders=_FOLDERS)

    def lay(self, place: str, files: Mapping[str, File], *, folders: Iterable[str] = ()) -> None:
        """Lay folders and files into a volume that this container may write."""
        with faults("bringing files into a container"):
            if not self.container.put_archive(place, _packed(files, folders)):
                raise InfrastructureError(f"the daemon did not take files for {place}")

    def get(self, path: str) -> File | None:
        """A regular file by its absolute path; no part of the path below WORK may be a link.

        None too where it claims to be larger than the volume, as a sparse file can.
        """
        parts = path.removeprefix(f"{WORK}/").split("/")
        with faults("fetching a file out of a container"):
            for count in range(1, len(parts)):
                seen = self._stat("/".join((WORK, *parts[:count])))
                if seen is None or not seen["mode"] & _DIRECTORY:
                    return None
            seen = self._stat(path)
            if seen is None or seen["mode"] & _IRREGULAR or seen["size"] > self.kind.walls.work:
                return None
        return self.read(path)

    def read(self, path: str) -> File | None:
        """A regular file in a place where only the harness writes."""
        with faults("fetching a file out of a container"):
            try:
                stream, _ = self.container.get_archive(path)
                return _unpacked(b"".join(stream))
            except NotFound:
                return None

    def exists(self, path: str) -> bool:
        with faults("looking into a container"):
            return self._stat(path) is not None

    def _stat(self, path: str) -> dict[str, Any] | None:
        """What the daemon says of a path, its mode in the bits of Go's io/fs.FileMode."""
        api = self.client.api
        url = f"{api.base_url}/v{api.api_version}/containers/{self.container.id}/archive"
        with api.head(url, params={"path": path}, timeout=CALL_SECONDS) as answer:
            if answer.status_code == NOT_FOUND:
                return None
            answer.raise_for_status()
            seen = json.loads(b64decode(answer.headers["X-Docker-Container-Path-Stat"]))
        return cast(dict[str, Any], seen)

    def execute(self, *argv: str, seconds: float = _OWN_SECONDS, ceiling: int = MIB) -> Executed:
        return execute(self.client, str(self.container.id), argv, seconds=seconds, ceiling=ceiling)

    def clean(self) -> bool:
        """Whether the container came back as it was: nothing runs in it, its folders are empty."""
        if self.broken:
            return False
        with faults("cleaning a container"):
            done = self.execute(SUPERVISOR, "clean", *_CLEANED)
        try:
            return done.exit == 0 and json.loads(done.stdout)["clean"] is True
        except (ValueError, KeyError, TypeError):
            return False

    def run(self, command: Command, layout: Layout) -> Ended:
        """Run one command; see *What is trusted* in docs/architecture.md for exit 137."""
        limits = command.limits
        spec = supervise.spec(command, layout)
        if len(spec) > _LONGEST:
            raise HarnessError(
                f"a command with its environment and input takes {len(spec)} bytes,"
                f" the docker engine can bring in {_LONGEST}",
                hint="put long input into a file of the case",
            )
        begun = time.monotonic()
        with faults("running a command in a container"):
            done = self.execute(
                SUPERVISOR,
                "run",
                spec,
                seconds=limits.seconds + GRACE,
                ceiling=4 * limits.output + MIB,
            )
            if done.exit is None:
                self.broken = True
                self.container.kill()
                return told(limits, begun, exit=_SIGKILL, signal=9, timeout=True)
            if done.exit == 0 and done.stdout:
                ended = supervise.ended(done.stdout, limits)
                self.broken |= ended.how == _OOM
                return ended
            self.broken = True
            if done.exit != _SIGKILL:
                why = done.stderr.decode("utf-8", "replace").strip()
                raise InfrastructureError(f"the supervisor ended with {done.exit}: {why}")
            kills = self.execute("/bin/sh", "-c", _OOM_KILLS)
        if kills.exit != 0 or not kills.stdout.strip().isdigit():
            raise InfrastructureError(
                "the container is gone in the middle of a command",
                hint="was it removed from outside, or did the machine run out of memory?",
            )
        starved = int(kills.stdout) > 0
        return told(limits, begun, exit=_SIGKILL, signal=9, oom=starved)

    def discard(self) -> None:
        remove(self.client, self.container, self.volume)


def told(
    limits: Limits,
    begun: float,
    *,
    exit: int,
    signal: int = 0,
    start_error: str = "",
    timeout: bool = False,
    output_limit: bool = False,
    oom: bool = False,
    stdout: bytes = b"",
    stderr: bytes = b"",
) -> Ended:
    """An end that was seen from outside, in the words of the supervisor's own record."""
    record = {
        "exit": exit,
        "signal": signal,
        "start_error": start_error,
        "timeout": timeout,
        "output_limit": output_limit,
        "oom": oom,
        "seconds": time.monotonic() - begun,
        "stdout": b64encode(stdout).decode(),
        "stderr": b64encode(stderr).decode(),
    }
    return supervise.ended(json.dumps(record).encode(), limits)


def remove(client: DockerClient, container: Container, volume: str = "") -> None:
    """Remove a container and its work volume; what is gone already is as good."""
    with faults("removing a container"):
        with suppress(NotFound):
            container.remove(force=True)
        if volume:
            with suppress(NotFound):
                client.volumes.get(volume).remove(force=True)


@dataclass(kw_only=True)
class DockerBox:
    """A box of the `Engine` protocol in a warm or fresh container.

    ``extra`` are files of the harness beside the work folder, ``first`` a command of its own that
    must succeed before an item's.
    """

    holder: Holder
    layout: Layout
    extra: Mapping[str, File] = field(default_factory=dict)
    first: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.holder.put(self.extra, folder="extra")
        if self.first:
            with faults("preparing a container"):
                done = self.holder.execute(*self.first)
            if done.exit != 0:
                why = done.stderr.decode("utf-8", "replace").strip()
                raise InfrastructureError(f"{self.first[0]} {self.first[1]} failed: {why}")

    def put(self, files: Mapping[str, File]) -> None:
        self.holder.put(files)

    def run(self, command: Command) -> Ended:
        return self.holder.run(command, self.layout)

    def get(self, name: str) -> File | None:
        return self.holder.get(f"{WORK}/work/{name}")


def _packed(files: Mapping[str, File], folders: Iterable[str]) -> bytes:
    """A tar archive of files with their folders, all of it the ordinary user's."""
    wanted = dict.fromkeys(folders)
    for name in files:
        parts = name.split("/")
        wanted.update(dict.fromkeys("/".join(parts[:n]) for n in range(1, len(parts))))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        now = int(time.time())
        for name in wanted:
            archive.addfile(_info(name, tarfile.DIRTYPE, 0o755, 0, now))
        for name, file in files.items():
            info = _info(name, tarfile.REGTYPE, file.mode, len(file.data), now)
            archive.addfile(info, io.BytesIO(file.data))
    return buffer.getvalue()


def _info(name: str, kind: bytes, mode: int, size: int, now: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.size, info.mtime = kind, mode, size, now
    info.uid = info.gid = USER
    return info


def _unpacked(data: bytes) -> File | None:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        member = archive.next()
        if member is None or not member.isreg():
            return None
        content = archive.extractfile(member)
        assert content is not None
        return File(data=content.read(), mode=stat.S_IMODE(member.mode))


def tightened(walls: Walls, pids: int | None, memory: int | None, nofile: int | None) -> Walls:
    """Walls with a case's own limits where they are lower."""
    return replace(
        walls,
        pids=walls.pids if pids is None else min(walls.pids, pids),
        memory=walls.memory if memory is None else min(walls.memory, memory),
        nofile=nofile,
    )
