"""What makes writing cases pleasant: a template, folder and archive, formatting, warnings."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from crossmatrix import casefile, matrix, plan, project, txtar
from crossmatrix import headformat as heads
from crossmatrix.case import Case, HostPort
from crossmatrix.cell import Cell
from crossmatrix.errors import InfrastructureError, InputError
from crossmatrix.toolchain import Store, host_port

Report = Callable[[str], None]

FEW: Final = 12
FMT_GO: Final = "1.27"
_NAME: Final = re.compile(r"[a-z0-9]+_[a-z0-9]+(?:[-_][a-z0-9]+)*")
_CONSTRAINT: Final = re.compile(rb"^\s*(//\s*go:build|//\s*\+build)\b.*$|^package\b", re.MULTILINE)

_TEMPLATE: Final = """\
title: {title}
cells: {{GOOS: linux, GOARCH: [amd64, arm64]}}
expect: {{stdout: {{equal: "hello\\n"}}}}
# As it stands, this is a probe: it must pass in its cells. These keys make a pitfall of it, which
# goes wrong where `when` holds, and passes there with the remedy:
# why: |
#   The mechanism, in two to six lines.
# refs: [https://go.dev/issue/1]
# traps:
#   - {{when: {{GOARCH: arm64}}, stage: build, signature: 'the exact words that only this prints'}}
# remedy: {{what: What a reader is to do., build: {{env: {{}}}}}}
-- go.mod --
module example.com/{module}

go 1.21
-- main.go --
package main

import "fmt"

