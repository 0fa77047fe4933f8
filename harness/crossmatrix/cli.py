"""``crossmatrix ...``: a thin edge over the package; ``run`` is a thin way to call pytest."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import ParamSpec, TypeVar

import click

from crossmatrix import __version__, authoring, doctor, explain, project, results
from crossmatrix.engine import choose
from crossmatrix.errors import HarnessError, InputError
from crossmatrix.project import Options
from crossmatrix.report import terminal
from crossmatrix.resources import data_dir
from crossmatrix.toolchain import Store

P = ParamSpec("P")
T = TypeVar("T")


def _told(function: Callable[P, T]) -> Callable[P, T]:
    """One clear error instead of a traceback; exit code 2 for bad input, 3 for a broken machine."""

    @wraps(function)
    def told(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except HarnessError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(2 if isinstance(error, InputError) else 3)

    return told


def _matrix_options(function: Callable[P, T]) -> Callable[P, T]:
    """The options that choose cells, the same everywhere."""
    for option in (
        click.option(
            "--preset", default="default", help="A preset of matrix.yaml.", show_default=True
        ),
        click.option(
            "--cells",
            multiple=True,
            metavar="GLOB",
            help="Only cells like 'linux/*', cgo1 or zig; '!*/wasm' leaves some out. Repeatable.",
        ),
        click.option("--go", default="", metavar="V,V", help="Only these Go versions: 1.21,1.27."),
        click.option("--matrix", type=click.Path(path_type=Path), help="Another matrix.yaml."),
    ):
        function = option(function)
    return function


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="crossmatrix")
def main() -> None:
    """Build sample Go programs over a matrix of targets, inspect and run them, judge the pitfalls.

    A first run:  crossmatrix run --preset smoke -n auto

    Every command says more with --help. Exit codes are pytest's: 0 all as expected, 1 something
    is red, 2 bad input or interrupted, 3 the machine broke, 5 nothing selected.
    """


@main.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": True},
    short_help="Run cases over the matrix (through pytest).",
)
@click.argument("args", nargs=-1, type=click.UNPROCESSED, metavar="[PATH]... [PYTEST-OPTION]...")
@_matrix_options
@click.option(
    "--engine",
    type=click.Choice(["auto", "docker", "local"]),
    default="auto",
    show_default=True,
    help="Where commands run; auto is docker where a daemon answers.",
)
@click.option(
    "--results",
    "results_file",
    default=".crossmatrix/results.jsonl",
    show_default=True,
    help="Where the results go, a line per item as the run goes.",
)
@click.option("--fresh-containers", is_flag=True, help="New containers for every item.")
@click.option("--timeout-scale", type=float, default=1.0, help="Stretch all time limits.")
@_told
def run(
    args: tuple[str, ...],
    preset: str,
    cells: tuple[str, ...],
    go: str,
    matrix: Path | None,
    engine: str,
    results_file: str,
    fresh_containers: bool,
    timeout_scale: float,
) -> None:
    """Run cases over the matrix.

    PATH is a case file, a folder of cases, or an item's id; by default the cases of this folder's
    project (cases/ beside matrix.yaml), else the packaged ones. Everything that is not listed
    below goes to pytest: -n auto, -k hello, --lf, -x, -v, --junitxml FILE.

    \b
    crossmatrix run --preset smoke -n auto
    crossmatrix run --cells 'linux/*' --cells '!*/386' --go 1.21,1.27
    crossmatrix run cases/build_goarm.txtar --engine local -v
    """
    paths, rest = _split(args)
    if not paths:
        paths = [str(path) for path in project.default_paths(Path.cwd())]
    options = [
        f"--xm-preset={preset}",
        *(f"--xm-cells={text}" for text in cells),
        f"--xm-go={go}",
        f"--xm-engine={engine}",
        f"--xm-results={results_file}",
        f"--xm-timeout-scale={timeout_scale:g}",
        *(["--xm-fresh-containers"] if fresh_containers else []),
        *([f"--xm-matrix={matrix}"] if matrix else []),
    ]
    sys.exit(_pytest([*options, *_places(paths), *rest, *paths]))


def _split(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """Paths (what exists before ``::``) apart from pytest's own options and their values."""
    paths: list[str] = []
    rest: list[str] = []
    for arg in args:
        place = arg.partition("::")[0]
        is_path = not arg.startswith("-") and (Path(place).exists() or place.endswith(".txtar"))
        (paths if is_path and not (rest and rest[-1] in _VALUED) else rest).append(arg)
    for arg in paths:
        if not Path(arg.partition("::")[0]).exists():
            raise InputError(f"{arg}: no such case", hint="`crossmatrix list` shows what there is")
    return paths, rest


