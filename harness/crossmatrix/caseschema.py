"""The head of a case as it stands in the file: pydantic over plain frozen dataclasses.

Names and meanings are those of docs/case-format.md; the JSON Schema in docs/ is made from here.
`crossmatrix.casefile` turns a validated head into `crossmatrix.case.Case`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cache
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from crossmatrix.case import Condition, Match
from crossmatrix.casefields import (
    BuildArgs,
    BuildMode,
    Bytes,
    CcMatch,
    CcName,
    CgoMatch,
    Count,
    EachMatch,
    ExitStatus,
    FileName,
    GoarchMatch,
    GoosMatch,
    ModeMatch,
    OneOrList,
    OrFalse,
    Output,
    Prose,
    Ref,
    RunnerName,
    Seconds,
    Sentence,
    Signature,
    Stdin,
    Text,
    Variable,
    Version,
    Word,
    YesNo,
    level,
    matching,
)
from crossmatrix.casewanted import FactChecks, TextCheck
from crossmatrix.strict_yaml import Strict

Argv = Annotated[tuple[Text, ...], Field(min_length=1)]


@dataclass(frozen=True, kw_only=True)
class When(Strict):
    """A condition: every key must hold. A value is a text, a list (any of), or {not: …}."""

    GOOS: Annotated[GoosMatch | None, Field(description="GOOS, native or foreign")] = None
    GOARCH: Annotated[GoarchMatch | None, Field(description="GOARCH, native or foreign")] = None
    CGO_ENABLED: Annotated[CgoMatch | None, Field(description="0 or 1")] = None
    GO386: Annotated[Match, *matching(level("GO386"))] | None = None
    GOAMD64: Annotated[Match, *matching(level("GOAMD64"))] | None = None
    GOARM: Annotated[Match, *matching(level("GOARM"))] | None = None
    GOARM64: Annotated[Match, *matching(level("GOARM64"))] | None = None
    GOMIPS: Annotated[Match, *matching(level("GOMIPS"))] | None = None
    GOMIPS64: Annotated[Match, *matching(level("GOMIPS64"))] | None = None
    GOPPC64: Annotated[Match, *matching(level("GOPPC64"))] | None = None
    GORISCV64: Annotated[Match, *matching(level("GORISCV64"))] | None = None
    GOWASM: Annotated[Match, *matching(level("GOWASM"))] | None = None
    cc: Annotated[CcMatch | None, Field(description="the C compiler and libc")] = None
    buildmode: Annotated[ModeMatch | None, Field(description="the build mode")] = None
    each: Annotated[EachMatch | None, Field(description="the number of the variant, from 1")] = None
    since: Annotated[Version | None, Field(description="this Go version and later")] = None
    until: Annotated[Version | None, Field(description="before this Go version")] = None

    def condition(self, line: int) -> Condition:
        """The same as the model knows it."""
        said = ((key.name, getattr(self, key.name)) for key in fields(self))
        return Condition(keys=tuple((k, m) for k, m in said if m is not None), line=line)


@dataclass(frozen=True, kw_only=True)
class BuildHead(Strict):
    """How the program is built; every key is absent, or replaces what it is laid over."""

    env: Annotated[dict[Variable, Text], Field(description="variables laid over the plan's")] = (
        field(default_factory=dict)
    )
    unset: Annotated[tuple[Variable, ...], Field(description="variables taken out")] = ()
    args: Annotated[BuildArgs | None, Field(description="appended to go build")] = None
    package: Annotated[Text | None, Field(description="the package, default .")] = None
    buildmode: Annotated[BuildMode | None, Field(description="the build mode")] = None
    steps: Annotated[
        tuple[Argv, ...] | None, Field(description="argv lists, run instead of go build")
    ] = None
    output: Annotated[Output | None, Field(description="the artifact, or none")] = None
    cc: Annotated[CcName | None, Field(description="overrides the cell's C compiler")] = None
    tools: Annotated[tuple[Word, ...] | None, Field(description="further programs in PATH")] = None
    modules: Annotated[YesNo | None, Field(description="fetch go.mod's modules before")] = None


@dataclass(frozen=True, kw_only=True)
class LimitsHead(Strict):
    """Limits tighter than the harness's own."""

    pids: Annotated[Count | None, Field(description="processes and threads")] = None
    memory: Annotated[Bytes | None, Field(description="bytes, or 64m")] = None
    nofile: Annotated[Count | None, Field(description="open files")] = None


