"""What this machine has, what is missing, what that would add, and the command that gets it."""

from __future__ import annotations

import importlib.util
import platform
import shlex
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from crossmatrix.toolchain import Store, host_port

FETCH: Final = "crossmatrix doctor --fetch"
WANTED_BYTES: Final = 6_000_000_000
"""The whole store, a GOCACHE per Go version, and zig's cache."""

_GIGABYTE: Final = 1_000_000_000
_BINFMT: Final = Path("/proc/sys/fs/binfmt_misc")
_CGROUP: Final = Path("/sys/fs/cgroup")
_OLDEST: Final = (3, 11)
_BASE: Final = 0x400000
_ADDS: Final = {
    "zig": "cgo cells with cc zig: a C cross compiler for every linux, and for windows",
    "node": "running js/wasm",
    "nodelibs": "running js/wasm in containers: what node needs of a C library",
    "wazero": "running wasip1/wasm",
    "qemu": "running foreign linux architectures",
    "busybox": "every build and run: the shell and tools that cases see",
    "supervisor": "every build and run: what starts and limits commands",
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked for. ``detail`` is its version, or why it is missing.

    ``adds`` says what it makes possible, ``command`` how to get it; empty where nothing is to do.
    """

    name: str
    there: bool
    detail: str
    adds: str = ""
    command: str = ""


def survey(store: Store, told: Iterable[Finding] = ()) -> tuple[Finding, ...]:
    """Look at everything; nothing is fetched. ``told`` is what the caller found out itself."""
    return (
        *_python(),
        *told,
        *(_tool(store, name) for name in store.names()),
        *_debian(),
        _host_gcc(),
        _runs_386(),
        _binfmt(),
        _cgroup(),
        _disk(store.root),
    )


def render(findings: Iterable[Finding]) -> str:
    """The findings for a reader: a line each, and for what is missing what to do."""
    rows = tuple(findings)
    width = max((len(row.name) for row in rows), default=0)
    lines = []
    for row in rows:
        mark = "ok     " if row.there else "missing"
        lines.append(f"{mark}  {row.name:{width}}  {row.detail}")
        if not row.there:
            pad = " " * (len(mark) + 2 + width + 2)
            lines += [f"{pad}adds: {row.adds}"] if row.adds else []
            lines += [f"{pad}get it: {row.command}"] if row.command else []
    missing = sum(not row.there for row in rows)
    lines.append(f"{len(rows) - missing} there, {missing} missing")
    return "\n".join(lines)


def data(findings: Iterable[Finding]) -> list[dict[str, object]]:
    """The findings as JSON has them."""
    return [asdict(row) for row in findings]


def _python() -> Iterable[Finding]:
    version = platform.python_version()
    yield Finding(
        name="python",
        there=sys.version_info >= _OLDEST,
        detail=f"{version} at {sys.executable}",
        adds="everything",
        command="install Python 3.11 or newer",
    )
    pip = importlib.util.find_spec("pip") is not None
    yield Finding(
        name="pip",
        there=pip,
        detail="of this Python" if pip else "this Python has none",
        adds="fetching Go, zig and node",
        command=f"{shlex.quote(sys.executable)} -m ensurepip",
    )


def _tool(store: Store, name: str) -> Finding:
    tool = store.find(name)
    if name.startswith("go"):
        adds = f"cells of Go {name.removeprefix('go')}"
    elif name.startswith("wasm_exec"):
        adds = f"running js/wasm of Go {name.removeprefix('wasm_exec')}"
    else:
        adds = _ADDS.get(name, "")
    detail = "not fetched yet" if tool is None else f"{tool.version} at {tool.root}"
    return Finding(name=name, there=tool is not None, detail=detail, adds=adds, command=FETCH)


def _debian() -> Iterable[Finding]:
    for program in ("apt-get", "dpkg-deb"):
        path = shutil.which(program)
        yield Finding(
            name=program,
            there=path is not None,
            detail=path or "not on PATH",
            adds="fetching qemu, busybox and node's libraries",
            command="run on Debian or Ubuntu, or copy the store's tools/ from one",
        )


def _host_gcc() -> Finding:
    path = shutil.which("gcc")
    return Finding(
        name="host-gcc",
        there=path is not None,
        detail=path or "no gcc on PATH",
        adds="cells with cc host-gcc in the local engine",
        command="apt-get install gcc libc6-dev",
    )


def _runs_386() -> Finding:
    if host_port().goarch not in ("amd64", "386"):
        starts, detail = False, f"not on {host_port().goarch}"
    else:
        starts = _starts(tiny_386())
        detail = "the kernel starts them" if starts else "the kernel does not start them"
    return Finding(
        name="386 programs",
        there=starts,
        detail=detail,
        adds="running linux/386 natively, where qemu is too old for it (before 8)",
        command="an amd64 kernel with CONFIG_IA32_EMULATION, not booted with ia32_emulation=0",
    )


def tiny_386() -> bytes:
    """A whole static ELF program for linux/386 that exits with 0."""
    code = bytes.fromhex("31db31c040cd80")  # xor ebx,ebx; xor eax,eax; inc eax; int 0x80
    head, segment = 52, 32
    entry, size = _BASE + head + segment, head + segment + len(code)
    ident = b"\x7fELF\x01\x01\x01" + bytes(9)
    rest = (2, 3, 1, entry, head, 0, 0, head, segment, 1, 0, 0, 0)
    load = (1, 0, _BASE, _BASE, size, size, 5, 4096)
    return ident + struct.pack("<HHIIIIIHHHHHH", *rest) + struct.pack("<8I", *load) + code


def _starts(elf: bytes) -> bool:
    """Whether the kernel starts a program; a folder that is mounted noexec says no for it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "probe")
        path.write_bytes(elf)
        path.chmod(0o755)
        try:
            done = subprocess.run([path], check=False, timeout=10, capture_output=True)
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.returncode == 0


def _binfmt() -> Finding:
    try:
        names = sorted(path.name for path in _BINFMT.iterdir())
    except OSError:
        names = []
    formats = [name for name in names if name not in ("register", "status")]
    return Finding(
        name="binfmt_misc",
        there=True,
        detail=(
            f"registered: {', '.join(formats)} (cases that need an exec format error are skipped)"
            if formats
            else "nothing registered (cases that need a format registered are skipped)"
        ),
    )


def _cgroup() -> Finding:
    version = "v2" if (_CGROUP / "cgroup.controllers").exists() else "v1"
    there = _CGROUP.is_dir() and any(_CGROUP.iterdir())
    return Finding(
        name="cgroup",
        there=there,
        detail=version if there else f"nothing at {_CGROUP}",
        adds="telling death for want of memory from other deaths",
        command="mount the kernel's control groups",
    )


def _disk(root: Path) -> Finding:
    place = next(path for path in (root, *root.parents) if path.exists())
    free = shutil.disk_usage(place).free
    return Finding(
        name="disk",
        there=free >= WANTED_BYTES,
        detail=f"{free / _GIGABYTE:.1f} GB free at {place}",
        adds=f"room for tools and caches, {WANTED_BYTES / _GIGABYTE:.0f} GB with every Go version",
        command="make room, or set CROSSMATRIX_STORE to a folder on another disk",
    )
