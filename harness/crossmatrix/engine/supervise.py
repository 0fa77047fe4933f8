"""What the supervisor is told, and what its record means: the same words in every engine."""

from __future__ import annotations

import binascii
import json
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Final

from crossmatrix.command import Command, Ended, Layout, Limits
from crossmatrix.errors import InfrastructureError

FAULT: Final = 70
"""The supervisor's exit status where not the command but the machine failed."""

_NAMES: Final = """
HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP
TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS
"""
SIGNALS: Final = MappingProxyType({n: f"SIG{s}" for n, s in enumerate(_NAMES.split(), start=1)})
"""Linux's numbers (asm-generic/signal.h), wherever the harness itself runs."""

_LAST_SIGNAL: Final = 64
_KIB: Final = 1 << 10
_MIB: Final = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Bind:
    """A folder that a command sees at another path."""

    source: str
    to: str
    readonly: bool = True


def spec(
    command: Command,
    layout: Layout,
    *,
    uid: int = 0,
    gid: int = 0,
    nproc: int = 0,
    fsize: int = 0,
    binds: Iterable[Bind] = (),
) -> str:
    """The argument of ``supervisor run``, as JSON; zeros leave a user or a limit as it is.

    ``fsize`` is in bytes, ``nproc`` counts the processes of the user.
    """
    limits = command.limits
    fields = {
        "argv": [layout.fill(arg) for arg in command.argv],
        "env": [f"{key}={layout.fill(value)}" for key, value in command.env.items()],
        "cwd": layout.fill(command.cwd),
        "seconds": limits.seconds,
        "output": limits.output,
        "stdin": b64encode(command.stdin).decode(),
        "nofile": limits.nofile or 0,
        "nproc": nproc,
        "fsize": fsize,
        "uid": uid,
        "gid": gid,
        "binds": [{"from": b.source, "to": b.to, "readonly": b.readonly} for b in binds],
    }
    return json.dumps({key: value for key, value in fields.items() if value})


@dataclass(frozen=True, kw_only=True)
class _Record:
    exit: int
    signal: int
    start_error: str
    timeout: bool
    output_limit: bool
    oom: bool
    seconds: float
    stdout: bytes
    stderr: bytes


def ended(record: bytes, limits: Limits) -> Ended:
    """How a command ended, from the supervisor's record.

    Raises `InfrastructureError` where that is no record.
    """
    seen = _read(record)
    return Ended(
        exit=seen.exit,
        stdout=seen.stdout,
        stderr=seen.stderr,
        how=_how(seen, limits),
        seconds=seen.seconds,
    )


def _how(seen: _Record, limits: Limits) -> str:
    if seen.start_error:
        return f"[cannot start: {seen.start_error}]"
    if seen.oom and seen.exit != 0:
        return "[oom]"
    if seen.timeout:
        return f"[timeout {limits.label or f'{limits.seconds:g}s'}]"
    if seen.output_limit:
        return f"[output limit {size(limits.output)}]"
    return died(seen.exit)


def died(status: int) -> str:
    """``[exit 132 SIGILL]`` for a status 128+N, however it came about; else nothing."""
    number = status - 128
    if not 0 < number <= _LAST_SIGNAL:
        return ""
    return f"[exit {status} {SIGNALS.get(number, f'signal {number}')}]"


def size(count: int) -> str:
    """A number of bytes in the largest unit that holds it whole."""
    for unit, name in ((_MIB, "MiB"), (_KIB, "KiB")):
        if count and count % unit == 0:
            return f"{count // unit} {name}"
    return f"{count} B"


def _read(record: bytes) -> _Record:
    try:
        raw = json.loads(record)
        seen = _Record(
            **{
                **raw,
                "seconds": float(raw["seconds"]),
                "stdout": _bytes(raw["stdout"]),
                "stderr": _bytes(raw["stderr"]),
            }
        )
        kinds = _Record.__annotations__
        wrong = [n for n, v in asdict(seen).items() if type(v).__name__ != kinds[n]]
    except (ValueError, TypeError, KeyError, AttributeError, binascii.Error) as error:
        raise InfrastructureError(_no_record(record)) from error
    if wrong:
        raise InfrastructureError(_no_record(record))
    return seen


def _bytes(text: Any) -> bytes:
    return b64decode(text or "", validate=True)


def _no_record(record: bytes) -> str:
    return f"the supervisor gave no record of a command, but {record[:200]!r}"
