"""Everything seen of one item: the stages, how they ended, the facts of the artifact."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """The stages of an item, in their order."""

    BUILD = "build"
    INSPECT = "inspect"
    RUN = "run"


@dataclass(frozen=True, kw_only=True)
class GoBuildInfo:
    """What ``go version -m`` prints. ``version`` is ``go1.27.3``, ``settings`` in file order."""

    version: str
    path: str
    module: str = ""
    settings: tuple[tuple[str, str], ...] = ()

    def setting(self, key: str) -> str | None:
        return dict(self.settings).get(key)


@dataclass(frozen=True, kw_only=True)
class BinaryFacts:
    """The facts of one file; names and values are those of *Facts* in docs/case-format.md.

    None means that the format does not have the fact (or that it is not read yet), ``absent``
    that it could be there and is not; an empty tuple is an empty list. ``size`` is in bytes.
    """

    format: str
    machine: str | None = None
    bits: str | None = None
    byteorder: str | None = None
    type: str | None = None
    osabi: str | None = None
    flags: tuple[str, ...] | None = None
    linkage: str | None = None
    interpreter: str | None = None
    needed: tuple[str, ...] | None = None
    glibc: str | None = None
    stripped: str | None = None
    dwarf: str | None = None
    relro: str | None = None
    nx: str | None = None
    wx: str | None = None
    exports: tuple[str, ...] | None = None
    imports: tuple[str, ...] | None = None
    symbols: tuple[str, ...] | None = None
    sections: tuple[str, ...] | None = None
    custom_sections: tuple[str, ...] | None = None
    minos: str | None = None
    subsystem: str | None = None
    os_version: str | None = None
    signature: str | None = None
    size: int | None = None
    sha256: str | None = None
    go: GoBuildInfo | None = None


@dataclass(frozen=True, kw_only=True)
class StageSeen:
    """One stage as it went. ``exit`` is None for inspect; ``seconds`` is wall time.

    ``text`` is the text of the stage as docs/case-format.md defines it, the lines about unmet
    expectations included; ``argv`` and ``env`` are those of the last command of the stage, with
    real paths, for a rerun by hand.
    """

    stage: Stage
    text: str
    seconds: float
    argv: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    exit: int | None = None


@dataclass(frozen=True, kw_only=True)
class Observation:
    """All that was seen. ``failed`` is the first stage that did not go as expected.

    ``executed`` names the runner by which the artifact really ran; where the run stage could not
    be reached, ``unreached`` says why. ``run_expected``: the case says something of the run.
    """

    stages: tuple[StageSeen, ...] = ()
    failed: Stage | None = None
    unmet: tuple[str, ...] = ()
    facts: BinaryFacts | None = None
    executed: str | None = None
    unreached: str | None = None
    run_expected: bool = False

    def seen(self, stage: Stage) -> StageSeen | None:
        return next((seen for seen in self.stages if seen.stage is stage), None)
