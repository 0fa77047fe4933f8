"""Facts against wishes: what is checked without being asked, and what a case asks for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from binary_bytes import elf, go_blob, module_text, wasm
from crossmatrix import binary, check
from crossmatrix.case import FactOperator, FactWanted
from crossmatrix.check import Mismatch, Wanted
from crossmatrix.observation import BinaryFacts, GoBuildInfo

SETTINGS = (("CGO_ENABLED", "0"), ("GOARCH", "amd64"), ("GOOS", "linux"), ("GOAMD64", "v1"))
GO = GoBuildInfo(version="go1.27.3", path="p", module="p", settings=SETTINGS)
FACTS = BinaryFacts(
    format="elf", machine="amd64", bits="64", byteorder="little", type="exe", osabi="sysv",
    flags=("0x0",), linkage="static", interpreter="absent", needed=(), glibc="absent", go=GO,
    size=1000,
)  # fmt: skip
WANTED = Wanted(goos="linux", goarch="amd64", go_version="1.27.3", variant="v1", cgo=False)


def lines(facts: BinaryFacts, wanted: Wanted) -> list[str]:
    """The mismatches as the inspect stage prints them."""
    return [str(mismatch) for mismatch in check.compare(facts, wanted)]


def settings(**over: str) -> GoBuildInfo:
    """The build info with other settings."""
    return replace(GO, settings=tuple({**dict(SETTINGS), **over}.items()))


def test_a_good_file_has_no_mismatch() -> None:
    """What is as wanted gives nothing."""
    assert check.compare(FACTS, WANTED) == ()


@pytest.mark.parametrize(
    ("over", "line"),
    [
        ({"machine": "arm64"}, "machine: want amd64, got arm64"),
        ({"bits": "32"}, "class: want 64, got 32"),
        ({"byteorder": "big"}, "byteorder: want little, got big"),
        ({"type": "pie"}, "type: want exe, got pie"),
        ({"linkage": "dynamic"}, "linkage: want static, got dynamic"),
        (
            {"interpreter": "/lib/ld-linux-aarch64.so.1"},
            "interpreter: want /lib64/ld-linux-x86-64.so.2, got /lib/ld-linux-aarch64.so.1",
        ),
        (
            {"needed": ("libc.so.6",)},
            "interpreter: want /lib64/ld-linux-x86-64.so.2, got absent",
        ),
        ({"go": None}, "go: want present, got absent"),
        ({"go": replace(GO, version="go1.26.6")}, "go.version: want go1.27.3, got go1.26.6"),
        ({"go": settings(GOOS="freebsd")}, "go.GOOS: want linux, got freebsd"),
        ({"go": settings(GOARCH="386")}, "go.GOARCH: want amd64, got 386"),
        ({"go": settings(CGO_ENABLED="1")}, "go.CGO_ENABLED: want 0, got 1"),
        ({"go": settings(GOAMD64="v3")}, "go.GOAMD64: want v1, got v3"),
    ],
)
def test_automatic(over: dict[str, object], line: str) -> None:
    """Each fact is held against the target, the build mode and the OS's contract."""
    assert lines(replace(FACTS, **over), WANTED) == [line]  # type: ignore[arg-type]


def test_another_format() -> None:
    """A file of another format says so first."""
    seen = lines(binary.read(wasm(exports=["_start"])), WANTED)
    assert seen[0] == "format: want elf, got wasm"


@pytest.mark.parametrize("mode", ["default", "exe"])
def test_cgo_leaves_linkage_to_the_c_compiler(mode: str) -> None:
    """With cgo a program may be static or dynamic, with either libc's loader."""
    wanted = replace(WANTED, cgo=True, buildmode=mode)
    facts = replace(FACTS, go=settings(CGO_ENABLED="1"))
    assert lines(facts, wanted) == []
    for loader in ("/lib64/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1"):
        assert lines(replace(facts, linkage="dynamic", interpreter=loader), wanted) == []


def test_pie_may_name_an_interpreter() -> None:
    """A pie without cgo names an interpreter and is as wanted; a static pie is too."""
    wanted = replace(WANTED, buildmode="pie")
    pie = replace(FACTS, type="pie", linkage="dynamic", interpreter="/lib64/ld-linux-x86-64.so.2")
    assert lines(pie, wanted) == []
    assert lines(replace(FACTS, type="static-pie"), wanted) == []
    assert lines(FACTS, wanted) == ["type: want pie, got exe"]