@dataclass(frozen=True, kw_only=True)
class RunHead(Strict):
    """How the artifact is run; every key is absent, or replaces what it is laid over."""

    args: Annotated[tuple[Text, ...] | None, Field(description="the program's arguments")] = None
    env: Annotated[dict[Variable, Text], Field(description="variables added")] = field(
        default_factory=dict
    )
    unset: Annotated[tuple[Variable, ...], Field(description="variables taken out")] = ()
    stdin: Annotated[Stdin | None, Field(description="standard input, at most 64 KiB")] = None
    files: Annotated[
        tuple[FileName, ...] | None, Field(description="what else of the work folder goes along")
    ] = None
    dirs: Annotated[tuple[Text, ...] | None, Field(description="preopened for wasm")] = None
    argv: Annotated[Argv | None, Field(description="instead of the runner's command line")] = None
    runner: Annotated[RunnerName | None, Field(description="where it is not the usual one")] = None
    runner_args: Annotated[tuple[Text, ...] | None, Field(description="the runner's options")] = (
        None
    )
    cpu: Annotated[Word | None, Field(description="the emulator's CPU")] = None
    sysroot: Annotated[
        FileName | None, Field(description="the emulator's library root: cross, or a folder")
    ] = None
    root: Annotated[
        Literal["runner", "scratch", "musl", "glibc", "old-glibc"] | None,
        Field(description="the target root"),
    ] = None
    root_files: Annotated[
        FileName | None, Field(description="a folder of the case laid over the root")
    ] = None
    timeout: Annotated[Seconds | None, Field(description="seconds")] = None
    limits: Annotated[LimitsHead | None, Field(description="tighter limits")] = None


RunOrFalse = Annotated[RunHead | None, OrFalse()]


@dataclass(frozen=True, kw_only=True)
class VariantHead(Strict):
    """One variant: what it lays over the case."""

    build: BuildHead = BuildHead()
    run: RunOrFalse = RunHead()
    remove: Annotated[tuple[FileName, ...], Field(description="files of the case taken away")] = ()


@dataclass(frozen=True, kw_only=True)
class RemedyHead(Strict):
    """What makes the case pass wherever its trap closes, or why nothing does."""

    what: Annotated[Prose | None, Field(description="what a reader is to do")] = None
    none: Annotated[Prose | None, Field(description="why there is no remedy")] = None
    when: Annotated[When | None, Field(description="in a list: the cells it is for")] = None
    build: BuildHead = BuildHead()
    run: RunOrFalse = RunHead()
    remove: Annotated[tuple[FileName, ...], Field(description="files of the case taken away")] = ()


@dataclass(frozen=True, kw_only=True)
class ExpectHead(Strict):
    """What must be true."""

    when: Annotated[When | None, Field(description="in a list: the cells it is for")] = None
    exit: Annotated[ExitStatus | None, Field(description="the program's exit status")] = None
    stdout: Annotated[TextCheck, Field(description="the program's standard output")] = ()
    stderr: Annotated[TextCheck, Field(description="the program's standard error")] = ()
    build: Annotated[TextCheck, Field(description="the build's output")] = ()
    facts: Annotated[FactChecks, Field(description="facts of the artifact; none: no checks")] = ()


@dataclass(frozen=True, kw_only=True)
class TrapHead(Strict):
    """Where the case goes wrong, at which stage, and how."""

    when: Annotated[When, Field(description="the cells in which it closes, every time")]
    stage: Annotated[
        Literal["build", "inspect", "run"],
        Field(description="the first stage that does not go as expected"),
    ]
    signature: Annotated[
        Signature, Field(description="a regular expression, multi-line, searched in its text")
    ]
    exit: Annotated[ExitStatus | None, Field(description="where the status matters")] = None


@dataclass(frozen=True, kw_only=True)
class Head(Strict):
    """The head of a case: one sample program and what must be true of it."""

    title: Annotated[Sentence, Field(description="one sentence: what surprises people")]
    why: Annotated[Prose | None, Field(description="the mechanism, in two to six lines")] = None
    refs: Annotated[tuple[Ref, ...], Field(description="public sources, or 'found here: …'")] = ()
    claims: Annotated[tuple[Word, ...], Field(description="claims that this case settles")] = ()
    cells: Annotated[When | None, Field(description="where the case is collected")] = None
    each: Annotated[
        tuple[VariantHead, ...] | None, Field(description="variants, an item each", min_length=1)
    ] = None
    needs: Annotated[
        tuple[Literal["no-binfmt", "binfmt", "network"], ...],
        Field(description="what the machine must (not) have"),
    ] = ()
    build: Annotated[BuildHead, Field(description="how it is built")] = BuildHead()
    run: Annotated[RunOrFalse, Field(description="how it is run; false: not at all")] = RunHead()
    expect: Annotated[
        tuple[ExpectHead, ...], OneOrList(), Field(description="what must be true")
    ] = ()
    traps: Annotated[tuple[TrapHead, ...], Field(description="where it goes wrong, and how")] = ()
    remedy: Annotated[
        tuple[RemedyHead, ...], OneOrList(), Field(description="what makes it right again")
    ] = ()


@cache
def adapter() -> TypeAdapter[Head]:
    """The validator of a head; built once, at its first use."""
    return TypeAdapter(Head)
