"""Plans: what will be done is complete, clean, and printable before anything is done."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from crossmatrix import casefile, plan, txtar
from crossmatrix.case import Case, HostPort
from crossmatrix.cell import Cell, Selector
from crossmatrix.needs import Host
from crossmatrix.plan import Item

HERE = HostPort(goos="linux", goarch="amd64")
HOST = Host(
    goos="linux",
    goarch="amd64",
    engine="local",
    runs_386=True,
    digests=(("go1.27.3", "aa"), ("busybox", "bb"), ("supervisor", "cc"), ("zig", "dd")),
)
MAIN = '-- go.mod --\nmodule x\n\ngo 1.21\n-- main.go --\npackage main\n\nimport "fmt"\n\n'
MAIN += 'func main() { fmt.Println("hello") }\n'


def cell(target: str = "linux/amd64", **changes: object) -> Cell:
    goos, goarch, *level = target.split("/")
    default = {"arm": "7", "amd64": "v1", "arm64": "v8.0", "386": "sse2"}.get(goarch, "")
    base = Cell(
        goos=goos,
        goarch=goarch,
        variant=level[0] if level else default,
        cgo=False,
        go="1.27",
        go_version="1.27.3",
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def case(head: str, files: str = MAIN) -> Case:
    text = dedent(head).lstrip() + files
    archive = txtar.parse(text.encode())
    return casefile.from_archive(archive, path=Path("cases/run_x.txtar"), name="run_x.txtar")


def made(head: str, at: Cell | None = None, **changes: object) -> plan.Plan:
    item = Item(case=case(head), cell=at or cell(), role="probe")
    return plan.make(replace(item, **changes), HOST)  # type: ignore[arg-type]


HELLO = 'title: hello\nexpect: {stdout: {equal: "hello\\n"}}\n'
TRAP = """
    title: a trap
    why: because
    refs: ['found here: a test']
    cells: {GOOS: linux}
    build: {env: {GOARM: v6}}
    traps:
      - {when: {GOARCH: arm}, stage: run, signature: SIGILL}
    remedy: {what: drop the v, build: {env: {GOARM: '6'}}}
"""


def test_the_environment_is_only_what_the_plan_names() -> None:
    """A build inherits nothing: the environment holds the plan's own variables, all hygienic."""
    env = dict(made(HELLO).build[0].env)
    assert env["GOENV"] == "off"
    assert env["GOTOOLCHAIN"] == "local"
    assert env["GOPROXY"] == "off"
    assert env["GOWORK"] == "off"
    assert env["GOFLAGS"] == env["CC"] == env["CXX"] == env["CGO_CFLAGS"] == ""
    assert env["LC_ALL"] == "C"
    assert env["GOAMD64"] == "v1"
    assert env["PATH"] == "⟦path⟧"
    assert "GOARM" not in env


def test_a_build_is_go_build_of_the_folder() -> None:
    """Without a word about it, a case is built with go build, into app."""
    assert made(HELLO).build[0].argv == ("go", "build", "-o", "app", ".")
    assert made(HELLO, cell("windows/amd64")).artifact == "app.exe"


def test_the_case_lays_its_environment_over_the_cell() -> None:
    """build.env may contradict the cell: that is what some traps are."""
    env = dict(made(TRAP, cell("linux/arm")).build[0].env)
    assert env["GOARM"] == "v6"


def test_a_swallowed_level_is_not_checked() -> None:
    """A value that Go swallows is a mismatch only where the case says so."""
    swallowed = made(TRAP, cell("linux/arm")).wanted
    kept = made(TRAP, cell("linux/arm"), role="remedy").wanted
    assert swallowed is not None
    assert swallowed.variant is None
    assert kept is not None
    assert kept.variant == "6"


def test_a_remedy_item_exists_where_a_trap_closes() -> None:
    """Trap items in every collected cell, a remedy only where its trap closes."""
    cells = (cell("linux/arm"), cell("linux/amd64"), cell("windows/amd64"))
    names = [item.name for item in plan.items(case(TRAP), cells, HERE)]
    assert names == [
        "trap[linux_arm-cgo0-go1.27]",
        "remedy[linux_arm-cgo0-go1.27]",
        "trap[linux_amd64-cgo0-go1.27]",
    ]


def test_a_case_adds_only_the_ccs_that_it_names() -> None:
    """A cc listed by name adds cells at the run's targets, and selectors still choose."""
    named = case("title: zig\ncells: {CGO_ENABLED: 1, cc: zig}\n")
    cells = (cell("linux/arm64", cgo=True), cell("linux/amd64", cgo=True), cell("linux/arm"))
    everywhere = [item.cell.id for item in plan.items(named, cells, HERE)]
    chosen = [i.cell.id for i in plan.items(named, cells, HERE, (Selector("linux/arm64"),))]
    assert everywhere == ["linux_arm64-cgo1-zig-go1.27", "linux_amd64-cgo1-zig-go1.27"]
    assert chosen == ["linux_arm64-cgo1-zig-go1.27"]


