"""The results file: written as the run goes, read strictly."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmatrix.case import HostPort
from crossmatrix.errors import InfrastructureError, InputError
from crossmatrix.observation import Stage
from crossmatrix.results import (
    CellRecord,
    Dropped,
    EndRecord,
    ItemRecord,
    Writer,
    dumps,
    host_record,
    item_record,
    json_schema,
    loads,
    read,
)
from crossmatrix.targets import TARGETS
from crossmatrix.verdict import Outcome, Verdict
from report_records import a_cell, a_run, an_item, cell_record


def written(path: Path, *items: ItemRecord, end: bool = True) -> Path:
    with Writer(path, a_run()) as writer:
        for item in items:
            writer.item(item)
        if end:
            writer.end(exit=0, seconds=1.23456)
    return path


def test_round_trip(tmp_path: Path) -> None:
    """What was written is read back the same, in the same order."""
    items = (an_item(), an_item(target="linux/arm64", outcome=Outcome.SKIP, reason="no qemu"))
    found = read(written(tmp_path / "new" / "folder" / "results.jsonl", *items))
    assert found.run == a_run()
    assert found.items == items
    assert found.end == EndRecord(exit=0, seconds=1.235, interrupted=False)
    assert found.torn is None


def test_line_of_an_item() -> None:
    """An item's line has Go's own names, null where nothing ran, and one variable for the level."""
    item = an_item(target="linux/arm/6", outcome=Outcome.XFAIL, stage=Stage.BUILD, build=1.5)
    assert json.loads(dumps(item)) == {
        "kind": "item",
        "id": "arm_goarm.txtar::trap[linux_arm_6-cgo0-go1.27]",
        "case": "arm_goarm.txtar",
        "role": "trap",
        "cell": {
            "GOOS": "linux",
            "GOARCH": "arm",
            "CGO_ENABLED": "0",
            "GOARM": "6",
            "cc": "none",
            "buildmode": "default",
            "go": "1.27",
            "go_version": "1.27.3",
        },
        "engine": "docker",
        "verdict": "XFAIL",
        "stage": "build",
        "reason": "",
        "executed": None,
        "seconds": {"build": 1.5, "inspect": None, "run": None},
        "digest": "sha256:0123",
        "worker": "gw0",
    }


def test_lines_begin_with_kind() -> None:
    """The kind of a record, and the schema of a run, are what a line begins with."""
    assert dumps(a_run()).startswith('{"kind":"run","schema":1,"id":')
    assert dumps(an_item()).startswith('{"kind":"item","id":')


@pytest.mark.parametrize("port", sorted(TARGETS))
def test_every_port_has_a_cell(port: str) -> None:
    """The cell of every port that Go knows can be recorded, and names its target."""
    cell = a_cell(port)
    record = CellRecord.of(cell)
    assert record.target == cell.target == port
    assert cell.env().items() <= record.named.items()


def test_target_of_a_level() -> None:
    """A level that is not the default one belongs to the target's name."""
    assert cell_record("linux/amd64/v3").target == "linux/amd64/v3"
    assert cell_record("linux/amd64/v1").target == "linux/amd64"


def test_target_of_an_unknown_architecture() -> None:
    """A file that tells of an architecture this version does not know can still be shown."""
    line = dumps(an_item(target="linux/riscv64")).replace('"riscv64"', '"riscv128"')
    record = loads(line)
    assert isinstance(record, ItemRecord)
    assert record.cell.target == "linux/riscv128"


def test_nothing_observed() -> None:
    """An item that broke before anything was seen has a record too."""
    item = item_record(
        id="a",
        case="a.txtar",
        role="probe",
        cell=a_cell("linux/386"),
        engine="local",
        verdict=Verdict(outcome=Outcome.ERROR, reason="the daemon is gone"),
    )
    assert (item.executed, item.seconds.total) == (None, 0)


def test_each_record_is_there_at_once(tmp_path: Path) -> None:
    """A record can be read by others as soon as it was handed over."""
    path = tmp_path / "r.jsonl"
    with Writer(path, a_run()) as writer:
        assert read(path).items == ()
        writer.item(an_item())
        found = read(path)
        assert (len(found.items), found.end) == (1, None)


def test_killed_run_keeps_what_it_had(tmp_path: Path) -> None:
    """After kill -9 in the middle of a run the file holds every item that was recorded."""
    path = tmp_path / "r.jsonl"
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from crossmatrix.results import Writer\n"
        "from report_records import a_run, an_item\n"
        "writer = Writer(Path(sys.argv[1]), a_run())\n"
        "for port in ('linux/386', 'linux/arm', 'js/wasm'):\n"
        "    writer.item(an_item(target=port))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program, str(path)], env=env, check=False)
    assert done.returncode == -signal.SIGKILL
    found = read(path)
    assert [item.cell.target for item in found.items] == ["linux/386", "linux/arm", "js/wasm"]
    assert found.end is None