@pytest.mark.parametrize("mode", ["c-shared", "plugin", "shared"])
def test_libraries(mode: str) -> None:
    """A library is of type dyn, needs libraries and names no interpreter."""
    facts = replace(FACTS, type="dyn", linkage="dynamic", needed=("libc.so.6",))
    assert lines(facts, replace(WANTED, buildmode=mode)) == []
    assert lines(FACTS, replace(WANTED, buildmode=mode)) == ["type: want dyn, got exe"]


@pytest.mark.parametrize("mode", ["archive", "c-archive"])
def test_archives(mode: str) -> None:
    """An archive is checked by its format and machine; its build info is not read."""
    facts = BinaryFacts(format="archive", machine="amd64", bits="64", byteorder="little")
    assert lines(facts, replace(WANTED, buildmode=mode)) == []
    assert lines(FACTS, replace(WANTED, buildmode=mode)) == ["format: want archive, got elf"]


@pytest.mark.parametrize(
    ("goos", "kind", "linkage", "interpreter"),
    [
        ("freebsd", "exe", "static", "absent"),
        ("netbsd", "exe", "static", "absent"),
        ("dragonfly", "exe", "static", "absent"),
        ("openbsd", "exe", "dynamic", "/usr/libexec/ld.so"),
        ("solaris", "exe", "dynamic", "/lib/amd64/ld.so.1"),
        ("illumos", "exe", "dynamic", "/lib/amd64/ld.so.1"),
        ("android", "pie", "dynamic", "/system/bin/linker64"),
    ],
)
def test_each_os_has_its_contract(goos: str, kind: str, linkage: str, interpreter: str) -> None:
    """Without cgo a program is static or dynamic as its OS demands."""
    facts = replace(
        FACTS, type=kind, linkage=linkage, interpreter=interpreter, go=settings(GOOS=goos)
    )
    wanted = replace(WANTED, goos=goos)
    assert lines(facts, wanted) == []
    if kind == "exe":
        other = "dynamic" if linkage == "static" else "static"
        assert lines(replace(facts, linkage=other), wanted) == [
            f"linkage: want {linkage}, got {other}"
        ]


@pytest.mark.parametrize(("version", "count"), [("1.22.10", 0), ("1.23rc1", 1), ("1.27.3", 1)])
def test_a_level_counts_where_go_records_it(version: str, count: int) -> None:
    """GOARM64 is in the build info since 1.23, and is not missed before it."""
    info = GoBuildInfo(
        version=f"go{version}", path="p", settings=(*SETTINGS[:1], ("GOARCH", "arm64"), SETTINGS[2])
    )
    facts = replace(FACTS, machine="arm64", go=info)
    wanted = replace(WANTED, goarch="arm64", variant="v8.0", go_version=version)
    assert lines(facts, wanted) == ["go.GOARM64: want v8.0, got absent"] * count


def test_what_the_case_unset_is_not_checked() -> None:
    """A None among the wishes switches its check off."""
    wanted = replace(WANTED, goos=None, goarch=None, cgo=None, variant=None)
    facts = replace(FACTS, machine="arm64", linkage="dynamic", go=settings(CGO_ENABLED="1"))
    assert lines(facts, wanted) == []


def test_a_cases_own_fact_replaces_the_automatic_one() -> None:
    """A fact that the case names is checked as the case says, and only so."""
    dynamic = FactWanted(fact="linkage", operator="is", values=("dynamic",))
    absent = FactWanted(fact="go", operator="absent")
    assert lines(FACTS, replace(WANTED, facts=(dynamic,))) == ["linkage: want dynamic, got static"]
    assert lines(replace(FACTS, go=None), replace(WANTED, facts=(absent,))) == []
    assert lines(FACTS, replace(WANTED, goos="plan9", facts=(absent,)))[-1] == (
        "go: want absent, got present"
    )


def test_facts_none_switches_all_off() -> None:
    """Without automatic checks only the case's own remain."""
    wanted = replace(WANTED, goos="windows", no_auto=True)
    assert lines(FACTS, wanted) == []


