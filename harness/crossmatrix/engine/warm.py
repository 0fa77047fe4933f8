"""What the harness compiles into the shared caches before a case is let in.

A case may only read these caches. Go can work so (``GODEBUG=goindex=0``); zig cannot: it opens the
manifests of what it looks up for writing (zig 0.17: ``manifest_create AccessDenied`` at the first
link). So each box gets a zig cache of its own, in which ``supervisor seed FROM TO`` copies the
manifests and links the artefacts: a fraction of a second instead of the minute that a libc takes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from crossmatrix.command import Command, Ended, File, Limits
from crossmatrix.errors import InfrastructureError
from crossmatrix.needs import BuilderNeeds
from crossmatrix.planbuild import CLEAN_ENV

SECONDS: Final = 1800.0
MARKS: Final = "crossmatrix"
"""The folder of a cache that says what was done: it goes with the cache, wherever that is."""
GO_FOLDERS: Final = tuple(f"{number:02x}" for number in range(256))
"""Go makes these when it first opens a cache, and stops at a cache where it cannot."""
TRIM: Final = "trim.txt"
"""The file of a GOCACHE that says when it was last trimmed, in seconds since 1970.

A go command that finds it absent, or more than 24 hours old, trims. Where it may only read the
cache it then fails (``go: failed to trim cache``, 1.21 to 1.27); where it may write, it removes
what was not used for five days, and who only reads cannot record use. The harness keeps it fresh.
"""
TRIM_SECONDS: Final = 6 * 3600.0

_ENV: Final = MappingProxyType(
    {
        **CLEAN_ENV,
        "ZIG_GLOBAL_CACHE_DIR": "⟦zigcache⟧",
        "ZIG_LOCAL_CACHE_DIR": "⟦tmp⟧/zig",
    }
)
_PROGRAM: Final = MappingProxyType(
    {
        "go.mod": File(data=b"module warm\n\ngo 1.21\n"),
        "main.go": File(data=b'package main\n\nimport "C"\n\nfunc main() {}\n'),
    }
)


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to compile once. ``files`` belong into a work folder; ``title`` is for the progress."""

    key: str
    title: str
    files: Mapping[str, File]
    commands: tuple[Command, ...]


def job(needs: BuilderNeeds, *identity: str) -> Job | None:
    """What a build wants to find in the caches; None where there is nothing to compile.

    ``identity`` is what else the caches' content rests on: the tools' digests, the GOROOT's path.
    """
    warm = needs.warm
    if warm is None:
        return None
    what = json.dumps([asdict(warm), needs.cc, needs.zig_target, *identity], sort_keys=True)
    env = dict(warm.env)
    cgo = env.get("CGO_ENABLED") == "1" and needs.cc != "none"
    # -e with -export compiles whatever can be compiled: what a target lacks, its case will tell
    argvs = [("go", "list", "-e", "-export", "-f", "{{.Error}}", *warm.flags, *warm.packages)]
    if cgo:
        # only a link makes zig build the target's libc
        argvs.append(("go", "build", *warm.flags, "-o", "⟦tmp⟧/warm", "."))
    limits = Limits(seconds=SECONDS)
    target = f"{env.get('GOOS', '')}/{env.get('GOARCH', '')}"
    return Job(
        key=hashlib.sha256(what.encode()).hexdigest()[:16],
        title=f"the standard library for {target}, go{warm.go}" + (f", {needs.cc}" if cgo else ""),
        files=_PROGRAM if cgo else {},
        commands=tuple(Command(argv=a, env={**_ENV, **env}, limits=limits) for a in argvs),
    )


def carry_out(work: Job, run: Callable[[Command], Ended]) -> str:
    """Run the commands of a job; what the compilers said, for the mark.

    A cell in which something does not compile is no fault: its case shows that in its own words.
    Raises `InfrastructureError` where a compiler could not be run to its own end.
    """
    said = []
    for command in work.commands:
        ended = run(command)
        text = (ended.stdout + ended.stderr).decode("utf-8", "replace")
        if ended.how:
            raise InfrastructureError(
                f"cannot compile {work.title}: {' '.join(command.argv[:2])} {ended.how}\n{text}"
            )
        said.append({"argv": command.argv, "exit": ended.exit, "text": text})
    return json.dumps(said, indent=1)


def is_fresh(trim: bytes, now: float) -> bool:
    """Whether a ``trim.txt`` keeps go from trimming for many hours to come."""
    try:
        return abs(now - int(trim)) < TRIM_SECONDS
    except ValueError:
        return False


def marks(work: Job, caches: tuple[Path, ...]) -> tuple[Path, ...]:
    """The files that say of each cache that a job is done."""
    return tuple(cache / MARKS / f"{work.key}.json" for cache in caches)
