"""How an artifact is built: the clean environment, the C compiler, the commands, the warm-up."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from crossmatrix.case import Build, HostPort
from crossmatrix.cell import DEFAULT_BUILDMODE, Cell, GoVersion
from crossmatrix.command import Command, Limits
from crossmatrix.needs import Warm
from crossmatrix.placeholders import Filler
from crossmatrix.targets import ARCHES, target, zig_triple

BUILD_SECONDS = 600.0

MODULES: Final = ".crossmatrix/modules"
"""Where a case's modules lie in the work folder, as a GOPROXY; Go overlooks a dotted folder."""

_SUFFIXES = {
    "c-archive": {"": ".a"},
    "c-shared": {"": ".so", "windows": ".dll", "darwin": ".dylib", "wasip1": ".wasm"},
    "plugin": {"": ".so"},
}
_STD_FLAGS = ("-race", "-msan", "-asan", "-trimpath", "-tags", "-gcflags", "-asmflags")
_GO_VARIABLES = re.compile(
    r"(GO(?!CACHE|MODCACHE|PATH|ROOT|ENV|PROXY|WORK|TOOLCHAIN).*|CGO_.*|CC|CXX)\Z"
)
_IMPORTS = re.compile(
    rb'^\s*import\s*(?:\((?P<block>[^)]*)\)|(?:[\w.]+\s+)?"(?P<one>[^"\n]+)")', re.MULTILINE
)
_QUOTED = re.compile(rb'"([^"\n]+)"')


CLEAN_ENV: Final = MappingProxyType(
    {
        "PATH": "⟦path⟧",
        "HOME": "⟦home⟧",
        "TMPDIR": "⟦tmp⟧",
        "LC_ALL": "C",
        "GOCACHE": "⟦gocache⟧",
        "GOMODCACHE": "⟦gomodcache⟧",
        "GODEBUG": "goindex=0",
        "GOENV": "off",
        "GOFLAGS": "",
        "GOPROXY": "off",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }
)
"""What every go command of the harness gets: nothing is inherited.

``GODEBUG=goindex=0`` lets Go work on a GOCACHE that it may only read (measured on 1.21, 1.26 and
1.27: it stops at files older than two seconds without it).
"""


def base_env(cell: Cell) -> dict[str, str]:
    """The whole environment of a build before cc and case."""
    compilers = ("CC", "CXX", "CGO_CFLAGS", "CGO_CPPFLAGS", "CGO_CXXFLAGS", "CGO_LDFLAGS")
    return {**CLEAN_ENV, **dict.fromkeys(compilers, ""), **cell.env()}


def zig_target(cc: str, goos: str, goarch: str) -> str:
    """zig's target for ``zig`` or ``zig:gnu.2.17``; empty where cc is no zig or cannot serve."""
    name, _, libc = cc.partition(":")
    return (zig_triple(goos, goarch, libc) or "") if name == "zig" else ""


def modules_env(build: Build) -> dict[str, str]:
    """The variables of a build that finds its modules beside it, and is offline all the same."""
    if not build.modules:
        return {}
    return {"GOPROXY": f"file://⟦work⟧/{MODULES}", "GOSUMDB": "off"}


def cc_env(cc: str, cell: Cell) -> dict[str, str]:
    """The variables that a C compiler adds."""
    if cc == "host-gcc":
        return {"CC": "gcc", "CXX": "g++"}
    triple = zig_target(cc, cell.goos, cell.goarch)
    if not triple:
        return {}
    return {
        "CC": f"zig cc -target {triple}",
        "CXX": f"zig c++ -target {triple}",
        "ZIG_GLOBAL_CACHE_DIR": "⟦zigcache⟧",
        "ZIG_LOCAL_CACHE_DIR": "⟦tmp⟧/zig",
    }


def overlaid(
    env: Mapping[str, str], unset: Iterable[str], over: Iterable[tuple[str, str]]
) -> dict[str, str]:
    """An environment with some variables taken out and others laid over it, GODEBUG joined."""
    gone = set(unset)
    result = {key: value for key, value in env.items() if key not in gone}
    for key, value in over:
        joined = key == "GODEBUG" and value and result.get(key)
        result[key] = f"{result[key]},{value}" if joined else value
    return result


