"""One command, what it may use, and how it ended: the words between plans and engines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class File:
    """One file of a work folder. ``mode`` holds the permission bits."""

    data: bytes
    mode: int = 0o644


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a command may use: wall seconds, bytes of output and memory; None: the engine's.

    ``label`` is how an exceeded time limit is named, whatever ``seconds`` was scaled to.
    """

    seconds: float
    output: int = 1 << 20
    memory: int | None = None
    pids: int | None = None
    nofile: int | None = None
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command. ``argv`` and ``env`` hold symbols, ``⟦work⟧``, that `Layout.fill` replaces.

    ``cwd`` is a symbol-holding path; ``stdin`` is given whole; ``env`` is the whole environment.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    limits: Limits
    cwd: str = "⟦work⟧"
    stdin: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended.

    ``exit`` is the status, 128+N for death by signal N, 126 or 127 where the program could not be
    started. ``how`` is empty for an ordinary exit, else the harness's line: ``[exit 132 SIGILL]``,
    ``[timeout 10s]``, ``[oom]``, ``[output limit 1 MiB]``, ``[cannot start: exec format error]``.
    """

    exit: int
    stdout: bytes
    stderr: bytes
    how: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The real paths of one box; ``paths`` maps the names of symbols (``work``) to them."""

    paths: Mapping[str, str] = field(default_factory=dict)

    def fill(self, text: str) -> str:
        """Put the real paths in the place of the symbols."""
        for name, path in self.paths.items():
            text = text.replace(f"⟦{name}⟧", path)
        return text
