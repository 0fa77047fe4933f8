"""pytest hooks: collect cases, observe them in an engine, judge, record, report."""

from __future__ import annotations

import signal
from collections.abc import Generator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from crossmatrix import prepare, project, results
from crossmatrix.engine import choose
from crossmatrix.engine.session import Session
from crossmatrix.errors import HarnessError, InputError
from crossmatrix.plugin_items import (
    STATE,
    CaseFile,
    cell,
    crossmatrix_item,
    item_of,
    judge,
    marked_case,
    observe,
    own_verdict,
    plan,
    record_of,
    role,
    strict_xfail,
)
from crossmatrix.plugin_recorder import RECORD, Recorder, run_record
from crossmatrix.plugin_state import State, join, to_wire, worker_name
from crossmatrix.project import Options
from crossmatrix.report import junit
from crossmatrix.toolchain import Store

__all__ = ["cell", "crossmatrix_item", "judge", "observe", "plan", "role"]

WIRE = "crossmatrix"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("crossmatrix", "cross-compilation matrix of Go programs")
    group.addoption("--xm-preset", default="default", metavar="NAME", help="preset of matrix.yaml")
    group.addoption(
        "--xm-cells",
        action="append",
        default=[],
        metavar="GLOB",
        help="only cells like 'linux/*' or cgo1; '!*/wasm' leaves some out; may be repeated",
    )
    group.addoption("--xm-go", default="", metavar="V,V", help="only these Go versions: 1.21,1.27")
    group.addoption("--xm-engine", choices=choose.NAMES, default="auto", help="where commands run")
    group.addoption("--xm-matrix", metavar="FILE", help="another matrix.yaml")
    group.addoption(
        "--xm-results",
        metavar="FILE",
        default=".crossmatrix/results.jsonl",
        help="where the results go, a line per item as the run goes (%(default)s)",
    )
    group.addoption(
        "--xm-fresh-containers", action="store_true", help="new containers for every item"
    )
    group.addoption(
        "--xm-timeout-scale", type=float, default=1.0, metavar="X", help="stretch all time limits"
    )
    group.addoption("--xm-path", action="append", default=[], help="collect cases below this path")
    parser.addini("crossmatrix_cases", "folders whose case files are collected", type="paths")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "case(**head): the head of a case that is an ordinary test")
    config.addinivalue_line("markers", "trap(**trap): one trap of such a case")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    config = session.config
    worker = getattr(config, "workerinput", None)
    with exiting(config):
        if worker is not None:
            if WIRE in worker:
                config.stash[STATE] = join(worker[WIRE], worker_name(), reporter(config))
        elif roots := _roots(config):
            _start(config, roots)


class exiting:  # noqa: N801
    """Ends pytest with one clear error: exit code 2 for bad input, 3 for a machine that broke."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, HarnessError):
            bad = isinstance(error, InputError)
            reporter(self.config)(f"error: {error}")
            raise pytest.exit.Exception(
                "bad input" if bad else "the machine broke", returncode=2 if bad else 3
            ) from None


def reporter(config: pytest.Config) -> Any:
    """A line on the user's terminal, past any capturing."""

    def report(text: str) -> None:
        capture = config.pluginmanager.getplugin("capturemanager")
        if capture is None:
            print(text, flush=True)
            return
        with capture.global_and_fixture_disabled():
            print(text, flush=True)

    return report


def _options(config: pytest.Config) -> Options:
    option = config.option
    if option.xm_timeout_scale <= 0:
        raise InputError(
            f"--timeout-scale {option.xm_timeout_scale:g} is not above 0", hint="try 2, or 0.5"
        )
    return Options(
        preset=option.xm_preset,
        cells=tuple(text for arg in option.xm_cells for text in arg.split() if text),
        go=tuple(text.strip() for text in option.xm_go.split(",") if text.strip()),
        engine=option.xm_engine,
        matrix=Path(option.xm_matrix) if option.xm_matrix else None,
        fresh=option.xm_fresh_containers,
        scale=option.xm_timeout_scale,
    )


def _roots(config: pytest.Config) -> tuple[Path, ...]:
    """The folders that this run collects cases below; empty in a stranger's project."""
    named = [Path(path).resolve() for path in config.option.xm_path]
    named += [Path(path).resolve() for path in config.getini("crossmatrix_cases")]
    roots = []
    for place in _places(config):
        roots += [
            root for root in named if place.is_relative_to(root) or root.is_relative_to(place)
        ]
        for folder in (place, *place.parents):
            if (folder / project.MATRIX).is_file() and (folder / "cases").is_dir():
                cases = folder / "cases"
                if place.is_relative_to(cases) or cases.is_relative_to(place):
                    roots.append(cases)
                break
    return tuple(dict.fromkeys(roots))


