"""The versioned results file: JSON Lines, one record of the run, one per item, one of the end.

docs/results.md tells its readers what every field means.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Final

from pydantic import Field, TypeAdapter, ValidationError

from crossmatrix.case import HostPort
from crossmatrix.errors import InfrastructureError, InputError
from crossmatrix.records import (
    SCHEMA,
    CellRecord,
    Dropped,
    EndRecord,
    HostRecord,
    ItemRecord,
    Record,
    RunRecord,
    Selection,
    StageSeconds,
    item_record,
)

__all__ = [
    "SCHEMA",
    "CellRecord",
    "Dropped",
    "EndRecord",
    "HostRecord",
    "ItemRecord",
    "Record",
    "Results",
    "RunRecord",
    "Selection",
    "StageSeconds",
    "Writer",
    "dumps",
    "host_record",
    "item_record",
    "json_schema",
    "loads",
    "read",
]

_RECORD: Final[TypeAdapter[Record]] = TypeAdapter(
    Annotated[RunRecord | ItemRecord | EndRecord, Field(discriminator="kind")]
)


@dataclass(frozen=True, kw_only=True)
class Results:
    """A whole file. ``torn`` is the number of a last line that was not written to its end."""

    run: RunRecord
    items: tuple[ItemRecord, ...]
    end: EndRecord | None = None
    torn: int | None = None


def host_record(port: HostPort) -> HostRecord:
    """This machine; it is never named, so that a file can be published."""
    return HostRecord(
        GOOS=port.goos,
        GOARCH=port.goarch,
        kernel=f"{platform.system()} {platform.release()}",
        cpus=len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count() or 1,
        python=platform.python_version(),
    )


def dumps(record: Record) -> str:
    """A record as one line of JSON, without its end of line."""
    data = _RECORD.dump_python(record, mode="json")
    first = {"kind": data.pop("kind")}
    if "schema" in data:
        first["schema"] = data.pop("schema")
    text = json.dumps(first | data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "replace").decode("utf-8")


def loads(
    line: str | bytes, *, file: Path | str | None = None, number: int | None = None
) -> Record:
    """One line back; raises `InputError` with ``file`` and line ``number`` for any other."""
    try:
        record = _RECORD.validate_json(line)
    except ValidationError as error:
        raise _refusal(error, line, file, number) from None
    if isinstance(record, RunRecord) and "schema" not in _mapping(line):
        raise _no_record("run.schema: Field required", file, number)
    return record


def json_schema() -> dict[str, Any]:
    """The JSON Schema of one line, as docs/results.schema.json holds it."""
    schema = _RECORD.json_schema(mode="validation")
    for name in ("RunRecord", "ItemRecord", "EndRecord"):
        schema["$defs"][name]["required"].append("kind")
    schema["$defs"]["RunRecord"]["required"].append("schema")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"One line of a crossmatrix results file, schema {SCHEMA}",
        **schema,
    }


class Writer(AbstractContextManager["Writer"]):
    """Writes a results file as the run goes: each record is in the file when its call returns.

    One process writes. A regular file of the same name is replaced at the start, in one step:
    whoever still writes or reads the old one keeps it to himself. Opening raises `InputError`,
    writing `InfrastructureError`; what could not be written whole is taken back.
    """

    def __init__(self, path: Path, run: RunRecord) -> None:
        self.path = path
        self._size = 0
        self._fd = self._open(run)

    def item(self, record: ItemRecord) -> None:
        self._write(record)

    def end(self, *, exit: int, seconds: float, interrupted: bool = False) -> None:
        self._write(EndRecord(exit=exit, seconds=round(seconds, 3), interrupted=interrupted))

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self, run: RunRecord) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        try:
            real = self.path.resolve()
            real.parent.mkdir(parents=True, exist_ok=True)
            if real.exists() and not real.is_file():
                self._fd = os.open(real, flags)
                self._write(run)
                return self._fd
            new = real.with_name(f".{real.name}.{os.getpid()}")
            self._fd = os.open(new, flags | os.O_TRUNC, 0o666)
            try:
                self._write(run)
                new.replace(real)
            except BaseException:
                new.unlink(missing_ok=True)
                self.close()
                raise
        except OSError as error:
            raise InputError(
                f"cannot write the results here: {error.strerror}",
                file=self.path,
                hint="name another file with --results",
            ) from error
        return self._fd

    def _write(self, record: Record) -> None:
        line = (dumps(record) + "\n").encode()
        done = 0
        try:
            while done < len(line):
                done += os.write(self._fd, line[done:])
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._fd, self._size)
            raise InfrastructureError(
                f"{self.path}: cannot write the results: {error.strerror}",
                hint="make room there, or name another file with --results",
            ) from error
        self._size += len(line)


def read(path: Path) -> Results:
    """Read a results file, that of an interrupted run too.

    Of several records of one item the last stands. Raises `InputError` with file and line.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot read the results: {error.strerror}",
            file=path,
            hint="`crossmatrix run --results PATH` writes such a file",
        ) from error
    lines = data.split(b"\n")
    rest = lines.pop()
    records = [loads(line, file=path, number=n) for n, line in enumerate(lines, 1)]
    torn = None
    if rest:
        try:
            records.append(loads(rest, file=path, number=len(lines) + 1))
        except InputError:
            torn = len(lines) + 1
    return _assemble(records, torn, path)


def _assemble(records: list[Record], torn: int | None, path: Path) -> Results:
    if not records or not isinstance(records[0], RunRecord):
        raise InputError(
            "a results file begins with a whole record of its run",
            file=path,
            line=1,
            hint="run again: nothing can be told from this file",
        )
    items: dict[str, ItemRecord] = {}
    end = None
    for number, record in enumerate(records[1:], 2):
        if end is not None or isinstance(record, RunRecord):
            raise InputError(
                f"a record of kind {record.kind!r} after the end of the run"
                if end is not None
                else "a second record of a run",
                file=path,
                line=number,
                hint="one file holds one run: split it before this line",
            )
        if isinstance(record, EndRecord):
            end = record
        else:
            items.pop(record.id, None)
            items[record.id] = record
    return Results(run=records[0], items=tuple(items.values()), end=end, torn=torn)


def _refusal(
    error: ValidationError, line: str | bytes, file: Path | str | None, number: int | None
) -> InputError:
    data = _mapping(line)
    schema = data.get("schema")
    if data.get("kind") == "run" and isinstance(schema, int) and schema != SCHEMA:
        versions = data.get("versions")
        writer = versions.get("crossmatrix") if isinstance(versions, Mapping) else None
        return InputError(
            f"schema {schema} of the results file, where this crossmatrix reads schema {SCHEMA}",
            file=file,
            line=number,
            hint=f"read it with crossmatrix {writer or 'of the version'} that wrote it",
        )
    first = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return _no_record(f"{place + ': ' if place else ''}{first['msg']}", file, number)


def _no_record(why: str, file: Path | str | None, number: int | None) -> InputError:
    return InputError(
        f"no record of a results file: {why}",
        file=file,
        line=number,
        hint="docs/results.schema.json says what a line holds; do not edit the file by hand",
    )


def _mapping(line: str | bytes) -> dict[str, Any]:
    with suppress(ValueError, RecursionError):
        data = json.loads(line)
        if isinstance(data, dict):
            return data
    return {}
