"""The kinds of value that a case head or matrix.yaml holds: how each is read, refused, described.

Every value comes from `crossmatrix.strict_yaml` as a text, a list or a mapping. The JSON Schemas
allow what an editor's own YAML makes of such a text (386 a number, off a truth value).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import AfterValidator, GetCoreSchemaHandler, GetJsonSchemaHandler, PlainValidator
from pydantic import WithJsonSchema as Described
from pydantic_core import CoreSchema, core_schema

from crossmatrix.case import Match
from crossmatrix.cell import GoVersion
from crossmatrix.errors import InputError
from crossmatrix.strict_yaml import nearest, problem
from crossmatrix.targets import ARCHES, TARGETS
from crossmatrix.txtar import unsafe_name

STDIN_LIMIT: Final = 64 << 10
BUILD_MODES: Final = (
    "default", "archive", "c-archive", "c-shared", "exe", "pie", "plugin", "shared",
)  # fmt: skip
CC_PATTERN: Final = (
    r"none|host-gcc|gcc-cross|mingw|musl-gcc|zig(:(gnu|musl)(\.[0-9]+(\.[0-9]+)*)?)?"
)
TEXT_SCHEMA: Final[dict[str, Any]] = {"type": ["string", "number", "boolean", "null"]}
TEXTS_SCHEMA: Final[dict[str, Any]] = {"type": "array", "items": TEXT_SCHEMA}
_GOOS: Final = tuple(sorted({row.goos for row in TARGETS.values()}))


def a_text(value: object) -> str:
    if not isinstance(value, str):
        raise problem(f"want a text, got a {'mapping' if isinstance(value, dict) else 'list'}")
    return value


def some_texts(value: object) -> tuple[str, ...]:
    """A text or a list of texts, at least one."""
    items = value if isinstance(value, list) else [value]
    if not items:
        raise problem("an empty list", hint="name at least one value")
    if any(not isinstance(item, str) for item in items):
        raise problem("want a text or a list of texts")
    return tuple(items)


def _shaped(pattern: str, hint: str) -> Callable[[object], str]:
    shape = re.compile(pattern)

    def check(value: object) -> str:
        text = a_text(value)
        if not shape.fullmatch(text):
            raise problem(f"{text!r} is not possible here", hint=hint)
        return text

    return check


def one_of(*names: str) -> Callable[[object], str]:
    """A validator that takes these names only."""

    def check(value: object) -> str:
        text = a_text(value)
        if text not in names:
            raise problem(f"{text!r} is not possible here", hint=nearest(text, names))
        return text

    return check


def _whole(low: int, high: int) -> Callable[[object], int]:
    def check(value: object) -> int:
        text = a_text(value)
        number = int(text) if re.fullmatch("[0-9]{1,12}", text) else -1
        if not low <= number <= high:
            raise problem(f"{text!r} is no whole number from {low} to {high}", hint="correct it")
        return number

    return check


def _seconds(value: object) -> float:
    text = a_text(value)
    number = float(text) if re.fullmatch(r"[0-9]{1,5}(\.[0-9]{1,3})?", text) else 0.0
    if not 0 < number <= 3600:
        raise problem(
            f"{text!r} is no number of seconds", hint="write a number above 0, up to 3600: 10, 0.5"
        )
    return number


def _bytes(value: object) -> int:
    text = a_text(value)
    match = re.fullmatch("([0-9]{1,12})([kmg]?)", text)
    number = int(match[1]) << {"": 0, "k": 10, "m": 20, "g": 30}[match[2]] if match else 0
    if not 0 < number < 1 << 40:
        raise problem(f"{text!r} is no size", hint="write bytes, or 64k, 64m, 1g (powers of 1024)")
    return number


def _yes_no(value: object) -> bool:
    return one_of("true", "false")(value) == "true"


def _sentence(value: object) -> str:
    text = a_text(value)
    if not text.strip() or "\n" in text.strip():
        raise problem("want one line of text", hint="write one sentence")
    return text.strip()


def _prose(value: object) -> str:
    text = a_text(value)
    if not text.strip():
        raise problem("want some text", hint="say it in a sentence or more")
    return text


def _ref(value: object) -> str:
    text = a_text(value)
    if not re.match(r"https?://[^\s/]+|found here: *\S", text):
        raise problem(
            f"{text!r} is no public source", hint="give a URL, or 'found here: …' where none is"
        )
    return text


def _file_name(value: object) -> str:
    text = a_text(value)
    reason = unsafe_name(text)
    if reason or not text:
        raise problem(f"file name {text!r} {reason}", hint="give a path below the work folder")
    return text


def _output(value: object) -> tuple[str, bool]:
    """The artifact's name, and whether it is exact."""
    if not isinstance(value, dict):
        return _file_name(value), False
    for key in value:
        if key != "exact":
            raise problem(f"unknown key {key!r}", hint=nearest(key, ("exact",)), at=(key,))
    return _file_name(value.get("exact", "")), True