func main() {{
\tfmt.Println("hello")
}}
"""


def new(name: str, folder: Path) -> Path:
    """Write a case from the template, which runs as it is; returns its path.

    ``name`` is ``<category>_<slug>``. Raises `InputError` for another, or where the file exists.
    """
    name = name.removesuffix(".txtar")
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} is no name of a case",
            hint="write <category>_<slug> in a-z, 0-9, - and _, such as cgo_missing-cc",
        )
    slug = name.partition("_")[2]
    text = _TEMPLATE.format(title=f"Say here what surprises people ({slug})", module=slug)
    path = folder / f"{name}.txtar"
    _write_new(path, text.encode())
    return path


def unpack(case: Path, folder: Path) -> None:
    """Unpack a .txtar into a new folder of the same shape; raises `InputError`.

    The folder appears with all its files or not at all.
    """
    archive = _archive(case)
    casefile.from_archive(archive, path=case, name=case.name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError("it is there already", file=folder, hint="name a folder to be made")
    with _io(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            made.chmod(0o755)
            (made / casefile.HEAD_NAME).write_bytes(archive.comment)
            for file in archive.files:
                target = made / file.name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(file.data)
            made.rename(folder)
        finally:
            shutil.rmtree(made, ignore_errors=True)


def pack(folder: Path, case: Path | None = None) -> Path:
    """Pack a folder into a .txtar (default: beside it, with its name); returns its path.

    Files stand in the order of `crossmatrix.authoring.in_order`. What a .txtar cannot hold exactly
    (no newline at the end, a line that reads like a marker) raises `InputError`.
    """
    if not (folder / casefile.HEAD_NAME).is_file():
        raise InputError("no case.yaml in it", file=folder, hint="name a folder of a case")
    folder = folder.resolve()
    case = case or folder.parent / f"{folder.name}.txtar"
    archive = casefile.read_folder(folder)
    casefile.from_archive(archive, path=folder / casefile.HEAD_NAME, name=folder.name)
    for name, data in ((casefile.HEAD_NAME, archive.comment), *_contents(archive)):
        if data and not data.endswith(b"\n"):
            raise InputError(
                "it does not end in a newline, and a .txtar would add one",
                file=folder / name,
                hint="end it with a newline, or leave the case a folder",
            )
        if txtar.holds_marker(data):
            raise InputError(
                "it holds a line of the shape -- NAME --",
                file=folder / name,
                hint="change that line, or leave the case a folder",
            )
    _write_new(case, txtar.format(in_order(archive)))
    return case


def _contents(archive: txtar.Archive) -> Iterable[tuple[str, bytes]]:
    return ((file.name, file.data) for file in archive.files)


def in_order(archive: txtar.Archive) -> txtar.Archive:
    """The files as a reader wants them: go.mod, go.sum, main.go, the rest by name, remedy/ last."""
    first = {"go.mod": 0, "go.sum": 1, "main.go": 2}

    def key(file: txtar.File) -> tuple[bool, int, str]:
        bare = file.name.removeprefix("remedy/")
        return file.name.startswith("remedy/"), first.get(bare, 3), bare

    return replace(archive, files=tuple(sorted(archive.files, key=key)))


def fmt(files: Iterable[Path], store: Store, *, check: bool, report: Report) -> tuple[Path, ...]:
    """Format cases in place (with ``check``: only say which would change); returns those.

    The Go files go through gofmt of the store's Go, the keys of the head and the files into their
    order. Warnings are reported and change nothing.
    """
    goroot = store.get(f"go{store.go_version(FMT_GO)}").root
    changed: list[Path] = []
    for path in files:
        case = casefile.load(path, root=path.parent)
        for written, data in formatted(path, partial(gofmt, goroot / "bin" / "gofmt"), report):
            if written.read_bytes() != data:
                changed.append(written)
                report(f"{written}: {'would change' if check else 'formatted'}")
                if not check:
                    _replace(written, data)
        for text in warnings(case, default_cells(path), host_port()):
            report(f"{path}: warning: {text}")
    return tuple(changed)


Formatter = Callable[[bytes], bytes | None]


def formatted(path: Path, go: Formatter, report: Report) -> Iterable[tuple[Path, bytes]]:
    """The files of a case as they should stand; ``go`` formats one Go file, or gives it up."""
    if path.name != casefile.HEAD_NAME:
        archive = _archive(path)
        files = tuple(
            replace(file, data=_go_file(f"{path}: {file.name}", file.name, file.data, go, report))
            for file in archive.files
        )
        head = heads.format_head(archive.comment.decode()).encode()
        yield path, txtar.format(in_order(replace(archive, comment=head, files=files)))
        return
    yield path, heads.format_head(path.read_bytes().decode()).encode()
    for file in casefile.read_folder(path.parent).files:
        place = path.parent / file.name
        yield place, _go_file(str(place), file.name, file.data, go, report)


def _go_file(place: str, name: str, data: bytes, go: Formatter, report: Report) -> bytes:
    if not name.endswith(".go"):
        return data
    made = go(data)
    if made is None:
        report(f"{place}: left as it is: gofmt cannot read it")
        return data
    if _constraints(made) != _constraints(data):
        report(f"{place}: left as it is: gofmt would change its build constraints")
        return data
    return made


def _constraints(data: bytes) -> list[bytes]:
    """The build constraints and the package clause, in their order; a case may be about them."""
    return [match[0].strip() for match in _CONSTRAINT.finditer(data)]


def gofmt(program: Path, data: bytes) -> bytes | None:
    """One Go file formatted, or None where gofmt refuses it."""
    try:
        done = subprocess.run(
            [program], input=data, capture_output=True, timeout=60, check=False, env={"LC_ALL": "C"}
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InfrastructureError(f"gofmt did not run: {error}", hint="check the store") from None
    return done.stdout if done.returncode == 0 else None


def default_cells(path: Path) -> tuple[Cell, ...]:
    """The default preset of the matrix that a case belongs to, without asking any Go."""
    table = matrix.read(project.find_matrix(path))
    name = "default" if "default" in table.presets else next(iter(table.presets))
    return matrix.cells(table, name, {}, {}).cells


def warnings(case: Case, cells: tuple[Cell, ...], host: HostPort) -> tuple[str, ...]:
    """What is allowed and yet a pity: no closing cell, no control cell, too many cells."""
    items = [item for item in plan.items(case, cells, host) if item.role != "remedy"]
    closing = [case.trap_for(item.cell, host, item.each) is not None for item in items]
    found: list[str] = []
    if case.traps and not any(closing):
        found.append("in the default matrix, no cell in which its trap closes")
    if case.traps and all(closing):
        found.append("in the default matrix, no control cell, in which no trap closes")
    per_go: Mapping[str, int] = {
        go: sum(item.cell.go == go for item in items) for go in {item.cell.go for item in items}
    }
    many = {go: number for go, number in per_go.items() if number > FEW}
    if case.traps and many:
        go, number = max(many.items(), key=lambda pair: pair[1])
        found.append(f"{number} items with Go {go}, more than {FEW}: narrow its cells")
    return tuple(found)


def _archive(path: Path) -> txtar.Archive:
    return casefile.parse(casefile.read_bytes(path), path)


@contextmanager
def _io(path: Path) -> Iterator[None]:
    """Turn an error of the disk into one that says what to do."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"cannot be written: {error.strerror}",
            file=path,
            hint="check the folder, its permissions and the space on the disk",
        ) from None


def _write_new(path: Path, data: bytes) -> None:
    """Write a file that must not exist yet, whole or not at all."""
    if path.exists() or path.is_symlink():
        raise InputError("it is there already", file=path, hint="take another name, or remove it")
    with _io(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _beside(path, data)
        try:
            # Unlike a rename, a link never replaces what came in between.
            os.link(temporary, path)
        except FileExistsError:
            raise InputError("it is there already", file=path, hint="take another name") from None
        finally:
            temporary.unlink()


def _replace(path: Path, data: bytes) -> None:
    with _io(path):
        temporary = _beside(path, data)
        temporary.chmod(path.stat().st_mode & 0o777)
        temporary.replace(path)


def _beside(path: Path, data: bytes) -> Path:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).chmod(0o644)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name)
