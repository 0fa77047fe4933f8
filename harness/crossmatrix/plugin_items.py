"""The pytest items of case files, and the fixtures for a case that is an ordinary test."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crossmatrix import casefile, results
from crossmatrix import verdict as verdicts
from crossmatrix.case import Case
from crossmatrix.cell import Cell
from crossmatrix.errors import HarnessError, MissingToolError
from crossmatrix.observation import Observation, Stage, StageSeen
from crossmatrix.plan import Item, Plan, make
from crossmatrix.plugin_state import State
from crossmatrix.report.junit import failure_text
from crossmatrix.results import ItemRecord
from crossmatrix.verdict import Outcome, Verdict

STATE = pytest.StashKey[State]()
PLANNED = pytest.StashKey[Plan]()
SEEN = pytest.StashKey[tuple[Verdict, Observation, Plan]]()


class Judged(Exception):
    """An item that went wrong; its message is what a reader needs."""


class TrapClosed(Judged):
    """The trap closed as recorded: the expected failure."""


class WrongFailure(Judged):
    """The trap closed in another way than recorded."""


class Unexpected(Judged):
    """Something went wrong where no trap is in force."""


_RAISED = {
    Outcome.XFAIL: TrapClosed,
    Outcome.WRONG_FAILURE: WrongFailure,
    Outcome.FAIL: Unexpected,
}


def settle(item: pytest.Item, made: Plan, seen: Observation, found: Verdict) -> None:
    """Turn a verdict into what pytest knows: a pass, a skip, or one of our exceptions."""
    item.stash[SEEN] = (found, seen, made)
    if found.outcome is Outcome.SKIP:
        pytest.skip(found.reason)
    if found.outcome.red:
        item.add_report_section("call", "crossmatrix", failure_text(found, seen, id=made.item))
    if found.outcome in _RAISED:
        raise _RAISED[found.outcome](found.reason)


def strict_xfail(item: pytest.Item, case: Case) -> None:
    """Expect the trap, and nothing but the trap."""
    item.add_marker(pytest.mark.xfail(raises=TrapClosed, strict=True, reason=case.title))


class CaseFile(pytest.File):
    """A case file; its items are its roles in the cells of the run."""

    def collect(self) -> Iterator[CaseItem]:
        state = self.config.stash[STATE]
        for item in state.project.items(state.project.case(self.path)):
            yield CaseItem.from_parent(
                self, name=item.name, nodeid=f"{self.nodeid}::{item.name}", item=item
            )


class CaseItem(pytest.Item):
    """One role of a case in one cell: observed in `setup`, judged in `runtest`."""

    def __init__(self, *, item: Item, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.item = item
        state = self.config.stash[STATE]
        if state.trap(item) is not None:
            strict_xfail(self, item.case)

    def setup(self) -> None:
        state = self.config.stash[STATE]
        made = state.plan(self.item)
        if made.skip:
            self._skip(made, made.skip)
        try:
            seen = state.observe(made)
        except MissingToolError as error:
            self._skip(made, str(error))
        self.observed = made, seen

    def _skip(self, made: Plan, reason: str) -> None:
        settle(self, made, Observation(), Verdict(outcome=Outcome.SKIP, reason=reason))

    def runtest(self) -> None:
        made, seen = self.observed
        trap = self.config.stash[STATE].trap(self.item)
        settle(self, made, seen, verdicts.judge(trap, seen))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, Judged | HarnessError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, self.name


def item_of(node: pytest.Item) -> Item | None:
    """Our item behind a pytest item, of a case file or of a test with the ``cell`` fixture."""
    if isinstance(node, CaseItem):
        return node.item
    callspec = getattr(node, "callspec", None)
    found = callspec.params.get("crossmatrix_item") if callspec else None
    return found if isinstance(found, Item) else None


def own_verdict(report: pytest.TestReport, call: pytest.CallInfo[None]) -> Verdict | None:
    """What pytest saw beside a judgement: a machine that broke, or a test's own failed assert."""
    error = call.excinfo.value if call.excinfo is not None else None
    if not report.failed or error is None or isinstance(error, Judged):
        return None
    if isinstance(error, HarnessError) or report.when != "call":
        return Verdict(outcome=Outcome.ERROR, reason=str(error))
    return Verdict(outcome=Outcome.FAIL, reason=f"{type(error).__name__}: {error}")


