"""YAML as strings with line numbers; nothing is guessed, what could surprise is refused.

Every scalar stays as it is written: ``386``, ``1.20``, ``off``, ``~``; no value at all is the empty
text. Duplicate keys, anchors, aliases, tags, merge keys, directives and further documents are
refused. The tree is built from pyyaml's events: depth is a number here and no recursion there.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Final, TypeAlias, TypeVar

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError, model_validator
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import ErrorDetails, PydanticCustomError, core_schema

from crossmatrix.errors import InputError

MAX_BYTES: Final = 256 << 10
MAX_DEPTH: Final = 32

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Scalar:
    """A text exactly as written. ``line`` counts from 1."""

    text: str
    line: int


@dataclass(frozen=True, kw_only=True)
class Sequence:
    """A list. ``line`` is where it starts."""

    items: tuple[Node, ...]
    line: int


@dataclass(frozen=True, kw_only=True)
class Table:
    """A mapping in the order of the file. ``line`` is where it starts."""

    entries: tuple[tuple[Scalar, Node], ...]
    line: int

    def get(self, key: str) -> Node | None:
        return next((value for name, value in self.entries if name.text == key), None)

    def key_line(self, key: str) -> int:
        """The line on which a key stands, else the line of the mapping."""
        return next((name.line for name, _ in self.entries if name.text == key), self.line)


Node: TypeAlias = Scalar | Sequence | Table
Place: TypeAlias = "Path | str | None"


def load(text: str, file: Place) -> Node:
    """Parse one document. Raises `InputError` with file and line on anything else."""
    if len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        raise InputError(
            f"YAML larger than {MAX_BYTES >> 10} KiB", file=file, hint="move data into files"
        )
    try:
        return _tree(yaml.parse(text, Loader=yaml.SafeLoader), file)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = ", ".join(part for part in (error.context, error.problem) if part)
        raise InputError(
            f"no valid YAML: {what}",
            file=file,
            line=mark.line + 1 if mark else None,
            hint="quote a text that holds any of : # { } [ ] & * ! | > % @ or starts with a quote",
        ) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise InputError(
            f"no valid YAML: character #x{ord(text[error.position]):04x} is not allowed",
            file=file,
            line=line,
            hint='write it as an escape in a double-quoted text: "\\t"',
        ) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise InputError(f"no valid YAML: {error}", file=file, hint="correct it") from None


@dataclass
class _Open:
    """A collection that is still being read."""

    line: int
    table: bool
    items: list[Node]


def _tree(events: Iterable[yaml.Event], file: Place) -> Node:
    stack = [_Open(line=1, table=False, items=[])]
    for event in events:
        mark = event.start_mark
        line = mark.line + 1 if mark else 1
        _refuse(event, line, file)
        if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            table = isinstance(event, yaml.MappingStartEvent)
            stack.append(_Open(line=line, table=table, items=[]))
            if len(stack) > MAX_DEPTH:
                raise InputError(
                    f"nested deeper than {MAX_DEPTH} levels",
                    file=file,
                    line=line,
                    hint="flatten it",
                )
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            done = stack.pop()
            stack[-1].items.append(_close(done, file))
        elif isinstance(event, yaml.ScalarEvent):
            stack[-1].items.append(Scalar(text=event.value, line=line))
        elif isinstance(event, yaml.DocumentStartEvent) and stack[0].items:
            raise InputError(
                "a second YAML document", file=file, line=line, hint="keep one, without ---"
            )
    return stack[0].items[0] if stack[0].items else Table(entries=(), line=1)


def _refuse(event: yaml.Event, line: int, file: Place) -> None:
    reason = ""
    if isinstance(event, yaml.AliasEvent):
        reason = "an alias (*name)"
    elif getattr(event, "anchor", None) is not None:
        reason = "an anchor (&name)"
    elif getattr(event, "tag", None) is not None:
        reason = "a tag (!name)"
    elif isinstance(event, yaml.DocumentStartEvent) and (event.version or event.tags):
        reason = "a directive (%NAME)"
    if reason:
        raise InputError(
            f"{reason} is not accepted here",
            file=file,
            line=line,
            hint="write the value out; put it in quotes where it is meant as text",
        )
    if isinstance(event, yaml.ScalarEvent):
        bad = next((c for c in event.value if c == "\0" or "\ud800" <= c <= "\udfff"), None)
        if bad is not None:
            raise InputError(
                f"character #x{ord(bad):04x} in a text",
                file=file,
                line=line,
                hint="no argument, variable or file name can hold it",
            )


def _close(done: _Open, file: Place) -> Node:
    if not done.table:
        return Sequence(items=tuple(done.items), line=done.line)
    entries: list[tuple[Scalar, Node]] = []
    seen: dict[str, int] = {}
    for key, value in zip(done.items[::2], done.items[1::2], strict=True):
        if not isinstance(key, Scalar):
            raise InputError("a key that is no text", file=file, line=key.line, hint="quote it")
        if key.text == "<<":
            raise InputError(
                "a merge key (<<) is not accepted here",
                file=file,
                line=key.line,
                hint="write the keys out",
            )
        if key.text in seen:
            raise InputError(
                f"duplicate key {key.text!r}, first on line {seen[key.text]}",
                file=file,
                line=key.line,
                hint="keep one of them",
            )
        seen[key.text] = key.line
        entries.append((key, value))
    return Table(entries=tuple(entries), line=done.line)


def plain(node: Node) -> Any:
    """The same as dicts, lists and strings."""
    if isinstance(node, Scalar):
        return node.text
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return {key.text: plain(value) for key, value in node.entries}


def from_plain(value: object, *, file: Place, line: int) -> Node:
    """A tree out of Python values, all on one line. Whole numbers and truth values become text.

    A float is refused: nobody can tell ``1.2`` from ``1.20`` any more.
    """
    if isinstance(value, str):
        return Scalar(text=value, line=line)
    if isinstance(value, bool):
        return Scalar(text=str(value).lower(), line=line)
    if isinstance(value, int):
        return Scalar(text=str(value), line=line)
    if isinstance(value, Mapping):
        entries = ((str(k), from_plain(v, file=file, line=line)) for k, v in value.items())
        return Table(entries=tuple((Scalar(text=k, line=line), v) for k, v in entries), line=line)
    if isinstance(value, list | tuple):
        items = tuple(from_plain(item, file=file, line=line) for item in value)
        return Sequence(items=items, line=line)
    raise InputError(
        f"a value of type {type(value).__name__}: {value!r}",
        file=file,
        line=line,
        hint="write it as a string, as it would stand in a case file",
    )


def line_of(node: Node, place: Iterable[int | str]) -> int:
    """The line of the innermost node on the way to a place; steps that lead nowhere are passed."""
    line = node.line
    for step in place:
        if isinstance(node, Table) and isinstance(step, str):
            line = node.key_line(step) if node.get(step) is not None else line
            node = node.get(step) or node
        elif isinstance(node, Sequence) and isinstance(step, int) and step < len(node.items):
            node = node.items[step]
            line = node.line
    return line


def nearest(word: str, known: Iterable[str]) -> str:
    """``did you mean X?``, or the known words where none is near."""
    names = list(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if not close:
        close = [name for name in names if name.lower() == word.lower()]
    return f"did you mean {close[0]}?" if close else f"known are: {', '.join(names)}"


def problem(what: str, *, hint: str = "", at: tuple[str | int, ...] = ()) -> PydanticCustomError:
    """What a validator raises; ``at`` leads on from the value to the place of the fault."""
    return PydanticCustomError("crossmatrix", "{what}", {"what": what, "hint": hint, "at": at})


@dataclass(frozen=True, kw_only=True)
class Strict:
    """A mapping of a file: keys that it does not know are refused with the nearest one."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _known(cls, value: object) -> object:
        if not isinstance(value, dict):
            raise problem(f"want a mapping, got {_kind(value)}")
        names = [field.name for field in fields(cls)]
        for key in value:
            if key not in names:
                raise problem(f"unknown key {key!r}", hint=nearest(key, names), at=(key,))
        return value