def test_a_case_with_steps_is_collected_at_the_default_build_mode_only() -> None:
    """An axis that the case fixes itself has only its default."""
    stepped = case("title: s\nbuild: {steps: [[go, version]], output: none}\n")
    cells = (cell(), cell(buildmode="pie"))
    assert [item.cell.buildmode for item in plan.items(stepped, cells, HERE)] == ["default"]


@pytest.mark.parametrize(
    ("target", "argv"),
    [
        ("linux/amd64", ("⟦work⟧/app",)),
        ("linux/386", ("⟦work⟧/app",)),
        ("linux/arm64", ("⟦tool:qemu-aarch64⟧", "⟦work⟧/app")),
        ("js/wasm", ("⟦tool:node⟧", "⟦tool:wasm_exec⟧", "⟦work⟧/app")),
    ],
)
def test_the_runner_stands_before_the_binary(target: str, argv: tuple[str, ...]) -> None:
    """Each target's runner is a command before the binary."""
    run = made(HELLO, cell(target)).run
    assert run is not None
    assert run.command.argv == argv


def test_wasip1_gets_its_environment_and_folders_from_the_runner() -> None:
    """wazero passes nothing on by itself."""
    run = made("title: w\nrun: {env: {A: b}, dirs: [data]}\n", cell("wasip1/wasm")).run
    assert run is not None
    assert run.command.argv[:2] == ("⟦tool:wazero⟧", "run")
    assert "-mount=⟦work⟧/data:/data" in run.command.argv
    assert "-env=A=b" in run.command.argv


def test_a_cpu_asks_for_the_emulator() -> None:
    """A CPU model can only be had from qemu, on the native architecture too."""
    run = made("title: c\nrun: {cpu: Nehalem}\n").run
    assert run is not None
    assert run.command.argv == ("⟦tool:qemu-x86_64⟧", "-cpu", "Nehalem", "⟦work⟧/app")


def test_a_target_without_runner_says_so() -> None:
    """What cannot be run here is unreached, with its reason."""
    run = made(HELLO, cell("darwin/arm64", variant="v8.0")).run
    assert run is not None
    assert run.unreached == "no runner for darwin/arm64"


def test_placeholders_become_values_and_symbols() -> None:
    """The exact placeholders are filled, every other brace stands as written."""
    env = dict(
        made("title: p\nbuild: {env: {A: '{GOOS} {work} {{.X}} ${V#v} {app}'}}\n").build[0].env
    )
    assert env["A"] == "linux ⟦work⟧ {{.X}} ${V#v} ⟦work⟧/app"


def test_godebug_is_joined() -> None:
    """A case's GODEBUG does not take away what a read-only cache needs."""
    env = dict(made("title: d\nbuild: {env: {GODEBUG: x=1}}\n").build[0].env)
    assert env["GODEBUG"] == "goindex=0,x=1"


def test_what_is_unset_is_absent() -> None:
    """unset takes a variable out of the clean environment."""
    env = dict(made("title: u\nbuild: {unset: [GOCACHE, HOME]}\n").build[0].env)
    assert "GOCACHE" not in env
    assert "HOME" not in env


def test_a_missing_compiler_is_a_skip_with_its_reason() -> None:
    """A cc that is not to be had is never an error of the case."""
    assert "no C compiler mingw" in made("title: m\nbuild: {cc: mingw}\n").skip


def test_zig_brings_its_target_and_its_cache() -> None:
    """The CPU and OS of zig's target come from the cell, the libc from the cc."""
    planned = made("title: z\nbuild: {cc: 'zig:gnu.2.17'}\n", cell("linux/arm64", cgo=True))
    env = dict(planned.build[0].env)
    assert env["CC"] == "zig cc -target aarch64-linux-gnu.2.17"
    assert env["ZIG_GLOBAL_CACHE_DIR"] == "⟦zigcache⟧"
    assert planned.builder.zig_target == "aarch64-linux-gnu.2.17"


def test_the_digest_covers_what_is_observed_and_nothing_else() -> None:
    """Another file, level, or expectation is another plan; warming is not."""
    one = made(HELLO)
    assert one.digest == made(HELLO).digest
    assert one.digest != made(HELLO.replace("hello\\n", "hallo\\n")).digest
    assert one.digest != made(HELLO, cell("linux/amd64/v3")).digest
    warmer = replace(one, builder=replace(one.builder, warm=None))
    assert one.digest == warmer.digest


def test_the_warm_up_names_the_standard_packages() -> None:
    """The caches are filled with what the program imports, for the build's own configuration."""
    warm = made("title: w\nbuild: {args: [-trimpath]}\n", cell("linux/arm")).builder.warm
    assert warm is not None
    assert warm.packages == ("fmt", "runtime")
    assert warm.flags == ("-trimpath",)
    assert ("GOARM", "7") in warm.env
    assert not any("⟦" in value for _, value in warm.env)
