"""What a plan asks of a machine, and what a machine says it has."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Warm:
    """What the harness itself compiles into the shared caches before a case is let in.

    ``packages`` are standard packages; ``env`` and ``flags`` are those of the build, without paths
    of a work folder.
    """

    go: str
    env: tuple[tuple[str, str], ...]
    flags: tuple[str, ...]
    packages: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class BuilderNeeds:
    """What a builder must hold. Go versions are full (``1.27.3``), the first is the build's own."""

    go: tuple[str, ...]
    cc: str = "none"
    zig_target: str = ""
    tools: tuple[str, ...] = ()
    warm: Warm | None = None


@dataclass(frozen=True, kw_only=True)
class RunnerNeeds:
    """What a runner must hold.

    ``tool`` is ``""`` for a native run, else a tool of the store (``qemu-arm``, ``wazero``,
    ``node``); ``go`` is the full version whose wasm_exec.js node needs. ``root`` is ``runner`` or
    ``scratch``; ``pids``, ``memory`` (bytes) and ``nofile`` are a case's own tighter limits.
    """

    tool: str = ""
    go: str = ""
    root: str = "runner"
    pids: int | None = None
    memory: int | None = None
    nofile: int | None = None


@dataclass(frozen=True, kw_only=True)
class Host:
    """What is there, as a plan may know it.

    ``goos`` and ``goarch`` are those of the machine that builds. ``missing`` maps what is not to be
    had (a tool, ``host-gcc``, ``root:scratch``) to the reason with its way out; ``digests`` maps
    each tool that is there to what identifies it; ``binfmt`` names the kernel's registered formats.
    """

    goos: str
    goarch: str
    engine: str
    runs_386: bool = False
    network: bool = False
    binfmt: tuple[str, ...] = ()
    missing: tuple[tuple[str, str], ...] = ()
    digests: tuple[tuple[str, str], ...] = ()

    def lacks(self, tool: str) -> str | None:
        """Why a tool is not to be had here, or None where it is."""
        return dict(self.missing).get(tool)
