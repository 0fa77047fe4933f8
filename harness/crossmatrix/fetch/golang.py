"""What a Go of the store makes: a program of a module, the supervisor, the scripts for node."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import platformdirs

from crossmatrix.errors import InfrastructureError
from crossmatrix.fetch import Made, Tool, run, sum_of

RETRY: Final = "crossmatrix doctor --fetch"
_REGISTRY: Final = (
    "GOPROXY", "GOSUMDB", "GONOSUMDB", "GONOPROXY", "GOPRIVATE", "GOINSECURE", "GOAUTH", "GOVCS",
)  # fmt: skip
_FLAGS: Final = ("-trimpath", "-ldflags=-s -w")
_SCRIPTS: Final = ("wasm_exec.js", "wasm_exec_node.js")


def environment(go: Tool, scratch: Path) -> dict[str, str]:
    """For the go command: no Go setting of the user's, every cache in ``scratch``, no network."""
    # A child that outlives the go command would still write counters while scratch is removed
    mode = scratch / "go" / "telemetry" / "mode"
    mode.parent.mkdir(parents=True, exist_ok=True)
    mode.write_text("off")
    own = {k: v for k, v in os.environ.items() if not k.startswith(("GO", "CGO_"))}
    return own | {
        "CGO_ENABLED": "0",
        "GOCACHE": str(scratch / "gocache"),
        "GOENV": "off",
        "GOPATH": str(scratch / "gopath"),
        "GOPROXY": "off",
        "GOROOT": str(go.root),
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "LC_ALL": "C",
        "TMPDIR": str(scratch),
        "XDG_CONFIG_HOME": str(scratch),
    }


def registry(go: Tool, env: Mapping[str, str], scratch: Path) -> dict[str, str]:
    """How the user's go reaches modules and their sums, the file of `go env -w` included.

    Asked of the go command, because only GOENV=off keeps the rest of that file out.
    """
    settings = os.environ.get("GOENV") or str(platformdirs.user_config_path("go") / "env")
    users = {name: os.environ[name] for name in _REGISTRY if name in os.environ}
    env = {k: v for k, v in env.items() if k != "GOPROXY"} | users | {"GOENV": settings}
    argv = (str(go.executable), "env", "-json", *_REGISTRY)
    said = run(argv, env=env, cwd=scratch, what="go env", command=RETRY)
    return {name: value for name, value in json.loads(said).items() if value}


def download(go: Tool, mod: bytes, sum: bytes, scratch: Path) -> Path:
    """The modules that a go.mod and go.sum name, checked, as a folder that can be a GOPROXY."""
    work = scratch / "module"
    work.mkdir()
    (work / "go.mod").write_bytes(mod)
    (work / "go.sum").write_bytes(sum)
    cache = scratch / "modcache"
    env = environment(go, scratch)
    env |= registry(go, env, scratch) | {"GOMODCACHE": str(cache), "GOFLAGS": "-modcacherw"}
    argv = (str(go.executable), "mod", "download")
    run(argv, env=env, cwd=work, what="the modules of a case", command="go mod download")
    return cache / "cache" / "download"


@dataclass(frozen=True, kw_only=True)
class _MadeByGo:
    """What a Go of the store, ``go``, makes."""

    go: str

    @property
    def command(self) -> str:
        return RETRY

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.go,)


@dataclass(frozen=True, kw_only=True)
class Module(_MadeByGo):
    """A program of a module, built here; its sums are checked by the checksum database."""

    package: str
    version: str

    @property
    def source(self) -> str:
        return f"Go module {self.package}@{self.version}"

    def make(self, tree: Path, scratch: Path, tools: Mapping[str, Tool]) -> Made:
        go = tools[self.go]
        tree.mkdir()
        env = environment(go, scratch)
        env |= registry(go, env, scratch) | {"GOBIN": str(tree)}
        argv = [str(go.executable), "install", "-modcacherw", *_FLAGS]
        argv.append(f"{self.package}@{self.version}")
        run(argv, env=env, cwd=scratch, what=self.source, command=self.command)
        name = self.package.rpartition("/")[2]
        return Made(version=self.version, executable=name, digest=sum_of(tree / name))


@dataclass(frozen=True, kw_only=True)
class Supervisor(_MadeByGo):
    """The static program of ``sources``, which are known by their sum."""

    sources: Path = field(repr=False)
    sum: str

    @classmethod
    def of(cls, sources: Path, go: str) -> Supervisor:
        whole = hashlib.sha256()
        for path in _sources(sources):
            data = path.read_bytes()
            whole.update(f"{path.name} {len(data)}\n".encode() + data)
        return cls(sources=sources, sum=whole.hexdigest(), go=go)

    @property
    def source(self) -> str:
        return "built from the package's own sources"

    def make(self, tree: Path, scratch: Path, tools: Mapping[str, Tool]) -> Made:
        go = tools[self.go]
        tree.mkdir()
        copy = scratch / "sources"
        copy.mkdir()
        for path in _sources(self.sources):
            shutil.copyfile(path, copy / path.name)
        argv = [str(go.executable), "build", *_FLAGS, "-buildvcs=false"]
        argv += ["-o", str(tree / "supervisor"), "."]
        env = environment(go, scratch)
        run(argv, env=env, cwd=copy, what="the supervisor", command=self.command)
        return Made(
            version=self.sum[:12], executable="supervisor", digest=sum_of(tree / "supervisor")
        )


@dataclass(frozen=True, kw_only=True)
class WasmExec(_MadeByGo):
    """What node needs to start a js/wasm program: lib/wasm since Go 1.24, misc/wasm before."""

    @property
    def source(self) -> str:
        return f"out of {self.go}"

    def make(self, tree: Path, scratch: Path, tools: Mapping[str, Tool]) -> Made:
        del scratch
        go = tools[self.go]
        tree.mkdir()
        whole = hashlib.sha256()
        for name in _SCRIPTS:
            places = [go.root / folder / "wasm" / name for folder in ("lib", "misc")]
            found = next((path for path in places if path.is_file()), None)
            if found is None:
                raise InfrastructureError(
                    f"{self.go} has no {name}", hint=f"fetch it anew: rm -r {go.root.parent}"
                )
            shutil.copyfile(found, tree / name)
            whole.update(f"{name} {sum_of(found)}\n".encode())
        return Made(version=go.version, executable=_SCRIPTS[1], digest=whole.hexdigest())


def _sources(folder: Path) -> list[Path]:
    """What the supervisor is built from."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix in (".go", ".mod", ".sum") and not path.name.endswith("_test.go")
    )