_VALUED = ("-k", "-m", "-n", "-o", "-p", "-W", "--junitxml", "--maxfail", "--deselect", "--ignore")


def _places(paths: Sequence[str]) -> list[str]:
    """Tell pytest of cases outside of any project here, and where to keep its own files."""
    places = [Path(path.partition("::")[0]).resolve() for path in paths]
    named = [f"--xm-path={place}" for place in places]
    packaged = data_dir() / "cases"
    outside = [place for place in places if not place.is_relative_to(Path.cwd())]
    if outside:
        top = packaged.parent if outside[0].is_relative_to(packaged) else outside[0].parent
        named += [f"--rootdir={top}", "-o", f"cache_dir={Path.cwd() / '.crossmatrix' / 'pytest'}"]
    return named


def _pytest(args: Sequence[str]) -> int:
    """Run pytest as a child that gets our signals, and wait for it to have cleaned up."""
    child = subprocess.Popen([sys.executable, "-m", "pytest", *args])

    def forward(signum: int, _frame: FrameType | None) -> None:
        child.send_signal(signum)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, forward)
    # A terminal sends Ctrl-C to both; pytest ends the run, and this waits for it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return child.wait()


def _loaded(
    preset: str, cells: tuple[str, ...], go: str, matrix: Path | None, place: Path
) -> tuple[project.Project, Store]:
    store = Store(report=lambda text: click.echo(text, err=True))
    options = Options(
        preset=preset,
        cells=cells,
        go=tuple(text for text in go.split(",") if text),
        matrix=matrix,
    )
    return project.load(options, matrix or project.find_matrix(place), store), store


@main.command("list", short_help="Show which cases run in which cells.")
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
@_matrix_options
@click.option("--ids", is_flag=True, help="The id of every item, one a line.")
@_told
def list_(
    paths: tuple[Path, ...],
    preset: str,
    cells: tuple[str, ...],
    go: str,
    matrix: Path | None,
    ids: bool,
) -> None:
    """Show which cases run in which cells; nothing is built."""
    chosen = paths or project.default_paths(Path.cwd())
    loaded, _ = _loaded(preset, cells, go, matrix, chosen[0])
    cases = [loaded.case(file) for path in chosen for file in project.case_files(path)]
    total = 0
    for case in cases:
        found = loaded.items(case)
        total += len(found)
        if ids:
            for item in found:
                click.echo(f"{explain.shown(case.path)}::{item.name}")
            continue
        roles = {role: sum(item.role == role for item in found) for role in explain.ROLES}
        counts = ", ".join(f"{count} {role}" for role, count in roles.items() if count)
        click.echo(f"{case.name}: {case.title}\n    {counts or 'in no cell of this run'}")
        click.echo(explain.wrapped(dict.fromkeys(item.cell.id for item in found)))
    if not ids:
        click.echo(f"{len(cases)} cases, {len(loaded.cells)} cells, {total} items")
        for reason, count in loaded.dropped:
            click.echo(f"left out: {count} cells: {reason}")
    if not total:
        click.echo("nothing is selected", err=True)
        sys.exit(5)


