"""What doctor finds, and how it says it."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import pytest

from crossmatrix import doctor
from crossmatrix.binary import read
from crossmatrix.doctor import Finding, survey
from crossmatrix.toolchain import Store


@pytest.fixture
def found(tmp_path: Path) -> tuple[Finding, ...]:
    """A survey of this machine with an empty store."""
    return survey(Store(tmp_path / "empty"))


def test_an_empty_store_lacks_every_tool(tmp_path: Path, found: tuple[Finding, ...]) -> None:
    """Each tool that is not there says what it would add and the command that gets it."""
    rows = {row.name: row for row in found}
    for name in Store(tmp_path).names():
        assert not rows[name].there
        assert rows[name].adds
        assert rows[name].command == "crossmatrix doctor --fetch"


def test_a_survey_fetches_nothing(tmp_path: Path, found: tuple[Finding, ...]) -> None:
    """Looking leaves no trace in the store."""
    assert found
    assert not (tmp_path / "empty").exists()


def test_names_are_once(found: tuple[Finding, ...]) -> None:
    """No thing is told of twice."""
    assert len({row.name for row in found}) == len(found)


def test_the_machine_is_told_of(found: tuple[Finding, ...]) -> None:
    """Python, 386 programs, binfmt_misc, control groups and the disk are always looked at."""
    rows = {row.name: row for row in found}
    assert rows["python"].there
    assert platform.python_version() in rows["python"].detail
    assert {"pip", "386 programs", "binfmt_misc", "cgroup", "disk"} <= set(rows)


def test_what_the_caller_knows_is_shown(tmp_path: Path) -> None:
    """A finding of the caller's, such as a daemon that does not answer, stands among the others."""
    daemon = Finding(
        name="docker", there=False, detail="no socket", adds="containers", command="start it"
    )
    text = doctor.render(survey(Store(tmp_path), [daemon]))
    assert "missing  docker " in text
    assert "adds: containers" in text
    assert "get it: start it" in text


def test_render_counts() -> None:
    """The last line counts, and what is there has no advice."""
    rows = (
        Finding(name="a", there=True, detail="1.0", adds="x", command="y"),
        Finding(name="long", there=False, detail="none"),
    )
    assert doctor.render(rows) == ("ok       a     1.0\nmissing  long  none\n1 there, 1 missing")


def test_data_is_json(found: tuple[Finding, ...]) -> None:
    """The findings survive JSON."""
    rows = json.loads(json.dumps(doctor.data(found)))
    assert [row["name"] for row in rows] == [row.name for row in found]
    assert set(rows[0]) == {"name", "there", "detail", "adds", "command"}


def test_the_386_probe_is_a_386_program() -> None:
    """The probe is what it says: a static executable for 386."""
    facts = read(doctor.tiny_386())
    assert (facts.machine, facts.bits, facts.linkage) == ("386", "32", "static")
