"""Read a case: one .txtar, or a folder of the same shape with its head in case.yaml.

Whatever is wrong with it is an `InputError` with file and line, before anything runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

from crossmatrix import caseschema as schema
from crossmatrix import strict_yaml as yaml
from crossmatrix import txtar
from crossmatrix.case import Build, Case, Condition, Expect, Overlay, Remedy, Run, Trap
from crossmatrix.casechecks import REMEDY_FOLDER, check, check_program, faults, universe
from crossmatrix.errors import InputError
from crossmatrix.observation import Stage

__all__ = [
    "HEAD_NAME",
    "check",
    "from_archive",
    "from_mapping",
    "load",
    "parse",
    "read_bytes",
    "read_folder",
    "universe",
]

HEAD_NAME: Final = "case.yaml"
MAX_BYTES: Final = 4 << 20
MAX_FILES: Final = 500


def load(path: Path, *, root: Path) -> Case:
    """The case at ``path``: a .txtar, a folder, or a folder's case.yaml; named from ``root``.

    Raises `InputError` for whatever docs/case-format.md refuses, and where it cannot be read.
    """
    if path.is_dir():
        path = path / HEAD_NAME
    archive = read_folder(path.parent) if path.name == HEAD_NAME else parse(read_bytes(path), path)
    try:
        name = path.relative_to(root).as_posix()
    except ValueError:
        name = path.name
    return from_archive(archive, path=path, name=name)


def parse(data: bytes, path: Path) -> txtar.Archive:
    """The bytes of a .txtar as an archive with safe names; raises `InputError`."""
    archive = txtar.parse(data)
    if b"\r\n" in archive.comment:
        raise InputError(
            "line ends in CR LF", file=path, line=1, hint="convert the file to plain newlines"
        )
    _check_files(archive, path)
    return archive


def from_archive(archive: txtar.Archive, *, path: Path, name: str) -> Case:
    """The case in an archive whose comment is the head; ``path`` is for the errors."""
    try:
        text = archive.comment.decode()
    except UnicodeDecodeError as error:
        line = archive.comment.count(b"\n", 0, error.start) + 1
        raise InputError(
            "the head is no UTF-8", file=path, line=line, hint="save the file as UTF-8"
        ) from None
    node = yaml.load(text, path)
    program = {f.name: f.data for f in archive.files if not f.name.startswith(REMEDY_FOLDER)}
    remedy = {
        f.name.removeprefix(REMEDY_FOLDER): f.data
        for f in archive.files
        if f.name.startswith(REMEDY_FOLDER)
    }
    case = _case(node, path, name, files=program, remedy_files=remedy)
    check_program(case, node, archive)
    return case


def from_mapping(head: Mapping[str, Any], *, path: Path, name: str, line: int = 0) -> Case:
    """The case that a pytest marker describes with the keys of a head; it has no files.

    ``line`` is where the marker stands. Raises `InputError`.
    """
    node = yaml.from_plain(head, file=path, line=line)
    return _case(node, path, name, files={}, remedy_files={})


def read_bytes(path: Path) -> bytes:
    """A file of a case, of bounded size; raises `InputError`."""
    try:
        if not path.is_file():
            raise InputError("no such case", file=path, hint="name a .txtar or a folder of a case")
        if path.stat().st_size > MAX_BYTES:
            raise InputError(
                f"larger than {MAX_BYTES >> 20} MiB", file=path, hint="a case is a small program"
            )
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror}", file=path, hint="check its permissions"
        ) from None


def read_folder(folder: Path) -> txtar.Archive:
    """A case's folder as an archive, its files sorted by name; raises `InputError`."""
    head = read_bytes(folder / HEAD_NAME)
    files: list[txtar.File] = []
    total = len(head)
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise InputError(
                "neither a file nor a folder", file=path, hint="a case holds plain files only"
            )
        if path.is_dir() or path == folder / HEAD_NAME:
            continue
        data = read_bytes(path)
        total += len(data)
        if total > MAX_BYTES or len(files) >= MAX_FILES:
            raise InputError(
                f"more than {MAX_FILES} files or {MAX_BYTES >> 20} MiB",
                file=folder,
                hint="a case is a small program",
            )
        files.append(txtar.File(name=path.relative_to(folder).as_posix(), data=data))
    archive = txtar.Archive(comment=head, files=tuple(files))
    _check_files(archive, folder / HEAD_NAME)
    return archive