@main.command("explain", short_help="Print the plan of an item; run nothing.")
@click.argument("item")
@_matrix_options
@click.option(
    "--engine", type=click.Choice(["docker", "local"]), default="docker", show_default=True
)
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@_told
def explain_(
    item: str,
    preset: str,
    cells: tuple[str, ...],
    go: str,
    matrix: Path | None,
    engine: str,
    as_json: bool,
) -> None:
    """Print the plan of ITEM (files, env, argv, image, runner) and run nothing.

    ITEM is an id as `crossmatrix list --ids` prints it.
    """
    place = Path(item.partition("::")[0])
    loaded, store = _loaded(preset, cells, go, matrix, place)
    found = project.find_item(loaded, item)
    made = explain.planned(found, loaded, store, engine)
    images = explain.image_names(made, store) if engine == "docker" else {}
    if as_json:
        click.echo(json.dumps(explain.data(made, images), indent=2))
    else:
        click.echo(explain.text(found, made, images))


@main.command(short_help="Start a new case from a template.")
@click.argument("name")
@click.option("--folder", type=click.Path(path_type=Path), default=Path("cases"), show_default=True)
@_told
def new(name: str, folder: Path) -> None:
    """Write FOLDER/NAME.txtar, a case that runs as it is; NAME is <category>_<slug>."""
    click.echo(f"wrote {authoring.new(name, folder)}")


@main.command(short_help="Unpack a case into a folder.")
@click.argument("case", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
@_told
def unpack(case: Path, folder: Path) -> None:
    """Unpack CASE into FOLDER, which is a case of the same shape, to edit its Go files in place."""
    authoring.unpack(case, folder)
    click.echo(f"unpacked into {folder}")


@main.command(short_help="Pack a folder into a case file.")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("case", type=click.Path(path_type=Path), required=False)
@_told
def pack(folder: Path, case: Path | None) -> None:
    """Pack FOLDER into CASE (default: FOLDER.txtar)."""
    click.echo(f"wrote {authoring.pack(folder, case)}")


@main.command(short_help="Format case files.")
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--check", is_flag=True, help="Change nothing; exit 1 where something would change.")
@_told
def fmt(paths: tuple[Path, ...], check: bool) -> None:
    """gofmt the Go files of cases and bring their heads into a stable order."""
    store = Store(report=lambda text: click.echo(text, err=True))
    chosen = paths or project.default_paths(Path.cwd())
    files = [file for path in chosen for file in project.case_files(path)]
    changed = authoring.fmt(files, store, check=check, report=click.echo)
    sys.exit(1 if check and changed else 0)


@main.command(short_help="Draw the reports of a results file again.")
@click.argument("file", type=click.Path(path_type=Path), default=".crossmatrix/results.jsonl")
@_told
def report(file: Path) -> None:
    """Draw the reports of FILE again, that of an interrupted run too."""
    found = results.read(file)
    if found.torn:
        click.echo(f"warning: {file}:{found.torn}: a torn last line is left out", err=True)
    marks = terminal.marks_for(sys.stdout.encoding)
    color = sys.stdout.isatty()
    width = explain.terminal_width()
    click.echo(
        terminal.render(
            found.run, found.items, width=width, color=color, marks=marks, end=found.end
        )
    )


@main.command("doctor", short_help="Say what is there, what is missing, and how to get it.")
@click.option("--fetch", is_flag=True, help="Get every tool of the store now.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@_told
def doctor_(fetch: bool, as_json: bool) -> None:
    """Say what is there, what is missing, what each missing thing would add, and how to get it."""
    store = Store(report=lambda text: click.echo(text, err=True))
    if fetch:
        project.fetch(store.names(), store, lambda text: click.echo(text, err=True))
    found = doctor.survey(store, choose.daemon_finding())
    click.echo(json.dumps(doctor.data(found), indent=2) if as_json else doctor.render(found))


if __name__ == "__main__":
    main()