def _stdin(value: object) -> str:
    text = a_text(value)
    if len(text.encode()) > STDIN_LIMIT:
        raise problem(
            f"stdin larger than {STDIN_LIMIT >> 10} KiB", hint="read it from a file of the case"
        )
    return text


def _version(value: object) -> str:
    text = a_text(value)
    try:
        GoVersion(text).key  # noqa: B018
    except InputError as error:
        raise problem(error.what, hint=error.hint) from None
    return text


def regex(value: object) -> str:
    """A regular expression that compiles, multi-line, without a warning."""
    text = a_text(value)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            re.compile(text, re.MULTILINE)
    except (re.error, RecursionError, OverflowError, Warning) as error:
        raise problem(
            f"no valid regular expression: {error}", hint="escape what is meant literally"
        ) from None
    return text


def _signature(value: object) -> str:
    text = regex(value)
    found = re.compile(text, re.MULTILINE)
    hint = "quote the words that only this failure prints"
    if found.search(""):
        raise problem(f"signature {text!r} matches the empty string", hint=hint)
    if all(found.search(probe) for probe in ("a", "Z", "0", " ", "/", "[", "é")):
        raise problem(f"signature {text!r} matches any text", hint=hint)
    return text


def _match(check: Callable[[object], str]) -> Callable[[object], Match]:
    def read(value: object) -> Match:
        negated = isinstance(value, dict)
        if isinstance(value, dict):
            if list(value) != ["not"]:
                raise problem("want {not: …} and nothing else in it", hint="or a value, or a list")
            value = value["not"]
        return Match(values=tuple(check(item) for item in some_texts(value)), negated=negated)

    return read


def matching(check: Callable[[object], str], **schema: Any) -> Any:
    """One key of a condition: the metadata for ``Annotated[Match, …]``."""
    many = {
        "anyOf": [
            schema or TEXT_SCHEMA,
            {"type": "array", "items": schema or TEXT_SCHEMA, "minItems": 1},
        ]
    }
    negated = {
        "type": "object",
        "properties": {"not": many},
        "required": ["not"],
        "additionalProperties": False,
    }
    return (PlainValidator(_match(check)), Described({"anyOf": [*many["anyOf"], negated]}))


def level(variable: str) -> Callable[[object], str]:
    """A value of GOARM or its kin that Go accepts and means; what it swallows is refused."""
    arches = [arch for arch in ARCHES.values() if arch.variable == variable]

    def check(value: object) -> str:
        text = a_text(value)
        if not any(re.fullmatch(arch.levels, text) for arch in arches):
            raise problem(
                f"{variable}={text} is no level",
                hint=f"Go's levels: {level_names(arches[0].levels)}",
            )
        return text

    return check


def level_names(pattern: str) -> str:
    """A levels pattern as a reader may see it."""
    return pattern.replace("|", " | ").replace("?", " (or without)")


def _build_args(values: tuple[str, ...]) -> tuple[str, ...]:
    for index, text in enumerate(values):
        flag = re.match(r"--?(buildmode|o)(=|\Z)", text)
        if flag:
            key = {"buildmode": "build.buildmode", "o": "build.output"}[flag[1]]
            raise problem(f"{text!r} in args", hint=f"say it with {key}", at=(index,))
    return values


