"""matrix.yaml as it stands in the file: pydantic over plain frozen dataclasses.

The JSON Schema in docs/ is made from here. Values that the go command swallows silently (GOARM=v6,
GOAMD64=3, CGO_ENABLED=true) are refused: a case that is about them says so itself.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Final, TypeVar

from annotated_types import MinLen
from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema

from crossmatrix.casefields import (
    BUILD_MODES,
    CC_PATTERN,
    TEXT_SCHEMA,
    OneOrList,
    Prose,
    Sentence,
    Word,
    a_text,
    level_names,
)
from crossmatrix.caseschema import When
from crossmatrix.cell import GoVersion
from crossmatrix.errors import InputError
from crossmatrix.strict_yaml import Strict, nearest, problem
from crossmatrix.targets import ARCHES, TARGETS

T = TypeVar("T")

# Other worlds' names of Go's own; sources: uname -m, Docker's platforms, LLVM triples.
_GOOS_ALIASES: Final = MappingProxyType(
    {
        "macos": "darwin", "osx": "darwin", "mac": "darwin", "macosx": "darwin",
        "win": "windows", "win32": "windows", "win64": "windows", "wasi": "wasip1",
        "wasip2": "wasip1", "browser": "js", "node": "js", "iphoneos": "ios", "sunos": "solaris",
        "gnu": "linux", "ubuntu": "linux",
    }
)  # fmt: skip
_GOARCH_ALIASES: Final = MappingProxyType(
    {
        "x86_64": "amd64", "x86-64": "amd64", "x64": "amd64", "aarch64": "arm64",
        "armv8": "arm64", "i386": "386", "i686": "386", "x86": "386", "ia32": "386",
        "armhf": "arm", "armel": "arm", "armv5": "arm", "armv6": "arm", "armv6l": "arm",
        "armv7": "arm", "armv7l": "arm", "arm32": "arm", "ppc64el": "ppc64le",
        "powerpc64": "ppc64", "powerpc64le": "ppc64le", "mipsel": "mipsle", "mips32": "mips",
        "mips64el": "mips64le", "riscv": "riscv64", "loongarch64": "loong64", "wasm32": "wasm",
    }
)  # fmt: skip
_DEFAULT_ALIASES: Final = MappingProxyType(
    {"5,softfloat": "5", "6,hardfloat": "6", "7,hardfloat": "7"}
)


@dataclass(frozen=True, kw_only=True)
class TargetName:
    """A target; ``variant`` is the level in force, Go's default where none was given."""

    goos: str
    goarch: str
    variant: str

    @property
    def port(self) -> str:
        return f"{self.goos}/{self.goarch}"


def nearest_port(port: str, known: Collection[str] = tuple(TARGETS)) -> str:
    """``did you mean darwin/arm64?`` for ``macos/arm64``: Go's own name, or the nearest port."""
    goos, _, goarch = port.lower().partition("/")
    name = f"{_GOOS_ALIASES.get(goos, goos)}/{_GOARCH_ALIASES.get(goarch, goarch)}"
    close = [name] if name in known else difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else "`go tool dist list` prints every target"


def _target(value: object) -> TargetName:
    text = a_text(value)
    goos, _, rest = text.partition("/")
    goarch, slash, variant = rest.partition("/")
    port = f"{goos}/{goarch}"
    if not rest or (slash and not variant):
        raise problem(f"{text!r} is no target", hint="write GOOS/GOARCH or GOOS/GOARCH/level")
    if goarch not in ARCHES:
        raise problem(f"{port} is no target of Go", hint=nearest_port(port))
    return TargetName(goos=goos, goarch=goarch, variant=_level(text, goarch, variant))


def _level(text: str, goarch: str, variant: str) -> str:
    arch = ARCHES[goarch]
    if not variant:
        return arch.default
    if not arch.variable:
        raise problem(f"{text!r}: {goarch} has no levels", hint=f"write {text.rsplit('/', 1)[0]}")
    if re.fullmatch(arch.levels, variant):
        return _DEFAULT_ALIASES.get(variant, variant)
    bare = variant.lower().removeprefix("v")
    fits = [name for name in (bare, f"v{bare}", f"v{bare}.0") if re.fullmatch(arch.levels, name)]
    port = text.removesuffix(f"/{variant}")
    raise problem(
        f"{text!r}: {arch.variable}={variant} is no level, and Go may swallow it silently",
        hint=f"write {port}/{fits[0]}" if fits else f"{arch.variable}: {level_names(arch.levels)}",
    )


