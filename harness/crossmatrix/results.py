"""The versioned results file: JSON Lines, one record of the run, one per item, one of the end.

docs/results.md tells its readers what every field means.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, ClassVar, Final, Literal, cast

from pydantic import AwareDatetime, ConfigDict, Field, PlainSerializer, TypeAdapter, ValidationError

from crossmatrix.case import HostPort, Role
from crossmatrix.cell import Cell
from crossmatrix.errors import InfrastructureError, InputError
from crossmatrix.observation import Observation, Stage
from crossmatrix.targets import ARCHES
from crossmatrix.verdict import Outcome, Verdict

SCHEMA: Final = 1

_Seconds = Annotated[float, Field(ge=0)]


class _Strict:
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, kw_only=True)
class HostRecord(_Strict):
    """The machine that builds, in Go's words; ``cpus`` are those that this process may use."""

    GOOS: str
    GOARCH: str
    kernel: str
    cpus: int
    python: str


@dataclass(frozen=True, kw_only=True)
class Selection(_Strict):
    """What was asked for: the selectors, the Go versions, the paths. Empty means all of them."""

    cells: tuple[str, ...] = ()
    go: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Dropped(_Strict):
    """How many cells of the matrix were left out of the run for one reason."""

    reason: str
    count: Annotated[int, Field(ge=1)]


@dataclass(frozen=True, kw_only=True)
class CellRecord(_Strict):
    """A cell under Go's own names; of the variables for levels only that of its GOARCH is there.

    ``go`` is the version as the matrix spells it, ``go_version`` the full one.
    """

    GOOS: str
    GOARCH: str
    CGO_ENABLED: Literal["0", "1"]
    cc: str
    buildmode: str
    go: str
    go_version: str
    GO386: str | None = None
    GOAMD64: str | None = None
    GOARM: str | None = None
    GOARM64: str | None = None
    GOMIPS: str | None = None
    GOMIPS64: str | None = None
    GOPPC64: str | None = None
    GORISCV64: str | None = None
    GOWASM: str | None = None

    @classmethod
    def of(cls, cell: Cell) -> CellRecord:
        variables = cast("dict[str, Any]", cell.env())
        return cls(
            **variables,
            cc=cell.cc,
            buildmode=cell.buildmode,
            go=cell.go,
            go_version=cell.go_version,
        )

    @property
    def named(self) -> dict[str, str]:
        """The fields that are there, by name."""
        values = ((f.name, getattr(self, f.name)) for f in fields(self))
        return {name: value for name, value in values if value is not None}

    @property
    def target(self) -> str:
        """``GOOS/GOARCH[/variant]``, the default level left out."""
        arch = ARCHES.get(self.GOARCH)
        level = getattr(self, arch.variable) if arch is not None and arch.variable else None
        known = arch is not None and level not in (None, arch.default)
        return "/".join([self.GOOS, self.GOARCH, *([str(level)] if known else [])])


@dataclass(frozen=True, kw_only=True)
class StageSeconds(_Strict):
    """Wall time of each stage; None where it was not reached."""

    build: _Seconds | None = None
    inspect: _Seconds | None = None
    run: _Seconds | None = None

    @property
    def total(self) -> float:
        return sum(value for value in (self.build, self.inspect, self.run) if value is not None)


@dataclass(frozen=True, kw_only=True)
class RunRecord(_Strict):
    """The first line: what ran, where, with which tools."""

    id: str
    started: AwareDatetime
    versions: dict[str, str]
    engine: str
    preset: str | None
    host: HostRecord
    selection: Selection
    schema: Literal[1]
    dropped: tuple[Dropped, ...] = ()
    kind: Literal["run"] = "run"


@dataclass(frozen=True, kw_only=True)
class ItemRecord(_Strict):
    """One item. ``executed`` names the runner by which the artifact really ran, or is None."""

    id: str
    case: str
    role: Role
    cell: Annotated[CellRecord, PlainSerializer(lambda cell: cell.named)]
    engine: str
    verdict: Outcome
    stage: Stage | None
    reason: str
    executed: str | None
    seconds: StageSeconds
    digest: str
    worker: str
    kind: Literal["item"] = "item"


@dataclass(frozen=True, kw_only=True)
class EndRecord(_Strict):
    """The last line; a file without one is of a run that was killed, or that still goes."""

    exit: int
    seconds: _Seconds
    interrupted: bool
    kind: Literal["end"] = "end"


Record = RunRecord | ItemRecord | EndRecord

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


def item_record(
    *,
    id: str,
    case: str,
    role: Role,
    cell: Cell,
    engine: str,
    verdict: Verdict,
    observation: Observation | None = None,
    digest: str = "",
    worker: str = "main",
) -> ItemRecord:
    """The record of an item; ``observation`` is None where nothing could be observed."""
    observation = observation or Observation()
    return ItemRecord(
        id=id,
        case=case,
        role=role,
        cell=CellRecord.of(cell),
        engine=engine,
        verdict=verdict.outcome,
        stage=verdict.stage,
        reason=verdict.reason,
        executed=observation.executed,
        seconds=StageSeconds(
            **{seen.stage.value: round(max(seen.seconds, 0.0), 3) for seen in observation.stages}
        ),
        digest=digest,
        worker=worker,
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
        return _RECORD.validate_json(line)
    except ValidationError as error:
        raise _refusal(error, line, file, number) from None


def json_schema() -> dict[str, Any]:
    """The JSON Schema of one line, as docs/results.schema.json holds it."""
    schema = _RECORD.json_schema(mode="validation")
    for name in ("RunRecord", "ItemRecord", "EndRecord"):
        schema["$defs"][name]["required"].append("kind")
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
    return InputError(
        f"no record of a results file: {place + ': ' if place else ''}{first['msg']}",
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
