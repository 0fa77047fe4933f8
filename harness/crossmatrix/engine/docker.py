"""The Docker engine: locked-down containers of any daemon that speaks the Docker API."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

from docker import DockerClient
from docker.errors import APIError

from crossmatrix.command import File, Layout
from crossmatrix.engine import Box, images
from crossmatrix.engine.docker_box import (
    BUILDER,
    RUNNER,
    WORK,
    DockerBox,
    Holder,
    Kind,
    tightened,
)
from crossmatrix.engine.docker_cache import GO_CACHE, ZIG_CACHE, Caches
from crossmatrix.engine.docker_daemon import Daemon, connect, faults
from crossmatrix.engine.docker_scratch import ScratchBox
from crossmatrix.engine.session import Session
from crossmatrix.errors import InfrastructureError, MissingToolError
from crossmatrix.needs import BuilderNeeds, RunnerNeeds
from crossmatrix.toolchain import Store

__all__ = ["DockerEngine", "connect", "sweep"]

RUN_LABEL: Final = "crossmatrix.run"
HOST_LABEL: Final = "crossmatrix.host"
_WORKER_LABEL = "crossmatrix.worker"
_IDLE = 4
"""Warm containers that one worker keeps at most, of all kinds together: as many as Go versions."""
_OWN_LIMIT_PIDS = 24
"""Threads of the supervisor, which count against a case's own limit of processes."""
_PATHS = {"work": f"{WORK}/work", "home": f"{WORK}/home", "tmp": f"{WORK}/tmp"}
_ZIG_CACHE = f"{WORK}/zigcache"
"""zig writes into its cache even where all is there: a copied index, links to the rest."""
_CC = ("none", "zig")
_LOCAL = "the builder image has no {}"
_USE_LOCAL = "crossmatrix run --engine local"