def validate(node: Node, adapter: TypeAdapter[T], file: Place) -> T:
    """The node as a value of the adapter's type, or `InputError` for its first fault."""
    try:
        return adapter.validate_python(plain(node))
    except ValidationError as error:
        faults = sorted(_faults(node, error), key=lambda fault: fault[0])
        line, what, hint = faults[0]
        raise InputError(what, file=file, line=line, hint=hint) from None


def _faults(node: Node, error: ValidationError) -> Iterator[tuple[int, str, str]]:
    for detail in error.errors(include_url=False):
        if detail["type"] == "too_short" and detail["input"]:
            continue  # pydantic does not count the items that it has already found at fault
        context = detail.get("ctx", {})
        place = (*detail["loc"], *context.get("at", ()))
        what, hint = _explain(detail, _keys(node, detail))
        yield line_of(node, place), what, hint or "docs/ has the schema of this file"


def _keys(node: Node, detail: ErrorDetails) -> list[str]:
    """The keys on the way to a fault; pydantic's places hold names of its own among them."""
    keys: list[str] = []
    for step in detail["loc"]:
        if isinstance(node, Table) and isinstance(step, str) and node.get(step) is not None:
            keys.append(step)
            node = node.get(step) or node
        elif isinstance(node, Sequence) and isinstance(step, int) and step < len(node.items):
            node = node.items[step]
    return [*keys, str(detail["loc"][-1])] if detail["type"] == "missing" else keys


def _explain(detail: ErrorDetails, keys: list[str]) -> tuple[str, str]:
    key = ".".join(keys)
    where = f"{key}: " if keys else ""
    kind = _kind(detail["input"])
    match detail["type"]:
        case "crossmatrix":
            return where + detail["ctx"]["what"], detail["ctx"]["hint"]
        case "missing":
            return f"{key} is missing", "add it"
        case "string_type":
            return f"{where}want a text, got {kind}", "write one value"
        case "tuple_type" | "list_type":
            return f"{where}want a list, got {kind}", "write it as [a, b] or with dashes"
        case "dict_type":
            return f"{where}want a mapping, got {kind}", "write it as {key: value}"
        case "too_short":
            return f"{where}an empty list", "name at least one, or leave the key out"
        case "literal_error":
            return f"{where}{detail['input']!r} is none of {detail['ctx']['expected']}", "take one"
        case _:
            return where + detail["msg"], "correct it"


def _kind(value: object) -> str:
    if isinstance(value, dict):
        return "a mapping"
    return "a list" if isinstance(value, list | tuple) else f"the text {value!r}"


class _Schema(GenerateJsonSchema):
    """A key that may be absent is not one that may be null: YAML's null is a text here."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


def json_schema(adapter: TypeAdapter[Any], title: str) -> str:
    """The JSON Schema of a file, as text that ends in a newline."""
    made = adapter.json_schema(schema_generator=_Schema)
    whole = {"$schema": _Schema.schema_dialect, **made, "title": title}
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"
