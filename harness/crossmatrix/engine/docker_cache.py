"""The caches: named volumes that only the harness fills, and that outlive a run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from docker import DockerClient
from filelock import FileLock

from crossmatrix.command import File, Layout
from crossmatrix.engine import warm
from crossmatrix.engine.docker_box import Cache, DockerBox, Holder
from crossmatrix.engine.docker_daemon import faults
from crossmatrix.needs import BuilderNeeds
from crossmatrix.toolchain import Store

CACHE_LABEL: Final = "crossmatrix.cache"
GO_CACHE: Final = "/cache/go"
ZIG_CACHE: Final = "/cache/zig"

_DIGITS = 12


@dataclass(kw_only=True)
class Caches:
    """The cache volumes of one daemon, for one worker.

    ``done`` are jobs that were seen to be done; ``trimmed`` says when a volume was last seen to be
    safe from go's trimming, in seconds since 1970.
    """

    client: DockerClient
    store: Store
    labels: Mapping[str, str]
    report: Callable[[str], None]
    done: set[tuple[tuple[Cache, ...], str]] = field(default_factory=set)
    trimmed: dict[str, float] = field(default_factory=dict)

    def of(self, needs: BuilderNeeds) -> tuple[Cache, ...]:
        """The volumes that a builder sees: a GOCACHE per Go, zig's where zig is the C compiler."""
        caches = [Cache(volume=self._name(f"go{needs.go[0]}"), path=GO_CACHE)]
        if needs.cc.partition(":")[0] == "zig":
            caches.append(Cache(volume=self._name("zig"), path=ZIG_CACHE))
        for cache in caches:
            with faults("making a cache volume"):
                self.client.volumes.create(name=cache.volume, labels={CACHE_LABEL: cache.path})
        return tuple(caches)

    def fill(self, needs: BuilderNeeds, layout: Layout, holder: Holder) -> None:
        """Compile beforehand what a build needs and the caches do not hold yet.

        ``holder`` is the builder that will see the caches, without files of a case so far; the
        compiling is done in a container of its own, each job by one process at a time.
        """
        volumes = [cache.volume for cache in holder.kind.caches]
        work = warm.job(needs, *volumes)
        if self._is_ready(work, holder):
            return
        locks = self.store.root / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        what = "base" if work is None else work.key
        with FileLock(locks / f"{volumes[0]}-{what}.lock"):
            if not self._is_ready(work, holder):
                self._compile(work, layout, holder)

    def _compile(self, work: warm.Job | None, layout: Layout, holder: Holder) -> None:
        kind = replace(holder.kind, filling=True)
        filler = Holder.start(self.client, kind, self.labels)
        try:
            filler.lay(
                GO_CACHE,
                {warm.TRIM: File(data=str(int(time.time())).encode())},
                folders=warm.GO_FOLDERS,
            )
            if work is not None and not self._is_done(work, holder):
                self.report(f"compiling {work.title}")
                own = Layout(paths={**layout.paths, "zigcache": ZIG_CACHE})
                box = DockerBox(holder=filler, layout=own)
                box.put(work.files)
                said = File(data=warm.carry_out(work, box.run).encode())
                for cache in kind.caches:
                    filler.lay(cache.path, {f"{warm.MARKS}/{work.key}.json": said})
        finally:
            filler.discard()

    def _is_ready(self, work: warm.Job | None, holder: Holder) -> bool:
        return self._is_safe(holder) and (work is None or self._is_done(work, holder))

    def _is_safe(self, holder: Holder) -> bool:
        """Whether no go command of a build will try to trim the cache that it may only read."""
        volume, now = holder.kind.caches[0].volume, time.time()
        if now - self.trimmed.get(volume, 0) > warm.TRIM_SECONDS:
            file = holder.read(f"{GO_CACHE}/{warm.TRIM}")
            if file is None or not warm.is_fresh(file.data, now):
                return False
            self.trimmed[volume] = int(file.data)
        return True

    def _is_done(self, work: warm.Job, holder: Holder) -> bool:
        """Whether every volume of a builder carries the mark of a job; asked once where it does."""
        caches = holder.kind.caches
        if (caches, work.key) not in self.done and all(
            holder.exists(f"{cache.path}/{warm.MARKS}/{work.key}.json") for cache in caches
        ):
            self.done.add((caches, work.key))
        return (caches, work.key) in self.done

    def _name(self, tool: str) -> str:
        digest = self.store.get(tool).digest.rpartition(":")[2]
        return f"crossmatrix-cache-{tool}-{digest[:_DIGITS]}"
