"""Files of Debian packages, by apt with a state of its own, as any user.

apt checks the signatures of the archive with the keys that the system trusts, and the packages'
sums; nothing of it touches the system's own lists, cache or status.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from crossmatrix import binary
from crossmatrix.errors import InputError, MissingToolError
from crossmatrix.fetch import TRIES, Made, Tool, failure, once, run, sum_of
from crossmatrix.targets import ARCHES

_PROGRAMS: Final = ("apt-get", "dpkg-deb")
_EMULATORS: Final = frozenset(arch.qemu for arch in ARCHES.values() if arch.qemu)
# Hooks of the system work on the system's cache; -c comes after every other file, so can clear them
_CONFIGURATION: Final = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Dir::State "{folder}/state";
Dir::State::status "{folder}/state/status";
Dir::Cache "{folder}/cache";
Dir::Log "{folder}/log";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "1";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
"""


@dataclass(frozen=True, kw_only=True)
class Debian:
    """Sets of packages, the first of which that holds what is looked for is taken.

    ``layout`` says what that is: ``qemu``, ``busybox`` or ``libraries``.
    """

    sets: tuple[tuple[str, ...], ...]
    layout: str

    @property
    def source(self) -> str:
        return f"Debian packages {' or '.join(', '.join(packages) for packages in self.sets)}"

    @property
    def command(self) -> str:
        return "crossmatrix doctor --fetch"

    @property
    def needs(self) -> tuple[str, ...]:
        return ()

    def make(self, tree: Path, scratch: Path, tools: Mapping[str, Tool]) -> Made:
        del tools
        for program in _PROGRAMS:
            if shutil.which(program) is None:
                raise MissingToolError(
                    f"{self.source} come by apt, and this machine has no {program}",
                    command="run on Debian or Ubuntu, or copy the store's tools/ from one",
                )
        apt = _Apt.start(scratch)
        said = ""
        for number, packages in enumerate(self.sets):
            folder = scratch / f"set{number}"
            folder.mkdir()
            status, said = apt.download(packages, folder)
            if status != 0:
                continue
            debs = sorted(folder.glob("*.deb"))
            unpacked = folder / "root"
            for deb in debs:
                argv = ("dpkg-deb", "-x", str(deb), str(unpacked))
                run(argv, env=apt.env, cwd=folder, what=deb.name, command=self.command)
            executable = self._lay_out(unpacked, tree)
            if executable is not None:
                argv = ("dpkg-deb", "-f", str(_first(debs, packages[0])), "Version")
                version = run(argv, env=apt.env, cwd=folder, what="dpkg-deb", command=self.command)
                return Made(version=version.strip(), executable=executable, digest=_sum(debs))
            said = f"{', '.join(packages)} of this release does not hold what is needed"
        raise failure(self.source, f"{apt.said}\n{said}", self.command)

    def _lay_out(self, unpacked: Path, tree: Path) -> str | None:
        """Fill the tree; the executable, or None (and no tree) where the packages do not fit."""
        match self.layout:
            case "qemu":
                return _qemu(unpacked, tree)
            case "busybox":
                return _busybox(unpacked, tree)
            case "libraries":
                return _libraries(unpacked, tree)
        raise InputError(f"no layout {self.layout!r}", hint="qemu, busybox or libraries")


@dataclass(frozen=True, kw_only=True)
class _Apt:
    """An apt with lists of its own; ``said`` is what went wrong while it got them."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    said: str

    @classmethod
    def start(cls, scratch: Path) -> _Apt:
        folder = scratch / "apt"
        for part in ("state/lists/partial", "cache/archives/partial", "log"):
            (folder / part).mkdir(parents=True)
        (folder / "state" / "status").touch()
        configuration = folder / "apt.conf"
        configuration.write_text(_CONFIGURATION.format(folder=folder))
        argv = ("apt-get", "-c", str(configuration), "-qq")
        env = {**os.environ, "LC_ALL": "C", "TMPDIR": str(scratch)}
        # a list that fails is no failure as long as the packages are found: machines have broken
        # sources that are none of ours
        said = ""
        for _ in range(TRIES):
            status, _, said = once((*argv, "update"), env=env, cwd=scratch)
            if status == 0 and "Failed to fetch" not in said:
                break
        return cls(argv=argv, env=env, said=said)

    def download(self, packages: tuple[str, ...], folder: Path) -> tuple[int, str]:
        for _ in range(TRIES):
            status, _, said = once((*self.argv, "download", *packages), env=self.env, cwd=folder)
            if status == 0 or "Unable to locate" in said:
                break
        return status, said


def _first(debs: list[Path], package: str) -> Path:
    return next(deb for deb in debs if deb.name.startswith(f"{package}_"))


def _sum(debs: list[Path]) -> str:
    lines = (f"{deb.name} {sum_of(deb)}\n" for deb in debs)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _qemu(unpacked: Path, tree: Path) -> str | None:
    """The emulators of Go's architectures, static, under their plain names.

    Debian 12 has static ones in qemu-user-static, Debian 13 in qemu-user.
    """
    found = (
        (path.name.removesuffix("-static"), path)
        for path in sorted((unpacked / "usr" / "bin").glob("qemu-*"))
        if path.is_file() and not path.is_symlink()
    )
    names = {name: path for name, path in found if name in _EMULATORS}
    sample = names.get("qemu-aarch64")
    if sample is None or binary.read(sample).linkage != "static":
        return None
    (tree / "bin").mkdir(parents=True)
    for name, path in names.items():
        shutil.move(path, tree / "bin" / name)
    return "bin/qemu-aarch64"


def _busybox(unpacked: Path, tree: Path) -> str | None:
    """The program, and a folder for PATH with a link for each of its applets."""
    found = [path for path in unpacked.rglob("bin/busybox") if path.is_file()]
    if not found:
        return None
    (tree / "applets").mkdir(parents=True)
    program = tree / "busybox"
    shutil.move(found[0], program)
    status, listed, said = once((str(program), "--list"), env={}, cwd=tree)
    if status != 0:
        raise failure("busybox", said, "crossmatrix doctor")
    for applet in listed.split():
        (tree / "applets" / applet).symlink_to("../busybox")
    return "busybox"


def _libraries(unpacked: Path, tree: Path) -> str | None:
    """The shared libraries and the loader where Debian has them, with every link made relative."""
    loaders = []
    for path in sorted(unpacked.rglob("*.so*")):
        name = path.relative_to(unpacked)
        if path.is_dir() or not _is_library(name):
            continue
        place = tree / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            place.symlink_to(_relative(path.readlink(), name))
        else:
            shutil.move(path, place)
        if name.name.startswith("ld-linux") and not place.is_symlink():
            loaders.append(str(name))
    return loaders[0] if loaders else None


def _is_library(name: Path) -> bool:
    """Whether a file is a library itself, not a plug-in of one or a debugger's helper."""
    folders = name.parts[:-1]
    return name.suffix != ".py" and not {"share", "gconv", "audit"} & set(folders)


def _relative(target: Path, name: Path) -> Path:
    """An absolute link's target, from the folder of ``name`` and below the same root."""
    if not target.is_absolute():
        return target
    return Path(*[".."] * (len(name.parts) - 1), *target.parts[1:])
