"""The store: pinned Go and C toolchains and emulators, fetched without root into a user's cache.

What each is, which version, and its sums stand in toolchains.toml. A tool is a folder
``tools/<name>-<key>`` with a manifest and a ``root``; the key is a sum of the tool's recipe, so
that a changed pin is another folder. It is made in a folder beside it and renamed when it is whole,
by one process at a time.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import stat
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import platformdirs
from filelock import FileLock, Timeout

from crossmatrix.case import HostPort
from crossmatrix.cell import GoVersion, PortInfo
from crossmatrix.errors import InfrastructureError, InputError, MissingToolError
from crossmatrix.fetch import Recipe, Tool, run
from crossmatrix.fetch.debian import Debian
from crossmatrix.fetch.golang import RETRY, Module, Supervisor, WasmExec, download, environment
from crossmatrix.fetch.wheel import Wheel
from crossmatrix.strict_yaml import nearest
from crossmatrix.targets import ARCHES

__all__ = ["PINS", "Report", "Store", "Tool", "host_port"]

Report = Callable[[str], None]

PINS: Final = Path(__file__).resolve().parent / "toolchains.toml"
_SUPERVISOR: Final = PINS.parent / "supervisor"
_LAYOUT: Final = 1
"""Part of every key: raise it when the same recipes leave other files."""
_MANIFEST: Final = "manifest.json"
_DIGITS: Final = 12
_MEGABYTE: Final = 1_000_000
_GOARCHES: Final = {
    "x86_64": "amd64", "aarch64": "arm64", "armv6l": "arm", "armv7l": "arm", "i686": "386",
    "loongarch64": "loong64",
}  # fmt: skip


def host_port() -> HostPort:
    """GOOS and GOARCH of the machine that builds."""
    machine = platform.machine()
    return HostPort(goos=sys.platform, goarch=_GOARCHES.get(machine, machine))


class Store:
    """The tools of one user.

    ``root`` defaults to ``$CROSSMATRIX_STORE``, else to a folder in the user's cache; ``report``
    takes one line of progress at a time; ``pins`` is a file such as toolchains.toml.
    """

    def __init__(
        self, root: Path | None = None, *, report: Report = lambda _: None, pins: Path = PINS
    ) -> None:
        chosen = os.environ.get("CROSSMATRIX_STORE")
        default = Path(chosen) if chosen else platformdirs.user_cache_path("crossmatrix")
        self.root = (root or default).expanduser().absolute()
        self._report = report
        self._pins_file = pins
        self._found: dict[str, Tool] = {}

    def names(self) -> tuple[str, ...]:
        """Everything that the pins know, what others are made with first."""
        return tuple(self._recipes)

    def go_versions(self) -> dict[str, str]:
        """Each minor version, and the newest pinned one that it stands for."""
        return {GoVersion(version).minor: version for version in self._go_pins}

    def go_version(self, text: str) -> str:
        """``1.27`` -> ``1.27.3``, a full version as it is.

        Raises `InputError`, with the nearest ones, for what is not pinned.
        """
        plain = text.removeprefix("go")
        minor = GoVersion(plain).minor
        minors = self.go_versions()
        if plain in self._go_pins:
            return plain
        if plain in minors:
            return minors[plain]
        near = f"did you mean {minors[minor]}?" if minor in minors else nearest(plain, minors)
        raise InputError(
            f"Go {plain} is not pinned", hint=f"{near} (pinned: {', '.join(self._go_pins)})"
        )

    def go_ports(self, version: str) -> tuple[PortInfo, ...]:
        """What ``go tool dist list -json`` of a Go says, of the architectures that are known here.

        Kept beside the tool. Raises what `get` raises.
        """
        go = self.get(f"go{version}")
        kept = go.root.parent / "ports.json"
        text = _text(kept)
        if text is None:
            with self._making(go.name) as fresh:
                argv = (str(go.executable), "tool", "dist", "list", "-json")
                what = f"the list of ports of {go.name}"
                text = run(argv, env=environment(go, fresh), cwd=fresh, what=what, command=RETRY)
                (fresh / kept.name).write_text(text, encoding="utf-8")
                (fresh / kept.name).chmod(0o644)
                (fresh / kept.name).replace(kept)
        return tuple(
            PortInfo(goos=row["GOOS"], goarch=row["GOARCH"], cgo_supported=row["CgoSupported"])
            for row in json.loads(text)
            if row["GOARCH"] in ARCHES
        )

    def modules(self, version: str, mod: bytes, sum: bytes) -> Path:
        """The modules that a go.mod and its go.sum name, as a folder that can be a GOPROXY.

        Fetched once, through the user's own registry. Raises what `get` raises.
        """
        go = self.get(f"go{version}")
        name = f"modules-{hashlib.sha256(mod + bytes(1) + sum).hexdigest()[:_DIGITS]}"
        kept = self.root / "tools" / name
        if not kept.is_dir():
            with self._making(name) as fresh:
                if not kept.is_dir():
                    self._report(f"fetching modules for {name}")
                    found = download(go, mod, sum, fresh)
                    found.mkdir(parents=True, exist_ok=True)
                    found.rename(kept)
        return kept

    def find(self, name: str) -> Tool | None:
        """A tool that is there; only looks."""
        if name not in self._found and name in self._recipes:
            tool = _read(name, self._folder(name))
            if tool is None:
                return None
            self._found[name] = tool
        return self._found.get(name)

    def get(self, name: str) -> Tool:
        """A tool, fetched where it is not there yet.

        Raises `MissingToolError`, with the reason and the command that would get it, where it is
        not to be had; `InfrastructureError` where the store cannot be written, or where what came
        is not what is pinned.
        """
        found = self.find(name)
        if found is not None:
            return found
        recipe = self._recipes.get(name)
        if recipe is None:
            raise MissingToolError(
                f"no {name} is pinned for {platform.system()} on {platform.machine()}",
                command=f"none; {nearest(name, self.names())}",
            )
        tools = {needed: self.get(needed) for needed in recipe.needs}
        with self._making(name) as fresh:
            found = self.find(name)
            if found is None:
                self._make(name, recipe, tools, fresh)
                found = self.find(name)
        if found is None:
            raise InfrastructureError(
                f"{name} vanished from {self.root}", hint="does something else tidy that folder?"
            )
        return found

    def _make(self, name: str, recipe: Recipe, tools: Mapping[str, Tool], fresh: Path) -> None:
        """Make a tool below ``fresh`` and put it where it is looked for."""
        self._report(f"fetching {name} ({recipe.source})")
        start = time.monotonic()
        new, scratch, final = fresh / "new", fresh / "scratch", self._folder(name)
        new.mkdir()
        scratch.mkdir()
        made = recipe.make(new / "root", scratch, tools)
        size = _readable(new)
        manifest = {
            "name": name,
            "version": made.version,
            "executable": made.executable,
            "digest": made.digest,
            "source": recipe.source,
            "bytes": size,
        }
        (new / _MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        (new / _MANIFEST).chmod(0o644)
        if final.exists():
            final.rename(fresh / "broken")
        new.rename(final)
        seconds = time.monotonic() - start
        self._report(f"got {name} {made.version}: {size / _MEGABYTE:.0f} MB in {seconds:.1f} s")

    @contextmanager
    def _making(self, name: str) -> Iterator[Path]:
        """An empty folder on the store's own disk, for the one process that may change a tool.

        Whatever lies there under its name was left by one that was killed.
        """
        tools, locks = self.root / "tools", self.root / "locks"
        try:
            tools.mkdir(parents=True, exist_ok=True)
            locks.mkdir(parents=True, exist_ok=True)
            lock = FileLock(locks / f"tool-{name}.lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                self._report(f"waiting for another process that fetches {name}")
                lock.acquire()
            try:
                for old in tools.glob(f".{name}-*"):
                    _remove(old)
                fresh = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=tools))
                try:
                    yield fresh
                finally:
                    _remove(fresh)
            finally:
                lock.release()
        except OSError as error:
            raise InfrastructureError(
                f"the store {self.root} cannot be written: {error}",
                hint="make room or set CROSSMATRIX_STORE to a folder of yours",
            ) from error

    def _folder(self, name: str) -> Path:
        key = hashlib.sha256(f"{_LAYOUT} {self._recipes[name]!r}".encode()).hexdigest()
        return self.root / "tools" / f"{name}-{key[:_DIGITS]}"

    @cached_property
    def _pins(self) -> Mapping[str, Any]:
        return tomllib.loads(self._pins_file.read_text("utf-8"))

    @cached_property
    def _go_pins(self) -> tuple[str, ...]:
        """The pinned versions of Go, oldest first."""
        return tuple(sorted(self._pins.get("go", {}).get("wheels", ()), key=GoVersion))

    @cached_property
    def _recipes(self) -> dict[str, Recipe]:
        """Every tool that can be had on this kind of machine."""
        if sys.platform != "linux":
            return {}
        machine = platform.machine()
        recipes: dict[str, Recipe] = {}
        pins = dict(self._pins)
        go = pins.pop("go", None)
        for version in reversed(self._go_pins):
            if machine in go["wheels"][version]:
                recipes[f"go{version}"] = _wheel(go | {"version": version}, go["wheels"][version])
        newest = next(iter(recipes), None)
        for name, pin in pins.items():
            if "packages" in pin:
                sets = tuple(tuple(packages) for packages in pin["packages"])
                recipes[name] = Debian(sets=sets, layout=pin["layout"])
            elif "module" in pin and newest is not None:
                recipes[name] = Module(package=pin["module"], version=pin["version"], go=newest)
            elif machine in pin.get("wheels", ()):
                recipes[name] = _wheel(pin, pin["wheels"])
        if newest is not None:
            recipes["supervisor"] = Supervisor.of(_SUPERVISOR, newest)
        for name in [name for name in recipes if name.startswith("go")]:
            recipes[f"wasm_exec{name.removeprefix('go')}"] = WasmExec(go=name)
        return recipes


def _wheel(pin: Mapping[str, Any], sums: Mapping[str, str]) -> Wheel:
    return Wheel(
        project=pin["project"],
        version=pin["version"],
        sha256=sums[platform.machine()],
        inside=pin["inside"],
        executable=pin["executable"],
        only=tuple(pin.get("only", ())),
    )


def _read(name: str, folder: Path) -> Tool | None:
    """The tool of a folder, or None where there is none or it is not whole."""
    try:
        data = json.loads((folder / _MANIFEST).read_text("utf-8"))
        tool = Tool(
            name=name,
            version=data["version"],
            root=folder / "root",
            executable=folder / "root" / data["executable"],
            digest=data["digest"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return tool if tool.executable.is_file() else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except OSError:
        return None


def _remove(folder: Path) -> None:
    """Remove a tree; what a still dying child writes meanwhile is left to the next fetch."""
    for parent, names, _ in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            if not path.is_symlink() and not os.access(path, os.W_OK | os.X_OK):
                path.chmod(0o755)
    shutil.rmtree(folder, ignore_errors=True)


def _readable(folder: Path) -> int:
    """Let every user read a tree: a run started by root gives its commands to an ordinary user.

    Returns the bytes in it.
    """
    total = 0
    for parent, _, files in os.walk(folder):
        Path(parent).chmod(0o755)
        for name in files:
            path = Path(parent, name)
            seen = path.lstat()
            if stat.S_ISREG(seen.st_mode):
                path.chmod(0o755 if seen.st_mode & 0o111 else 0o644)
                total += seen.st_size
    return total
