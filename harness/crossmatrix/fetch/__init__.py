"""How a tool is had: out of a wheel, a Go module, Debian packages, or another tool of the store.

A recipe is a frozen record of everything that decides what comes out, so that its ``repr`` names
the tool's folder. Hosts and mirrors are those that the user's pip, apt and go are set up with.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from crossmatrix.errors import HarnessError, InfrastructureError, MissingToolError

SECONDS: Final = 1800.0
TRIES: Final = 2

_NETWORK: Final = re.compile(
    r"connection|timed? ?out|temporary failure|name or service|could not resolve|no such host"
    r"|unreachable|proxy|ssl|tls|certificate|incompleteread|http error|5\d\d server error"
    r"|failed to fetch|dial tcp|unexpected eof",
    re.IGNORECASE,
)
_FULL: Final = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
_FORGED: Final = re.compile(r"security error|checksum mismatch|hash sum mismatch", re.IGNORECASE)
_COMPLAINT: Final = re.compile(r"^(ERROR|E|Err|go|fatal|error)\b")
_LONGEST: Final = 300


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A tool in the store. ``digest`` is the sha256, in hex, that identifies its content."""

    name: str
    version: str
    root: Path
    executable: Path
    digest: str


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a recipe made; ``executable`` is relative to the tool's tree."""

    version: str
    executable: str
    digest: str


class Recipe(Protocol):
    """Where a tool comes from. ``needs`` names the tools that make it."""

    @property
    def source(self) -> str:
        """What is fetched, in a few words."""

    @property
    def command(self) -> str:
        """What a user can type to get the same by hand, or to try again."""

    @property
    def needs(self) -> tuple[str, ...]: ...

    def make(self, tree: Path, scratch: Path, tools: Mapping[str, Tool]) -> Made:
        """Fill ``tree``, which does not exist yet, with ``scratch`` for everything else.

        Raises `MissingToolError` where it cannot be had here, `InfrastructureError` where what
        arrived is not what is pinned, or where the disk is full.
        """


def once(argv: Sequence[str], *, env: Mapping[str, str], cwd: Path) -> tuple[int, str, str]:
    """Run a client of a registry: its status, its output, and all that it said."""
    try:
        done = subprocess.run(
            list(argv),
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
            text=True,
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        return 124, "", f"timed out: no end within {SECONDS:.0f} s"
    except OSError as error:
        return 127, "", f"{argv[0]}: {error.strerror}"
    return done.returncode, done.stdout, f"{done.stdout}\n{done.stderr}"


def run(argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, what: str, command: str) -> str:
    """The output of a client of a registry, run once more where it fails; raises `failure`."""
    said = ""
    for _ in range(TRIES):
        status, output, said = once(argv, env=env, cwd=cwd)
        if status == 0:
            return output
    raise failure(what, said, command)


def failure(what: str, said: str, command: str) -> HarnessError:
    """The error that tells why something could not be had, from what a client said."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    full = next((line for line in lines if _FULL.search(line)), None)
    if full is not None:
        return InfrastructureError(f"{what}: {full[:_LONGEST]}", hint="make room, then try again")
    forged = next((line for line in lines if _FORGED.search(line)), None)
    if forged is not None:
        return InfrastructureError(
            f"{what} is not what its sums say: {forged[:_LONGEST]}",
            hint="find out what changed it on its way before you use it",
        )
    network = next((line for line in lines if _NETWORK.search(line)), None)
    if network is not None:
        return MissingToolError(
            f"{what} could not be fetched, the network failed: {network[:_LONGEST]}",
            command=command,
        )
    complaints = [line for line in lines if _COMPLAINT.match(line)] or lines or ["no word why"]
    return MissingToolError(
        f"{what} could not be had: {complaints[-1][:_LONGEST]}", command=command
    )


def sum_of(path: Path) -> str:
    """The sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
