"""The caches: named volumes that only the harness fills, and that outlive a run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Final

from docker import DockerClient
from filelock import FileLock

from crossmatrix.command import Command, File, Layout, Limits
from crossmatrix.engine.docker_box import Cache, DockerBox, Holder
from crossmatrix.engine.docker_daemon import faults
from crossmatrix.errors import InfrastructureError
from crossmatrix.needs import BuilderNeeds, Warm
from crossmatrix.toolchain import Store

CACHE_LABEL: Final = "crossmatrix.cache"
GO_CACHE: Final = "/cache/go"
ZIG_CACHE: Final = "/cache/zig"

_DIGITS = 12
_SECONDS = 1800.0
_MARKS = "crossmatrix"
"""A folder of each volume that says what was done: it goes with the volume, wherever that is."""
_FOLDERS = (
    # Go makes these when it first opens a cache, and stops at a cache where it cannot
    "for a in 0 1 2 3 4 5 6 7 8 9 a b c d e f; do for b in 0 1 2 3 4 5 6 7 8 9 a b c d e f;"
    f" do mkdir -p {GO_CACHE}/$a$b || exit; done; done"
)
_COMPILE = (
    # a package that a target does not have is the case's business, whose own build says so
    "known=$(go list -e -f '{{if not .Error}}{{.ImportPath}}{{end}}' $PACKAGES);"
    ' go build "$@" $known; test ! -e main.go || go build "$@" -o /dev/null .; true'
)
_CGO = {
    "go.mod": File(data=b"module warm\n\ngo 1.21\n"),
    "main.go": File(data=b'package main\n\nimport "C"\n\nfunc main() {}\n'),
}
_ENV = {
    "PATH": "⟦path⟧",
    "HOME": "⟦home⟧",
    "TMPDIR": "⟦tmp⟧",
    "GOCACHE": GO_CACHE,
    "GOMODCACHE": "⟦gomodcache⟧",
    "GOENV": "off",
    "GOFLAGS": "",
    "GOPROXY": "off",
    "GOTOOLCHAIN": "local",
    "GOWORK": "off",
    "LC_ALL": "C",
    "ZIG_GLOBAL_CACHE_DIR": ZIG_CACHE,
    "ZIG_LOCAL_CACHE_DIR": "⟦tmp⟧/zig",
}


@dataclass(kw_only=True)
class Caches:
    """The cache volumes of one daemon, for one worker. ``done`` are marks that were seen."""

    client: DockerClient
    store: Store
    labels: Mapping[str, str]
    report: Callable[[str], None]
    done: set[str] = field(default_factory=set)

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
        compiling is done in a container of its own, and by one process of a machine at a time.
        """
        key = _key(needs)
        if self._is_done(key, holder):
            return
        locks = self.store.root / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        with FileLock(locks / f"{holder.kind.caches[0].volume}.lock"):
            if not self._is_done(key, holder):
                self._compile(needs, key, layout, holder)

    def _compile(self, needs: BuilderNeeds, key: str, layout: Layout, holder: Holder) -> None:
        kind = replace(holder.kind, filling=True)
        filler = Holder.start(self.client, kind, self.labels)
        try:
            box = DockerBox(holder=filler, layout=layout)
            self._run(box, ("sh", "-c", _FOLDERS), {})
            if needs.warm is not None:
                warm = needs.warm
                env = dict(warm.env)
                what = "/".join(env.get(name, "") for name in ("GOOS", "GOARCH"))
                cc = f" with {needs.cc}" if needs.zig_target else ""
                self.report(f"compiling the standard library for {what}, go{warm.go}{cc}")
                if env.get("CGO_ENABLED") == "1" and needs.zig_target:
                    box.put(_CGO)
                env["PACKAGES"] = " ".join(warm.packages)
                self._run(box, ("sh", "-c", _COMPILE, "sh", *warm.flags), env)
            marks = " ".join(f"{cache.path}/{_MARKS}" for cache in kind.caches)
            self._run(box, ("sh", "-c", f"for m in {marks}; do mkdir -p $m; : >$m/{key}; done"), {})
        finally:
            filler.discard()
        self.done.add(f"{kind.caches} {key}")

    def _run(self, box: DockerBox, argv: tuple[str, ...], env: Mapping[str, str]) -> None:
        limits = Limits(seconds=_SECONDS)
        ended = box.run(Command(argv=argv, env={**_ENV, **env}, limits=limits))
        if ended.exit != 0:
            said = (ended.stdout + ended.stderr).decode("utf-8", "replace").strip()
            raise InfrastructureError(
                f"a cache volume cannot be filled: {ended.how or f'exit {ended.exit}'} {said}",
                hint=f"to begin anew: docker volume rm {box.holder.kind.caches[0].volume}",
            )

    def _is_done(self, key: str, holder: Holder) -> bool:
        """Whether every volume of a builder carries a mark; asked once where it does."""
        caches = holder.kind.caches
        seen = f"{caches} {key}"
        if seen not in self.done and all(
            holder.exists(f"{cache.path}/{_MARKS}/{key}") for cache in caches
        ):
            self.done.add(seen)
        return seen in self.done

    def _name(self, tool: str) -> str:
        digest = self.store.get(tool).digest.rpartition(":")[2]
        return f"crossmatrix-cache-{tool}-{digest[:_DIGITS]}"


def _key(needs: BuilderNeeds) -> str:
    warm: Warm | None = needs.warm
    if warm is None:
        return "empty"
    what = json.dumps([asdict(warm), needs.zig_target], sort_keys=True)
    return hashlib.sha256(what.encode()).hexdigest()[:_DIGITS]