@pytest.mark.parametrize(
    ("fact", "operator", "values", "got", "line"),
    [
        ("needed", "is", ("b", "a"), {"needed": ("a", "b")}, None),
        ("needed", "is", ("a",), {"needed": ("a", "b")}, "needed: want a, got a, b"),
        ("needed", "is", (), {"needed": ()}, None),
        ("needed", "is", (), {"needed": ("a",)}, "needed: want absent, got a"),
        ("needed", "has", ("a",), {"needed": ("a", "b")}, None),
        ("needed", "has", ("c",), {"needed": ("a", "b")}, "needed: want has c, got a, b"),
        ("needed", "lacks", ("b",), {"needed": ("a", "b")}, "needed: want lacks b, got b"),
        ("needed", "lacks", ("b",), {"needed": ()}, None),
        ("glibc", "max", ("2.17",), {"glibc": "2.4"}, None),
        ("glibc", "max", ("2.17",), {"glibc": "2.34"}, "glibc: want max 2.17, got 2.34"),
        ("glibc", "max", ("2.17",), {"glibc": "absent"}, None),
        ("glibc", "min", ("2.17",), {"glibc": "absent"}, "glibc: want min 2.17, got absent"),
        ("glibc", "min", ("2.4",), {"glibc": "2.17"}, None),
        ("go.version", "is", ("1.27.3",), {}, None),
        ("go.version", "min", ("1.27rc1",), {}, None),
        ("go.version", "max", ("1.26",), {}, "go.version: want max 1.26, got go1.27.3"),
        ("size", "max", ("999",), {}, "size: want max 999, got 1000"),
        ("machine", "is", ("386", "amd64"), {}, None),
        ("interpreter", "has", ("musl",), {"interpreter": "/lib/ld-musl-x86_64.so.1"}, None),
        ("interpreter", "absent", (), {}, None),
        ("go.GOARM", "absent", (), {}, None),
        ("go.GOOS", "absent", (), {}, "go.GOOS: want absent, got linux"),
        ("linkage", "absent", (), {}, "linkage: want absent, got static"),
    ],
)
def test_operators(
    fact: str,
    operator: FactOperator,
    values: tuple[str, ...],
    got: dict[str, object],
    line: str | None,
) -> None:
    """Lists are sets, versions are numbers, and absent is below every limit."""
    wish = FactWanted(fact=fact, operator=operator, values=values)
    facts = replace(FACTS, **got)  # type: ignore[arg-type]
    assert lines(facts, replace(WANTED, no_auto=True, facts=(wish,))) == ([line] if line else [])


def test_a_fact_that_is_not_read_yet_is_no_pass() -> None:
    """What a format could have and nobody reads is neither there nor absent."""
    wish = FactWanted(fact="minos", operator="absent")
    facts = BinaryFacts(format="macho", machine="arm64", bits="64", byteorder="little")
    assert lines(facts, replace(WANTED, no_auto=True, facts=(wish,))) == [
        "minos: want absent, got not read from macho yet"
    ]


def test_text_from_a_file_stays_on_its_line() -> None:
    """A value cannot forge a line of its own nor speak to a terminal."""
    mismatch = Mismatch(fact="needed", want="a", got="b\nlinkage: want x\x1b[2J")
    assert str(mismatch) == r"needed: want a, got b\nlinkage: want x\x1b[2J"


def test_long_lists_are_cut() -> None:
    """A list of thousands is shown by its first and its length."""
    wish = FactWanted(fact="imports", operator="has", values=("x",))
    facts = replace(FACTS, imports=tuple(str(n) for n in range(5000)))
    (line,) = lines(facts, replace(WANTED, no_auto=True, facts=(wish,)))
    assert line.endswith("11, … (5000 in all)")


def test_lists_names_what_to_read() -> None:
    """Costly facts are read where the case speaks of them."""
    wish = FactWanted(fact="symbols", operator="has", values=("main.main",))
    assert check.lists(replace(WANTED, facts=(wish,))) == {"symbols"}
    assert check.lists(WANTED) == frozenset()


def test_from_bytes_to_mismatch() -> None:
    """The bytes of a file, read and held against the wishes, give the lines."""
    text = module_text({**dict(SETTINGS), "GOAMD64": "v3"})
    facts = binary.read(elf(go=go_blob(text=text)))
    assert lines(facts, WANTED) == ["go.GOAMD64: want v1, got v3"]