@dataclass(frozen=True)
class OneOrList:
    """A value that may stand alone for a list of one."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(
            lambda value: value if isinstance(value, list) else [value], handler(source)
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        many = handler(schema)
        return {"anyOf": [many["items"], many]}


@dataclass(frozen=True)
class OrFalse:
    """A mapping, or ``false``, which becomes None."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(
            lambda value: None if value == "false" else value, handler(source)
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [handler(schema), {"const": False}]}


def described(read: Callable[[object], Any], **schema: Any) -> Any:
    return (PlainValidator(read), Described(schema or TEXT_SCHEMA))


Text = Annotated[str, *described(a_text)]
Texts = Annotated[
    tuple[str, ...], *described(some_texts, anyOf=[TEXT_SCHEMA, {**TEXTS_SCHEMA, "minItems": 1}])
]
Sentence = Annotated[str, *described(_sentence, type="string", minLength=1)]
Prose = Annotated[str, *described(_prose, type="string", minLength=1)]
Ref = Annotated[str, *described(_ref, type="string", pattern="^(https?://|found here: )")]
Word = Annotated[str, *described(_shaped(r"[A-Za-z0-9][A-Za-z0-9+._-]*", "write a plain name"))]
Variable = Annotated[
    str, *described(_shaped("[A-Za-z_][A-Za-z0-9_]*", "write the name of a variable"))
]
FileName = Annotated[str, *described(_file_name)]
Output = Annotated[
    tuple[str, bool],
    *described(
        _output,
        anyOf=[
            {"type": "string"},
            {
                "type": "object",
                "properties": {"exact": {"type": "string"}},
                "required": ["exact"],
                "additionalProperties": False,
            },
        ],
    ),
]
Stdin = Annotated[str, *described(_stdin)]
ExitStatus = Annotated[int, *described(_whole(0, 255), type="integer", minimum=0, maximum=255)]
Count = Annotated[int, *described(_whole(1, 1 << 30), type="integer", minimum=1)]
Seconds = Annotated[float, *described(_seconds, type="number", exclusiveMinimum=0, maximum=3600)]
Bytes = Annotated[int, *described(_bytes, type=["integer", "string"], pattern="^[0-9]+[kmg]?$")]
YesNo = Annotated[bool, *described(_yes_no, type="boolean")]
Signature = Annotated[str, *described(_signature, type="string", format="regex", minLength=1)]
CcName = Annotated[
    str,
    *described(
        _shaped(CC_PATTERN, "one of none, host-gcc, gcc-cross, mingw, musl-gcc, zig, zig:gnu.2.17"),
        type="string",
        pattern=f"^({CC_PATTERN})$",
    ),
]
BuildMode = Annotated[str, *described(one_of(*BUILD_MODES), enum=list(BUILD_MODES))]
RunnerName = Annotated[
    str,
    *described(
        _shaped(
            r"(native|qemu|wazero|wasmtime|node|wine)(:[0-9]+(\.[0-9]+)*)?",
            "one of native, qemu, wazero, wasmtime, node, wine; a version may follow: qemu:7.2",
        ),
        type="string",
    ),
]
BuildArgs = Annotated[tuple[Text, ...], AfterValidator(_build_args)]
GoosMatch = Annotated[Match, *matching(one_of("native", "foreign", *_GOOS))]
GoarchMatch = Annotated[Match, *matching(one_of("native", "foreign", *ARCHES))]
CgoMatch = Annotated[Match, *matching(one_of("0", "1"), enum=[0, 1, "0", "1"])]
CcMatch = Annotated[
    Match,
    *matching(_shaped(CC_PATTERN, "none, host-gcc, gcc-cross, mingw, musl-gcc, zig, zig:gnu.2.17")),
]
ModeMatch = Annotated[Match, *matching(one_of(*BUILD_MODES), enum=list(BUILD_MODES))]
EachMatch = Annotated[Match, *matching(_shaped("[1-9][0-9]{0,3}", "variants count from 1"))]
Version = Annotated[
    Match, *described(lambda value: Match(values=(_version(value),)), type=["string", "number"])
]
