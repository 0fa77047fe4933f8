"""What a run does before its first item: fetch tools, start the engine, ask the kernel."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from crossmatrix.command import Command, File, Limits
from crossmatrix.doctor import tiny_386
from crossmatrix.engine import Engine, choose
from crossmatrix.engine.session import Session
from crossmatrix.needs import Host, RunnerNeeds
from crossmatrix.plan import Item
from crossmatrix.project import Project, fetch, required
from crossmatrix.toolchain import Store

Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What every process of a run shares: the engine's name, the run's id, the host."""

    engine: str
    session: str
    host: Host
    versions: tuple[tuple[str, str], ...] = ()


def prepare(
    items: Iterable[Item], project: Project, store: Store, session: Session, report: Report
) -> Prepared:
    """Fetch what items need, start the engine once, and learn what its kernel can run."""
    choose.sweep(store, session, report)
    digests, missing = fetch(required(items, project), store, report)
    name = choose.name(project.options.engine, report)
    engine = choose.start(name, store, session, options_of(project), report)
    try:
        base = Host(
            goos=project.port.goos,
            goarch=project.port.goarch,
            engine=name,
            missing=(*project.missing, *missing, *choose.lacks(name)),
            digests=(*digests, *choose.adds(name)),
        )
        host = replace(
            base,
            runs_386=base.goarch == "amd64" and _starts(engine, tiny_386()),
            binfmt=tuple(n for n, elf in _foreign(base.goarch) if _starts(engine, elf)),
        )
        versions = tuple(engine.describe().items())
    finally:
        engine.close()
    return Prepared(engine=name, session=session.id, host=host, versions=versions)


def options_of(project: Project) -> choose.EngineOptions:
    return choose.EngineOptions(fresh=project.options.fresh)


def _starts(engine: Engine, elf: bytes) -> bool:
    """Whether the kernel under an engine starts a tiny program that only exits with 0."""
    command = Command(argv=("⟦work⟧/probe",), env={}, limits=Limits(seconds=10))
    with engine.runner(RunnerNeeds()) as box:
        box.put({"probe": File(data=elf, mode=0o755)})
        return box.run(command).exit == 0


_BASE = 0x400000


def _elf64(machine: int, code: bytes) -> bytes:
    head, segment = 64, 56
    entry = _BASE + head + segment
    size = head + segment + len(code)
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack(
        "<HHIQQQIHHHHHH", 2, machine, 1, entry, head, 0, 0, head, segment, 1, 0, 0, 0
    )
    return header + struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 4096) + code


def _foreign(native: str) -> tuple[tuple[str, bytes], ...]:
    """Programs of other architectures, which only start where binfmt_misc knows their format."""
    programs = (
        ("amd64", _elf64(62, bytes.fromhex("31ffb83c0000000f05"))),
        ("arm64", _elf64(183, bytes.fromhex("000080d2a80b80d2010000d4"))),
        ("riscv64", _elf64(243, bytes.fromhex("130500009308d00573000000"))),
    )
    return tuple((name, elf) for name, elf in programs if name != native)