def record_of(node: pytest.Item, state: State, own: Verdict | None) -> ItemRecord | None:
    """The record of an item after it ran; ``own`` is what outweighs its judgement."""
    item = item_of(node)
    if item is None:
        return None
    found, seen, made = node.stash.get(SEEN, (None, None, None))
    found = own or found
    if found is None:
        found = Verdict(outcome=Outcome.ERROR, reason="the test never called judge()")
    return results.item_record(
        id=item.id,
        case=item.case.name,
        role=item.role,
        cell=item.cell,
        engine=state.host.engine,
        verdict=found,
        observation=seen,
        digest=made.digest if made is not None else "",
        worker=state.worker,
    )


def marked_case(definition: pytest.Function | Any, path: Path, root: Path) -> Case | None:
    """The case that a test's markers describe, or None where it has none."""
    marks = list(definition.iter_markers("case"))
    if not marks:
        return None
    head = dict(marks[0].kwargs)
    traps = [dict(mark.kwargs) for mark in definition.iter_markers("trap")]
    if traps:
        head["traps"] = [*head.get("traps", []), *reversed(traps)]
    name = f"{path.relative_to(root).as_posix()}::{definition.name}"
    return casefile.from_mapping(head, path=path, name=name)


@pytest.fixture
def crossmatrix_item(request: pytest.FixtureRequest) -> Item:
    """The item that a parametrized test stands for."""
    item: Item = request.param
    return item


@pytest.fixture
def cell(crossmatrix_item: Item) -> Cell:
    """The cell of the matrix that this test runs in."""
    return crossmatrix_item.cell


@pytest.fixture
def role(crossmatrix_item: Item) -> str:
    """What this test proves: ``trap``, ``remedy`` or ``probe``."""
    return crossmatrix_item.role


@pytest.fixture
def plan(crossmatrix_item: Item, request: pytest.FixtureRequest) -> Callable[..., Plan]:
    """A factory: ``plan(files={...}, build={...}, run={...})`` with the role's overlay."""
    state = request.config.stash[STATE]

    def factory(
        files: dict[str, str] | None = None,
        build: dict[str, Any] | None = None,
        run: dict[str, Any] | bool | None = None,
        expect: dict[str, Any] | None = None,
    ) -> Plan:
        parts = {"build": build, "run": run, "expect": expect}
        told = {key: value for key, value in parts.items() if value is not None}
        old = crossmatrix_item.case
        case = casefile.from_mapping({**old.head, **told}, path=old.path, name=old.name)
        case = replace(case, files={name: text.encode() for name, text in (files or {}).items()})
        made = make(
            replace(crossmatrix_item, case=case), state.host, versions=state.project.versions
        )
        if made.skip:
            settle(
                request.node,
                made,
                Observation(),
                Verdict(outcome=Outcome.SKIP, reason=made.skip),
            )
        request.node.stash[PLANNED] = made
        return made

    return factory


class Observe:
    """The ``observe`` fixture: observe a plan, or hand in what was observed elsewhere."""

    def __init__(self, state: State, node: pytest.Item) -> None:
        self._state = state
        self._node = node

    def __call__(self, made: Plan) -> Observation:
        try:
            return self._state.observe(made)
        except MissingToolError as error:
            skipped = Verdict(outcome=Outcome.SKIP, reason=str(error))
            settle(self._node, made, Observation(), skipped)
            raise

    def text(
        self, stage: Stage | str, argv: Iterable[str], exit: int, text: str, *, unmet: bool = True
    ) -> Observation:
        """An observation made elsewhere: a stage that went wrong (``unmet``), or as it should."""
        seen = StageSeen(stage=Stage(stage), argv=tuple(argv), exit=exit, text=text, seconds=0.0)
        failed = Stage(stage) if unmet else None
        return Observation(stages=(seen,), failed=failed)


@pytest.fixture
def observe(request: pytest.FixtureRequest) -> Observe:
    """Observe a plan in the engine of the run."""
    return Observe(request.config.stash[STATE], request.node)


@pytest.fixture
def judge(crossmatrix_item: Item, request: pytest.FixtureRequest) -> Callable[[Observation], None]:
    """Judge an observation: passes, or raises `TrapClosed`, `WrongFailure` or `Unexpected`."""
    state = request.config.stash[STATE]

    def judged(seen: Observation) -> None:
        made = request.node.stash.get(PLANNED, None)
        if made is None:
            made = make(crossmatrix_item, state.host, versions=state.project.versions)
        settle(request.node, made, seen, verdicts.judge(state.trap(crossmatrix_item), seen))

    return judged
