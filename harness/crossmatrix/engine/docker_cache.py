"""The caches: named volumes that only the harness fills and that outlive a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from docker import DockerClient

from crossmatrix.engine.docker_box import Cache
from crossmatrix.engine.docker_daemon import faults
from crossmatrix.needs import BuilderNeeds
from crossmatrix.toolchain import Store

CACHE_LABEL: Final = "crossmatrix.cache"
_DIGITS = 12


@dataclass(kw_only=True)
class Caches:
    """The cache volumes of one daemon, for one worker."""

    client: DockerClient
    store: Store
    labels: Mapping[str, str]
    report: Callable[[str], None]

    def of(self, needs: BuilderNeeds) -> tuple[Cache, ...]:
        """The volumes that a builder sees: a GOCACHE per Go, zig's where zig is the C compiler."""
        go = f"go{needs.go[0]}"
        caches = [Cache(volume=self._name(go), path="/cache/go")]
        if needs.cc.partition(":")[0] == "zig":
            caches.append(Cache(volume=self._name("zig"), path="/cache/zig"))
        for cache in caches:
            with faults("making a cache volume"):
                self.client.volumes.create(name=cache.volume, labels={CACHE_LABEL: cache.path})
        return tuple(caches)

    def fill(self, needs: BuilderNeeds, image: str, caches: tuple[Cache, ...]) -> None:
        pass

    def _name(self, tool: str) -> str:
        digest = self.store.get(tool).digest.rpartition(":")[2]
        return f"crossmatrix-cache-{tool}-{digest[:_DIGITS]}"
