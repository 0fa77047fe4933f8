"""Programs that a real Go built, read and held against what was asked for."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from crossmatrix import binary, check
from crossmatrix.errors import InputError
from crossmatrix.targets import ARCHES
from crossmatrix.toolchain import Store

pytestmark = pytest.mark.engine

VERSION = "1.27.3"
PORTS = (
    "linux/amd64", "linux/s390x", "openbsd/amd64", "windows/amd64", "js/wasm", "wasip1/wasm",
)  # fmt: skip
MORE_PORTS = (
    "linux/386", "linux/arm", "linux/mips", "android/arm64", "freebsd/amd64", "darwin/arm64",
    "plan9/386", "aix/ppc64",
)  # fmt: skip

Build = Callable[..., Path]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Builds a program that says nothing and needs nothing but the runtime."""
    go = Store().get(f"go{VERSION}").executable
    folder = tmp_path_factory.mktemp("hello")
    (folder / "go.mod").write_text("module example.test/hello\n\ngo 1.21\n")
    (folder / "main.go").write_text("package main\n\nfunc main() {}\n")
    cache = tmp_path_factory.mktemp("gocache")
    counter = iter(range(1000))

    def make(port: str, *flags: str) -> Path:
        goos, goarch = port.split("/")
        arch = ARCHES[goarch]
        out = folder / f"app{next(counter)}"
        env = {
            "GOOS": goos, "GOARCH": goarch, "CGO_ENABLED": "0", "GOCACHE": str(cache),
            "GOENV": "off", "GOFLAGS": "", "GOPROXY": "off", "GOTOOLCHAIN": "local",
            "GOWORK": "off", "HOME": str(folder), "PATH": "",
        }  # fmt: skip
        if arch.default:
            env[arch.variable] = arch.default
        argv: list[str | Path] = [go, "build", "-buildvcs=false", *flags, "-o", out, "."]
        done = subprocess.run(argv, cwd=folder, env=env, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return out

    return make


def wanted(port: str, buildmode: str = "default") -> check.Wanted:
    """What a plan would ask of a build without cgo at the default level."""
    goos, goarch = port.split("/")
    return check.Wanted(
        goos=goos,
        goarch=goarch,
        go_version=VERSION,
        variant=ARCHES[goarch].default or None,
        cgo=False,
        buildmode=buildmode,
    )


@pytest.mark.parametrize(
    "port", [*PORTS, *(pytest.param(port, marks=pytest.mark.night) for port in MORE_PORTS)]
)
def test_hello_is_as_wanted(build: Build, port: str) -> None:
    """A hello without cgo meets every automatic check of its own port, and of no other."""
    facts = binary.read(build(port))
    assert check.compare(facts, wanted(port)) == ()
    for other in (*PORTS, *MORE_PORTS):
        assert other == port or check.compare(facts, wanted(other))


@pytest.mark.parametrize(
    ("port", "mode", "kind", "interpreter"),
    [
        ("linux/amd64", "pie", "pie", ARCHES["amd64"].glibc_interpreter),
        ("wasip1/wasm", "c-shared", "dyn", None),
    ],
)
def test_build_modes(
    build: Build, port: str, mode: str, kind: str, interpreter: str | None
) -> None:
    """A pie without cgo names an interpreter, a WASI reactor is a library; both as wanted."""
    facts = binary.read(build(port, f"-buildmode={mode}"))
    assert facts.type == kind
    if interpreter is not None:
        # Where the building machine has only musl, Go writes musl's.
        assert facts.interpreter in (interpreter, ARCHES[port.split("/")[1]].musl_interpreter)
    assert check.compare(facts, wanted(port, mode)) == ()


@pytest.mark.parametrize("port", ["linux/amd64", "js/wasm"])
def test_stripped_programs_keep_their_build_info(build: Build, port: str) -> None:
    """Without symbols and DWARF the build info is still there."""
    facts = binary.read(build(port, "-ldflags=-s -w"))
    assert (facts.stripped, facts.dwarf) == ("yes", "no")
    assert check.compare(facts, wanted(port)) == ()
    assert binary.value(facts, "go.-ldflags") == "-s -w"


def test_build_info_without_section_headers(build: Build) -> None:
    """A program whose section headers were cut away still tells its build info."""
    data = bytearray(build("linux/amd64").read_bytes())
    data[0x28:0x30] = bytes(8)
    data[0x3C:0x40] = bytes(4)
    facts = binary.read(bytes(data), want={"sections"})
    assert facts.sections == ()
    assert check.compare(facts, wanted("linux/amd64")) == ()


@pytest.mark.parametrize("port", ["linux/amd64", "linux/s390x", "openbsd/amd64", "wasip1/wasm"])
def test_damaged_programs(build: Build, port: str) -> None:
    """Real programs, cut or with bits turned, give facts or an InputError."""
    whole = build(port, "-ldflags=-s -w").read_bytes()
    chance = random.Random(port)
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            limit = chance.choice([64, 400, len(data)])
            data[chance.randrange(limit)] ^= 1 << chance.randrange(8)
        if chance.random() < 0.3:
            del data[chance.randrange(len(data)) :]
        try:
            facts = binary.read(bytes(data), want=binary.LISTS)
        except InputError:
            continue
        check.compare(facts, wanted(port))