def _cgo(value: object) -> str:
    text = a_text(value)
    if text not in ("0", "1"):
        raise problem(
            f"CGO_ENABLED={text} is neither 0 nor 1, and Go swallows it silently",
            hint="write 0 or 1",
        )
    return text


def _go(value: object) -> str:
    text = a_text(value)
    try:
        version = GoVersion(text)
        if version < GoVersion("1.21"):
            raise problem(f"Go {text} is too old", hint="1.21 and later are supported")
    except InputError as error:
        raise problem(error.what, hint=error.hint) from None
    if text.startswith("go"):
        raise problem(f"{text!r} as a Go version", hint=f"write {text.removeprefix('go')}")
    return text


def _cc(value: object) -> str:
    text = a_text(value)
    if not re.fullmatch(CC_PATTERN, text):
        names = ("none", "host-gcc", "gcc-cross", "mingw", "musl-gcc", "zig", "zig:gnu.2.17")
        raise problem(f"{text!r} is no C compiler known here", hint=nearest(text, names))
    return text


def _mode(value: object) -> str:
    text = a_text(value)
    if text not in BUILD_MODES:
        raise problem(f"{text!r} is no build mode", hint=nearest(text, BUILD_MODES))
    return text


def _no_host(when: When) -> When:
    for key, match in when.condition(0).keys:
        if key == "each":
            raise problem("a matrix has no variants", hint="leave each out", at=(key,))
        if {"native", "foreign"} & set(match.values):
            raise problem(
                "native and foreign depend on the machine", hint="name the values", at=(key,)
            )
    return when


def _axis(read: Callable[[object], T], **described: Any) -> tuple[Any, ...]:
    return (PlainValidator(read), WithJsonSchema(described or TEXT_SCHEMA))


Targets = Annotated[
    tuple[Annotated[TargetName, *_axis(_target, type="string")], ...],
    MinLen(1),
    OneOrList(),
    Field(description="GOOS/GOARCH or GOOS/GOARCH/level, such as linux/arm/6"),
]
CgoValues = Annotated[
    tuple[Annotated[str, *_axis(_cgo, enum=[0, 1, "0", "1"])], ...],
    MinLen(1),
    OneOrList(),
    Field(description="0, 1 or both; 0 is taken with cc none only"),
]
GoValues = Annotated[
    tuple[Annotated[str, *_axis(_go, type=["string", "number"])], ...],
    MinLen(1),
    OneOrList(),
    Field(description="Go versions: 1.27 (the pinned 1.27.x), 1.27.3, 1.28rc1"),
]
CcValues = Annotated[
    tuple[Annotated[str, *_axis(_cc, type="string", pattern=f"^({CC_PATTERN})$")], ...],
    MinLen(1),
    OneOrList(),
    Field(description="C compilers: none, host-gcc, zig, zig:gnu.2.17, …"),
]
ModeValues = Annotated[
    tuple[Annotated[str, *_axis(_mode, enum=list(BUILD_MODES))], ...],
    MinLen(1),
    OneOrList(),
    Field(description="build modes; default is what Go takes without the flag"),
]


@dataclass(frozen=True, kw_only=True)
class AxesHead(Strict):
    """What a group takes where it does not name an axis itself."""

    targets: Targets
    go: GoValues
    CGO_ENABLED: CgoValues = ("0",)
    cc: CcValues = ("none",)
    buildmode: ModeValues = ("default",)


@dataclass(frozen=True, kw_only=True)
class GroupHead(Strict):
    """One product of axes; an axis that is not named is that of axes."""

    targets: Targets | None = None
    go: GoValues | None = None
    CGO_ENABLED: CgoValues | None = None
    cc: CcValues | None = None
    buildmode: ModeValues | None = None


@dataclass(frozen=True, kw_only=True)
class PresetHead(Strict):
    """A named choice of cells: the union of its groups."""

    what: Annotated[Prose, Field(description="what it is for, and how long it takes")]
    cells: Annotated[
        tuple[GroupHead, ...], MinLen(1), OneOrList(), Field(description="a group or several")
    ]


@dataclass(frozen=True, kw_only=True)
class ExcludeHead(Strict):
    """Cells that are not to be, and why; every one that is dropped is counted."""

    when: Annotated[When, AfterValidator(_no_host), Field(description="the cells left out")]
    reason: Annotated[Sentence, Field(description="why; the summary prints it")]


@dataclass(frozen=True, kw_only=True)
class MatrixFile(Strict):
    """The matrix: axes, excludes, presets."""

    axes: AxesHead
    presets: Annotated[
        dict[Word, PresetHead], Field(min_length=1, description="choices by their names")
    ]
    exclude: tuple[ExcludeHead, ...] = ()
