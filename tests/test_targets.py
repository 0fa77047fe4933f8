"""The table of ports, against what Go and the libcs say."""

from __future__ import annotations

import re

import pytest

from crossmatrix.targets import ARCHES, TARGETS, target, zig_triple


def test_every_level_that_is_a_default_is_a_level() -> None:
    """Each architecture with a variable has a default among its levels; wasm's is none."""
    for arch in ARCHES.values():
        assert bool(arch.variable) == bool(arch.levels)
        if arch.default:
            assert re.fullmatch(arch.levels, arch.default)
        else:
            assert arch.goarch in ("loong64", "s390x", "wasm")


@pytest.mark.parametrize(
    ("goarch", "good", "bad"),
    [
        ("386", "softfloat", "387"),
        ("amd64", "v4", "v5"),
        ("arm", "6,softfloat", "v6"),
        ("arm64", "v9.5,lse,crypto", "v9.6"),
        ("mips", "softfloat", "hard"),
        ("ppc64le", "power10", "power11"),
        ("riscv64", "rva23u64", "rva21u64"),
        ("wasm", "satconv,signext", "simd"),
    ],
)
def test_levels(goarch: str, good: str, bad: str) -> None:
    """What Go accepts and means is a level, what it refuses or swallows is none."""
    assert re.fullmatch(ARCHES[goarch].levels, good)
    assert not re.fullmatch(ARCHES[goarch].levels, bad)


def test_linux_knows_both_libcs() -> None:
    """A dynamic program on linux may name glibc's loader or musl's, and no other machine's."""
    for row in TARGETS.values():
        if row.goos == "linux":
            assert row.arch.glibc_interpreter in row.interpreters
            assert row.arch.musl_interpreter in row.interpreters
    mips64 = target("linux", "mips64")
    assert mips64 is not None
    assert mips64.interpreters[0] == "/lib64/ld.so.1"


def test_formats_without_loader_name_none() -> None:
    """Only ELF systems name an interpreter, and plan9 is not one of them."""
    for row in TARGETS.values():
        assert bool(row.interpreters) == (row.format == "elf")


def test_unknown_port() -> None:
    """A port that no supported Go has is not in the table."""
    assert target("wasi", "wasm") is None
    assert target("linux", "sparc64") is None


@pytest.mark.parametrize(
    ("port", "libc", "triple"),
    [
        ("linux/arm64", "", "aarch64-linux-musl"),
        ("linux/arm", "gnu.2.17", "arm-linux-gnueabihf.2.17"),
        ("linux/386", "gnu", "x86-linux-gnu"),
        ("linux/ppc64", "", "powerpc64-linux-musl"),
        ("linux/ppc64", "gnu", None),
        ("linux/amd64", "musl.1.2", None),
        ("linux/mips", "", None),
        ("freebsd/arm", "", "arm-freebsd-eabihf"),
        ("netbsd/amd64", "", "x86_64-netbsd"),
        ("windows/amd64", "", "x86_64-windows-gnu"),
        ("windows/amd64", "gnu.2.17", None),
        ("windows/arm", "", None),
        ("darwin/arm64", "", None),
        ("js/wasm", "", None),
    ],
)
def test_zig_triple(port: str, libc: str, triple: str | None) -> None:
    """zig's target names CPU, system and ABI where zig has a libc for them."""
    goos, goarch = port.split("/")
    assert zig_triple(goos, goarch, libc) == triple
