"""The controller's side of a run: the results file, progress, the grid at the end, the clean-up."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest

from crossmatrix import __version__, results
from crossmatrix.engine import choose
from crossmatrix.errors import InfrastructureError
from crossmatrix.plan import Item
from crossmatrix.plugin_state import State
from crossmatrix.report import terminal
from crossmatrix.report.progress import Progress
from crossmatrix.results import EndRecord, ItemRecord, RunRecord, Writer
from crossmatrix.verdict import Outcome, Verdict

RECORD = "crossmatrix_record"
"""The attribute of a pytest report that carries an item's record from a worker."""


class Recorder:
    """A pytest plugin that only the controller of a run has."""

    def __init__(
        self,
        config: pytest.Config,
        state: State,
        run: RunRecord,
        writer: Writer,
        items: Iterable[Item],
    ) -> None:
        self.state = state
        self.run = run
        self.writer = writer
        self.expected = {item.id: item for item in items}
        self.items: dict[str, ItemRecord] = {}
        self.total = 0
        self.begun = time.monotonic()
        self.end: EndRecord | None = None
        self.reporter: Any = config.pluginmanager.getplugin("terminalreporter")
        self.marks = terminal.marks_for(getattr(sys.stdout, "encoding", None))
        self.progress = Progress(live=False, width=0, started=self.begun, marks=self.marks)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.total = max(self.total, len(session.items))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        self.total = max(self.total, len(ids))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        raw = getattr(report, RECORD, None)
        if raw is not None:
            record = results.loads(raw)
            assert isinstance(record, ItemRecord)
            self._add(record)
        elif report.failed and (item := self._lost(report.nodeid)) is not None:
            self._add(self._crashed(item, report.longreprtext))

    def _add(self, record: ItemRecord) -> None:
        self.items[record.id] = record
        try:
            self.writer.item(record)
        except InfrastructureError as error:
            raise pytest.exit.Exception(f"error: {error}", returncode=3) from None
        done = len(self.items)
        text = self.progress.item(record, done, max(self.total, done), time.monotonic())
        if text and self.reporter is not None:
            self.reporter.ensure_newline()
            self.reporter.write(text)

    def _lost(self, nodeid: str) -> Item | None:
        """The item behind a report that carries no record: its worker died."""
        while nodeid not in self.expected and "/" in nodeid:
            nodeid = nodeid.partition("/")[2]
        return self.expected.get(nodeid) if nodeid not in self.items else None

    def _crashed(self, item: Item, text: str) -> ItemRecord:
        return results.item_record(
            id=item.id,
            case=item.case.name,
            role=item.role,
            cell=item.cell,
            engine=self.run.engine,
            verdict=Verdict(outcome=Outcome.ERROR, reason=text or "the worker died"),
        )

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        code = int(exitstatus)
        interrupted = code == int(pytest.ExitCode.INTERRUPTED)
        seconds = time.monotonic() - self.begun
        self.end = EndRecord(exit=code, seconds=round(seconds, 3), interrupted=interrupted)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.items:
            writer = terminalreporter._tw
            shown = terminal.render(
                self.run,
                list(self.items.values()),
                width=writer.fullwidth,
                color=writer.hasmarkup,
                marks=self.marks,
                end=self.end,
            )
            terminalreporter.section("crossmatrix")
            terminalreporter.write(shown.rstrip("\n") + "\n")
        terminalreporter.write_line(f"results: {self.writer.path}")

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        if self.end is not None:
            self.writer.end(
                exit=self.end.exit, seconds=self.end.seconds, interrupted=self.end.interrupted
            )
        self.writer.close()
        self.state.close()
        if self.state.session is not None:
            choose.clean(self.run.engine, self.state.session)


def run_record(state: State, paths: tuple[str, ...]) -> RunRecord:
    """The first line of a results file."""
    assert state.prepared is not None
    options = state.project.options
    host = state.prepared.host
    tools = {name: tool.version for name, _ in host.digests if (tool := state.store.find(name))}
    return RunRecord(
        id=state.prepared.session,
        started=datetime.now(UTC),
        versions={"crossmatrix": __version__, **tools, **dict(state.prepared.versions)},
        engine=host.engine,
        preset=options.preset,
        host=results.host_record(state.project.port),
        selection=results.Selection(cells=options.cells, go=options.go, paths=paths),
        dropped=tuple(results.Dropped(reason=r, count=n) for r, n in state.project.dropped),
    )