def effective(env: Mapping[str, str]) -> tuple[str, str] | None:
    """The port that a build's environment asks for, or None where Go knows no such port."""
    goos, goarch = env.get("GOOS", ""), env.get("GOARCH", "")
    return (goos, goarch) if target(goos, goarch) else None


def output_name(build: Build, cell: Cell, env: Mapping[str, str]) -> str | None:
    """The artifact's file name in the work folder; None where the case has none."""
    if build.output == "none":
        return None
    if build.output and build.output_exact:
        return build.output
    goos = env.get("GOOS") or cell.goos
    default = ".exe" if goos == "windows" else ""
    suffixes = _SUFFIXES.get(build.buildmode or cell.buildmode, {})
    suffix = suffixes.get(goos, suffixes.get("", default))
    return (build.output or "app") + suffix


def commands(build: Build, cell: Cell, env: Mapping[str, str], filler: Filler) -> list[Command]:
    """The commands of the build stage, in order."""
    limits = Limits(seconds=BUILD_SECONDS)
    if build.steps:
        argvs = [tuple(filler.command(arg) for arg in step) for step in build.steps]
        return [Command(argv=argv, env=env, limits=limits) for argv in argvs]
    mode = build.buildmode or cell.buildmode
    argv = ["go", "build"]
    if mode != DEFAULT_BUILDMODE:
        argv.append(f"-buildmode={mode}")
    if build.output != "none":
        argv += ["-o", filler.app]
    argv += [filler.command(arg) for arg in build.args or ()]
    argv.append(filler.command(build.package or "."))
    return [Command(argv=tuple(argv), env=env, limits=limits)]


def std_imports(files: Mapping[str, bytes]) -> tuple[str, ...]:
    """What a program's Go files import of the standard library, and the runtime; sorted."""
    found = {"runtime"}
    for name, data in files.items():
        if name.endswith(".go") and not name.endswith("_test.go"):
            for match in _IMPORTS.finditer(data):
                block = match["block"]
                paths = _QUOTED.findall(block) if block is not None else [match["one"]]
                found |= {path.decode("utf-8", "replace") for path in paths}
    return tuple(sorted(p for p in found if "." not in p.partition("/")[0] and p != "C"))


def warm_for(
    build: Build, cell: Cell, env: Mapping[str, str], packages: tuple[str, ...], host: HostPort
) -> Warm | None:
    """What to compile beforehand for a build; None where Go knows no such target.

    An empty GOOS or GOARCH is the host's own to Go.
    """
    if target(env.get("GOOS") or host.goos, env.get("GOARCH") or host.goarch) is None:
        return None
    variables = tuple(
        sorted(
            (key, value)
            for key, value in env.items()
            if _GO_VARIABLES.match(key) and value and "⟦" not in value
        )
    )
    mode = build.buildmode or cell.buildmode
    flags = [] if mode == DEFAULT_BUILDMODE else [f"-buildmode={mode}"]
    args = iter(build.args or ())
    for arg in args:
        name = arg.partition("=")[0]
        if name in _STD_FLAGS and "{" not in arg:
            flags.append(arg)
            if name in ("-tags", "-gcflags", "-asmflags") and "=" not in arg:
                flags.append(next(args, ""))
    return Warm(go=cell.go_version, env=variables, flags=tuple(flags), packages=packages)


def wanted_variant(cell: Cell, env: Mapping[str, str]) -> str | None:
    """The level to check an artifact for; None where the case unset it or Go swallows it."""
    port = effective(env)
    if port is None:
        return None
    arch = ARCHES[port[1]]
    if not arch.variable or GoVersion(cell.go_version) < GoVersion(f"{arch.since}beta1"):
        return None
    value = env.get(arch.variable, "")
    return value if value and re.fullmatch(arch.levels, value) else None