def _places(config: pytest.Config) -> list[Path]:
    """What the command line names, as paths."""
    base = config.invocation_params.dir
    return [(base / arg.partition("::")[0]).resolve() for arg in config.args]


def _start(config: pytest.Config, roots: tuple[Path, ...]) -> None:
    """Read everything, prepare the machine, open the results: before any worker starts."""
    report = reporter(config)
    store = Store(report=report)
    options = _options(config)
    matrix_file = options.matrix or project.find_matrix(roots[0])
    loaded = project.load(options, matrix_file, store)
    state = State(
        project=loaded, roots=roots, store=store, session=None, prepared=None, report=report
    )
    found = [
        item for path in _case_paths(config, state) for item in loaded.items(loaded.case(path))
    ]
    config.stash[STATE] = state
    if config.option.collectonly:
        return
    _end_on_signals()
    state.session = Session.open(store.root)
    try:
        state.prepared = prepare.prepare(found, loaded, store, state.session, report)
        record = run_record(state, tuple(str(arg) for arg in config.args))
        writer = results.Writer(Path(config.option.xm_results), record)
    except BaseException:
        state.close()
        state.session.close()
        raise
    recorder = Recorder(config, state, record, writer, found)
    config.pluginmanager.register(recorder, "crossmatrix-recorder")


def _case_paths(config: pytest.Config, state: State) -> list[Path]:
    paths: dict[Path, None] = {}
    for place in _places(config):
        tops = (
            [place] if state.accepts(place) else [r for r in state.roots if r.is_relative_to(place)]
        )
        for top in tops:
            paths.update(dict.fromkeys(p for p in project.case_files(top) if _is_case(p)))
    return list(paths)


def _is_case(path: Path) -> bool:
    return path.suffix == ".txtar" or path.name == project.FOLDER_CASE


def _end_on_signals() -> None:
    """SIGTERM and SIGHUP end a run as Ctrl-C does: cleaned up, with what was done kept."""

    def interrupt(signum: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt(signal.Signals(signum).name)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """xdist: hand a worker what it needs to join this run."""
    state = node.config.stash.get(STATE, None)
    if state is not None and state.prepared is not None:
        node.workerinput[WIRE] = to_wire(state)


def pytest_unconfigure(config: pytest.Config) -> None:
    state = config.stash.get(STATE, None)
    if state is not None:
        state.close()


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    state = parent.config.stash.get(STATE, None)
    if state is not None and _is_case(file_path) and state.accepts(file_path.resolve()):
        return CaseFile.from_parent(parent, path=file_path)
    return None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "crossmatrix_item" not in metafunc.fixturenames:
        return
    state = metafunc.config.stash.get(STATE, None)
    path = metafunc.definition.path
    with exiting(metafunc.config):
        if state is None or not state.accepts(path):
            raise InputError(
                f"{metafunc.function.__name__} uses the matrix, and lies in no cases folder",
                file=path,
                hint="put it below cases/, or name its folder in the ini setting crossmatrix_cases",
            )
        case = marked_case(metafunc.definition, path, project.case_root(path))
        if case is None:
            raise InputError(
                f"{metafunc.function.__name__} uses the matrix, and has no case",
                file=path,
                hint="mark it with @pytest.mark.case(title=..., ...)",
            )
        found = state.project.items(case)
    ids = [item.name.replace("[", "-").rstrip("]") for item in found]
    metafunc.parametrize("crossmatrix_item", found, ids=ids, indirect=True)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    state = config.stash.get(STATE, None)
    if state is None:
        return
    ours = [(node, item) for node in items if (item := item_of(node)) is not None]
    for node, item in ours:
        if not isinstance(node.parent, CaseFile) and state.trap(item) is not None:
            strict_xfail(node, item.case)
    state.gather(item for _, item in ours)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    state = item.config.stash.get(STATE, None)
    if state is None or item_of(item) is None:
        return report
    if report.when == "call" or not report.passed:
        record = record_of(item, state, own_verdict(report, call))
        if record is not None:
            setattr(report, RECORD, results.dumps(record))
            # JUnit XML takes them from the report of the teardown, which copies the item's
            item.user_properties += junit.properties(record)
    return report