class DockerEngine:
    """One worker's containers at a daemon. Nothing happens there before a first box is asked for.

    ``fresh`` makes new containers for every item; ``report`` is told what takes long.
    """

    name = "docker"

    def __init__(
        self,
        *,
        daemon: Daemon,
        store: Store,
        session: Session,
        fresh: bool = False,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._daemon = daemon
        self._client: DockerClient = daemon.client
        self._store = store
        self._fresh = fresh
        self._report = report
        self._worker = uuid.uuid4().hex
        self._labels = {
            RUN_LABEL: session.id,
            HOST_LABEL: session.host,
            _WORKER_LABEL: self._worker,
        }
        self._idle: dict[Kind, list[Holder]] = {}
        self._images: dict[str, str] = {}
        self._caches = Caches(client=self._client, store=store, labels=self._labels, report=report)

    def describe(self) -> Mapping[str, str]:
        return dict(self._daemon.versions)

    @contextmanager
    def builder(self, needs: BuilderNeeds) -> Iterator[Box]:
        for name in needs.tools:
            raise MissingToolError(_LOCAL.format(name), command=_USE_LOCAL)
        cc = needs.cc.partition(":")[0]
        if cc not in _CC:
            raise MissingToolError(_LOCAL.format(cc), command=_USE_LOCAL)
        image = self._image(images.builder(self._store, needs.go, zig=cc == "zig"))
        layout = _builder_layout(needs, zig=cc == "zig")
        kind = Kind(image=image, walls=BUILDER, caches=self._caches.of(needs))
        first = (images.SUPERVISOR, "seed", ZIG_CACHE, _ZIG_CACHE) if cc == "zig" else ()
        with self._holder(kind) as holder:
            self._caches.fill(needs, layout, holder)
            yield DockerBox(holder=holder, layout=layout, first=first)

    @contextmanager
    def runner(self, needs: RunnerNeeds) -> Iterator[Box]:
        layout, extra = self._runner_layout(needs)
        image = self._image(images.runner(self._store))
        own = (needs.pids, needs.memory, needs.nofile)
        pids = None if needs.pids is None else needs.pids + _OWN_LIMIT_PIDS
        if needs.root == "scratch":
            empty = self._image(images.scratch())
            walls = tightened(RUNNER, *own)
            with self._holder(Kind(image=image, walls=RUNNER)) as holder:
                yield ScratchBox(
                    holder=holder, image=empty, walls=walls, layout=layout, labels=self._labels
                )
            return
        if needs.root != "runner":
            raise MissingToolError(
                f"the docker engine has no root {needs.root!r} yet", command=_USE_LOCAL
            )
        walls = tightened(RUNNER, pids, needs.memory, needs.nofile)
        with self._holder(Kind(image=image, walls=walls)) as holder:
            yield DockerBox(holder=holder, layout=layout, extra=extra)

    def close(self) -> None:
        """Remove this worker's containers and volumes; a next start finds what is left."""
        self._idle.clear()
        try:
            _remove_all(self._client, {_WORKER_LABEL: self._worker})
        except InfrastructureError as error:
            self._report(f"containers may be left until the next start: {error.what}")

    def _image(self, image: images.Image) -> str:
        if image.name not in self._images:
            locks = self._store.root / "locks"
            self._images[image.name] = images.ensure(self._client, image, locks, self._report)
        return self._images[image.name]

    @contextmanager
    def _holder(self, kind: Kind) -> Iterator[Holder]:
        """A clean container of a kind: a warm one where there is one, and it goes back if clean."""
        waiting = self._idle.get(kind, [])
        holder = waiting.pop() if waiting else self._started(kind)
        kept = False
        try:
            yield holder
            kept = not self._fresh and kind.walls in (BUILDER, RUNNER) and holder.clean()
        finally:
            if kept:
                self._idle.setdefault(kind, []).append(holder)
            else:
                # what failed here is told by what failed before it; sweep() finds what is left
                with suppress(InfrastructureError):
                    holder.discard()

    def _started(self, kind: Kind) -> Holder:
        idle = [(k, holder) for k, holders in self._idle.items() for holder in holders]
        if len(idle) >= _IDLE:
            oldest, holder = idle[0]
            self._idle[oldest].remove(holder)
            holder.discard()
        return Holder.start(self._client, kind, self._labels)

    def _runner_layout(self, needs: RunnerNeeds) -> tuple[Layout, dict[str, File]]:
        paths = {**_PATHS, "path": "/bin"}
        extra: dict[str, File] = {}
        tool = needs.tool
        if tool:
            self._store.get("qemu" if tool.startswith("qemu-") else tool)
            if tool == "node":
                self._store.get("nodelibs")
            folder = "qemu/bin" if tool.startswith("qemu-") else tool
            paths[f"tool:{tool}"] = paths["tool:runner"] = f"/opt/{folder}/{tool}"
        if tool == "node":
            scripts = self._store.get(f"wasm_exec{needs.go}")
            extra = {p.name: File(data=p.read_bytes()) for p in scripts.root.rglob("wasm_exec*.js")}
            paths["tool:wasm_exec"] = f"{WORK}/extra/wasm_exec_node.js"
        return Layout(paths=paths), extra


def sweep(daemon: Daemon, *, host: str, dead: Collection[str]) -> int:
    """Remove what dead runs of this host left at a daemon; the number of containers and volumes."""
    return sum(
        _remove_all(daemon.client, {RUN_LABEL: run, HOST_LABEL: host}) for run in sorted(dead)
    )


def _builder_layout(needs: BuilderNeeds, *, zig: bool) -> Layout:
    first = f"/opt/go/{needs.go[0]}"
    paths = {
        **_PATHS,
        **{f"goroot:{version}": f"/opt/go/{version}" for version in needs.go},
        "goroot": first,
        "gocache": GO_CACHE,
        "zigcache": _ZIG_CACHE,
        "gomodcache": f"{WORK}/mod",
        "path": ":".join([f"{first}/bin", *(["/opt/zig"] if zig else []), "/bin"]),
    }
    if zig:
        paths["tool:zig"] = "/opt/zig/zig"
    return Layout(paths=paths)


@contextmanager
def _perhaps_gone() -> Iterator[None]:
    """What is gone already, or is being removed by another process, is as good as removed."""
    try:
        yield
    except APIError as error:
        if error.status_code not in (404, 409):
            raise


def _remove_all(client: DockerClient, labels: Mapping[str, str]) -> int:
    """Remove containers, then volumes, that carry all these labels."""
    wanted: dict[str, Any] = {"label": [f"{key}={value}" for key, value in labels.items()]}
    count = 0
    with faults("removing containers"):
        for container in client.containers.list(all=True, filters=wanted, ignore_removed=True):
            with _perhaps_gone():
                container.remove(force=True)
                count += 1
        for volume in client.volumes.list(filters=wanted):
            with _perhaps_gone():
                volume.remove(force=True)
                count += 1
    return count