def _check_files(archive: txtar.Archive, path: Path) -> None:
    if len(archive.files) > MAX_FILES:
        raise InputError(
            f"more than {MAX_FILES} files", file=path, hint="a case is a small program"
        )
    txtar.check_names(archive.files, path)
    for file in archive.files:
        bare = file.name.removeprefix(REMEDY_FOLDER)
        if bare == HEAD_NAME or file.name.lower() == "remedy" or bare.startswith(REMEDY_FOLDER):
            raise InputError(
                f"unknown archive name {file.name!r}",
                file=path,
                line=file.line or None,
                hint="the head stands before the first file; a remedy's files stand under remedy/",
            )


def _case(
    node: yaml.Node,
    path: Path,
    name: str,
    *,
    files: Mapping[str, bytes],
    remedy_files: Mapping[str, bytes],
) -> Case:
    head = yaml.validate(node, schema.adapter(), path)
    case = Case(
        path=path,
        name=name,
        title=head.title,
        why=(head.why or "").strip(),
        refs=head.refs,
        claims=head.claims,
        cells=_condition(head.cells, node, "cells"),
        each=tuple(_overlay(variant, node, "each", n) for n, variant in enumerate(head.each or ())),
        needs=head.needs,
        base=_base(head, node),
        expect=tuple(_expect(item, node, n) for n, item in enumerate(head.expect)),
        traps=tuple(_trap(item, node, n) for n, item in enumerate(head.traps)),
        remedies=tuple(_remedy(item, node, n) for n, item in enumerate(head.remedy)),
        files=files,
        remedy_files=remedy_files,
        head=yaml.plain(node),
    )
    for line, what, hint in sorted(faults(case, node), key=itemgetter(0)):
        raise InputError(what, file=path, line=line or None, hint=hint)
    return case


def _condition(when: schema.When | None, node: yaml.Node, *place: str | int) -> Condition:
    return Condition() if when is None else when.condition(yaml.line_of(node, place))


def _base(head: schema.Head, node: yaml.Node) -> Overlay:
    return _overlay(schema.VariantHead(build=head.build, run=head.run), node)


def _overlay(
    item: schema.VariantHead | schema.RemedyHead, node: yaml.Node, *place: str | int
) -> Overlay:
    def line(key: str) -> int:
        return yaml.line_of(node, (*place, key))

    return Overlay(
        build=_build(item.build, line("build")),
        run=Run() if item.run is None else _run(item.run, line("run")),
        skip_run=item.run is None,
        remove=item.remove,
    )


def _build(item: schema.BuildHead, line: int) -> Build:
    output, exact = item.output or (None, False)
    return Build(
        env=tuple(item.env.items()),
        unset=item.unset,
        args=item.args,
        package=item.package,
        buildmode=item.buildmode,
        steps=item.steps,
        output=output,
        output_exact=exact,
        cc=item.cc,
        tools=item.tools,
        modules=item.modules,
        line=0 if item == schema.BuildHead(env={}) else line,
    )


def _run(item: schema.RunHead, line: int) -> Run:
    limits = item.limits or schema.LimitsHead()
    named = (("pids", limits.pids), ("memory", limits.memory), ("nofile", limits.nofile))
    return Run(
        env=tuple(item.env.items()),
        unset=item.unset,
        args=item.args,
        stdin=item.stdin,
        files=item.files,
        dirs=item.dirs,
        argv=item.argv,
        runner=item.runner,
        runner_args=item.runner_args,
        cpu=item.cpu,
        sysroot=item.sysroot,
        root=item.root,
        root_files=item.root_files,
        timeout=item.timeout,
        limits=tuple((key, number) for key, number in named if number is not None),
        line=0 if item == schema.RunHead(env={}) else line,
    )


def _expect(item: schema.ExpectHead, node: yaml.Node, number: int) -> Expect:
    return Expect(
        when=_condition(item.when, node, "expect", number, "when"),
        exit=item.exit,
        stdout=item.stdout,
        stderr=item.stderr,
        build=item.build,
        facts=item.facts or (),
        no_facts=item.facts is None,
        line=yaml.line_of(node, ("expect", number)),
    )


def _trap(item: schema.TrapHead, node: yaml.Node, number: int) -> Trap:
    return Trap(
        when=_condition(item.when, node, "traps", number, "when"),
        stage=Stage(item.stage),
        signature=item.signature,
        exit=item.exit,
        line=yaml.line_of(node, ("traps", number)),
    )


def _remedy(item: schema.RemedyHead, node: yaml.Node, number: int) -> Remedy:
    single = isinstance(node, yaml.Table) and isinstance(node.get("remedy"), yaml.Table)
    place: tuple[str | int, ...] = ("remedy",) if single else ("remedy", number)
    return Remedy(
        what=(item.what or "").strip(),
        none=(item.none or "").strip(),
        when=_condition(item.when, node, *place, "when"),
        overlay=_overlay(item, node, *place),
        line=yaml.line_of(node, place),
    )