def test_torn_last_line(tmp_path: Path) -> None:
    """A last line that was cut off is left out, and its number told."""
    path = written(tmp_path / "r.jsonl", an_item(), an_item(target="js/wasm"), end=False)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    found = read(path)
    assert [item.cell.target for item in found.items] == ["linux/arm"]
    assert found.torn == 3


def test_last_line_without_its_end(tmp_path: Path) -> None:
    """A last record that lacks nothing but the end of its line counts."""
    path = written(tmp_path / "r.jsonl", an_item())
    path.write_bytes(path.read_bytes()[:-1])
    found = read(path)
    assert found.end is not None
    assert found.torn is None


@settings(deadline=None)
@given(cut=st.integers(min_value=0))
def test_cut_anywhere(cut: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Wherever a file was cut off, it is read up to there, if its first line is whole."""
    path = tmp_path_factory.mktemp("cut") / "r.jsonl"
    whole = "".join(f"{dumps(r)}\n" for r in (a_run(), an_item(), an_item(target="js/wasm")))
    data = whole.encode()
    cut %= len(data) + 1
    path.write_bytes(data[:cut])
    if cut < len(dumps(a_run())):
        with pytest.raises(InputError, match=r"r\.jsonl:1: a results file begins with"):
            read(path)
    else:
        assert len(read(path).items) in (data[:cut].count(b"\n") - 1, data[:cut].count(b"\n"))


@settings(deadline=None)
@given(reason=st.text())
def test_any_reason(reason: str) -> None:
    """A reason may hold any text; it is always one line, and comes back."""
    line = dumps(an_item(outcome=Outcome.FAIL, reason=reason))
    assert "\n" not in line
    record = loads(line)
    assert isinstance(record, ItemRecord)
    assert record.reason == reason.encode("utf-8", "replace").decode()


def test_half_a_surrogate_does_not_break_the_file() -> None:
    """What cannot be written as UTF-8 becomes a question mark."""
    record = loads(dumps(an_item(reason="a\udc80b")))
    assert isinstance(record, ItemRecord)
    assert record.reason == "a?b"


def test_the_last_record_of_an_item_stands(tmp_path: Path) -> None:
    """An item that was run again is there once, as it came out last."""
    first, again = an_item(outcome=Outcome.ERROR, reason="gone"), an_item()
    found = read(written(tmp_path / "r.jsonl", first, an_item(target="js/wasm"), again))
    assert [item.verdict for item in found.items] == [Outcome.PASS, Outcome.PASS]
    assert found.items[-1] == again


RUN, ITEM, END = (
    dumps(a_run()),
    dumps(an_item()),
    dumps(EndRecord(exit=0, seconds=1.0, interrupted=False)),
)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], r":1: a results file begins with a whole record of its run"),
        ([ITEM], r":1: a results file begins with"),
        ([RUN, RUN], r":2: a second record of a run"),
        ([RUN, END, ITEM], r":3: a record of kind 'item' after the end"),
        ([RUN, END, END], r":3: a record of kind 'end' after the end"),
        ([RUN, ITEM, "hello", ITEM], r":3: no record of a results file: Invalid JSON"),
        ([RUN, "", ITEM], r":2: no record of a results file: Invalid JSON"),
        ([RUN, "[]"], r":2: no record of a results file"),
        ([RUN, "{}"], r":2: no record .*kind"),
        ([RUN, '{"kind":"page"}'], r":2: no record .*'page'"),
        ([RUN, ITEM.replace('"PASS"', '"GREEN"')], r":2: .*item\.verdict: Input should be 'PASS'"),
        ([RUN, ITEM.replace('"role"', '"rule"')], r":2: .*item\.role: Field required"),
        ([RUN, ITEM.replace('"GOOS"', '"GOARN":"6","GOOS"')], r":2: .*item\.cell\.GOARN: "),
        ([RUN, ITEM.replace('"build":0.0', '"build":-1')], r":2: .*item\.seconds\.build: "),
        ([RUN, ITEM.replace('"build":0.0', '"build":"0"')], r":2: .*item\.seconds\.build: "),
        ([RUN.replace('"schema":1,', "")], r":1: .*run\.schema: Field required"),
        ([RUN.replace('"schema":1', '"schema":"1"')], r":1: .*run\.schema: "),
        ([RUN.replace("2026-01-02T03:04:00Z", "yesterday")], r":1: .*run\.started: "),
        ([RUN.replace("2026-01-02T03:04:00Z", "2026-01-02T03:04:00")], r":1: .*run\.started: "),
        ([RUN, "[" * 5000], r":2: no record"),
    ],
)
def test_bad_file(tmp_path: Path, lines: list[str], message: str) -> None:
    """A file that is no results file is refused with the place and the way out."""
    path = tmp_path / "r.jsonl"
    path.write_text("".join(f"{line}\n" for line in lines))
    with pytest.raises(InputError, match=message) as caught:
        read(path)
    assert caught.value.hint


def test_not_utf8(tmp_path: Path) -> None:
    """A binary file is refused like any other that is no results file."""
    path = tmp_path / "r.jsonl"
    path.write_bytes(b"\x7fELF\x02\xff\n\x00\n")
    with pytest.raises(InputError, match=r"r\.jsonl:1: no record of a results file"):
        read(path)


@pytest.mark.parametrize("schema", ["2", "0", "99"])
def test_other_schema(tmp_path: Path, schema: str) -> None:
    """A file of another schema names both schemas and the version that reads it."""
    path = tmp_path / "r.jsonl"
    run = RUN.replace('"schema":1', f'"schema":{schema}').replace('"0.1.0"', '"9.8.7"')
    path.write_text(run.replace('"preset"', '"new":1,"preset"') + "\n")
    with pytest.raises(InputError, match=rf"schema {schema} .* reads schema 1") as caught:
        read(path)
    assert caught.value.hint == "read it with crossmatrix 9.8.7 that wrote it"


def test_no_file(tmp_path: Path) -> None:
    """A missing file, and a folder, are bad input that name how to get a file."""
    for path in (tmp_path / "none.jsonl", tmp_path):
        with pytest.raises(InputError, match="cannot read the results"):
            read(path)


def test_nowhere_to_write(tmp_path: Path) -> None:
    """A place where no file can be is refused before anything ran."""
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "r.jsonl", tmp_path):
        with pytest.raises(InputError, match="cannot write the results here") as caught:
            Writer(path, a_run())
        assert "--results" in caught.value.hint


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_full_disk() -> None:
    """A full disk is a fault of the machine, and the way out is told."""
    with pytest.raises(InfrastructureError, match="cannot write the results: No space left"):
        Writer(Path("/dev/full"), a_run())


def test_to_a_pipe(tmp_path: Path) -> None:
    """What is no regular file is written into, and never replaced."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        written(pipe, an_item())
        assert os.read(reader, 1 << 16).count(b"\n") == 3
    finally:
        os.close(reader)
    assert pipe.is_fifo()


def test_an_earlier_file_is_replaced(tmp_path: Path) -> None:
    """A new run leaves nothing of an earlier one, and nothing beside the file; links are kept."""
    real, link = tmp_path / "real.jsonl", tmp_path / "link.jsonl"
    link.symlink_to(real)
    written(link, *(an_item(target=port) for port in ("linux/386", "js/wasm")))
    written(link, an_item())
    assert link.is_symlink()
    assert len(read(real).items) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link.jsonl", "real.jsonl"]


def test_two_runs_on_one_file(tmp_path: Path) -> None:
    """Of two runs that name the same file, the later one has it, and neither spoils the other."""
    path = tmp_path / "r.jsonl"
    with Writer(path, a_run()) as one, Writer(path, a_run()) as two:
        one.item(an_item(target="linux/386"))
        two.item(an_item(target="js/wasm"))
        one.end(exit=0, seconds=1)
        two.end(exit=1, seconds=1)
    found = read(path)
    assert [item.cell.target for item in found.items] == ["js/wasm"]
    assert found.end is not None
    assert found.end.exit == 1


def test_host_is_not_named() -> None:
    """The record of the machine tells its kind, and not its name."""
    record = host_record(HostPort(goos="linux", goarch="amd64"))
    assert record.cpus >= 1
    assert os.uname().nodename not in (record.kernel, record.python)


def test_dropped_counts_something() -> None:
    """A reason for which nothing was dropped has no place in a run's record."""
    run = a_run(dropped=(Dropped(reason="go1.21 does not know it", count=2),))
    assert loads(dumps(run)) == run
    with pytest.raises(InputError, match=r"run\.dropped\.0\.count"):
        loads(dumps(run).replace('"count":2', '"count":0'))


def test_published_schema() -> None:
    """docs/results.schema.json is what the code generates."""
    published = Path(__file__).parent.parent / "docs" / "results.schema.json"
    assert json.loads(published.read_text()) == json_schema()


def questions() -> list[str]:
    """The commands that docs/results.md shows, one each."""
    text = (Path(__file__).parent.parent / "docs" / "results.md").read_text()
    block = text.partition("```sh\n")[2].partition("```")[0]
    return [line for line in block.split("\n") if line and not line.startswith("#")]


@pytest.mark.skipif(shutil.which("jq") is None, reason="no jq on this machine")
def test_documented_questions(tmp_path: Path) -> None:
    """The questions to a file that the documentation shows are answered as it says."""
    written(
        tmp_path / "results.jsonl",
        an_item(executed="qemu"),
        an_item("a_case", outcome=Outcome.FAIL, reason="wrong\nwant: x"),
        an_item(target="js/wasm", outcome=Outcome.SKIP, reason="no node"),
    )
    answers = [
        subprocess.run(
            ["sh", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout
        for line in questions()
    ]
    assert answers == [
        "FAIL a_case.txtar::trap[linux_arm-cgo0-go1.27]\nwrong\nwant: x\n",
        "      1 no node\n",
        "      1 qemu arm\n",
        "true\n",
    ]
