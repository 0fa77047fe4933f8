"""Formats of which only the head is read: PE, Mach-O, XCOFF, Plan 9, archives."""

from __future__ import annotations

import struct

import pytest

from binary_bytes import elf
from crossmatrix import binary
from crossmatrix.errors import InputError


def pe(machine: int, optional: int) -> bytes:
    """A DOS header that leads to a PE header."""
    head = b"MZ" + bytes(58) + struct.pack("<I", 64)
    return head + b"PE\0\0" + struct.pack("<H", machine) + bytes(18) + struct.pack("<H", optional)


def archive(*members: tuple[str, bytes]) -> bytes:
    """An ar archive."""
    out = b"!<arch>\n"
    for name, data in members:
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{644:<8}{len(data):<10}`\n".encode() + data
        out += b"\n" * (len(data) % 2)
    return out


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (pe(0x8664, 0x20B), ("pe", "amd64", "64", "little")),
        (pe(0x14C, 0x10B), ("pe", "386", "32", "little")),
        (pe(0xAA64, 0x20B), ("pe", "arm64", "64", "little")),
        (pe(0x1C4, 0x10B), ("pe", "arm", "32", "little")),
        (b"\xcf\xfa\xed\xfe\x07\0\0\x01" + bytes(24), ("macho", "amd64", "64", "little")),
        (b"\xcf\xfa\xed\xfe\x0c\0\0\x01" + bytes(24), ("macho", "arm64", "64", "little")),
        (b"\xca\xfe\xba\xbe\0\0\0\x02", ("macho", None, None, None)),
        (b"\x01\xf7" + bytes(20), ("xcoff", "ppc64", "64", "big")),
        (b"\0\0\x8a\x97" + bytes(28), ("plan9", "amd64", "64", "little")),
        (b"\0\0\x01\xeb" + bytes(28), ("plan9", "386", "32", "little")),
        (b"\0\0\x06\x47" + bytes(28), ("plan9", "arm", "32", "little")),
        (archive(("/", b"\0" * 4), ("go.o/", elf(kind=1))), ("archive", "amd64", "64", "little")),
        (
            archive(("__.PKGDEF", b"go object linux s390x go1.27.3 GO\n\n")),
            ("archive", "s390x", "64", "big"),
        ),
        (archive(("#1/4", b"go.o" + elf(machine=183))), ("archive", "arm64", "64", "little")),
        (archive(), ("archive", None, None, None)),
    ],
)
def test_head(data: bytes, wanted: tuple[str | None, ...]) -> None:
    """Format, machine, class and byte order stand at fixed places."""
    facts = binary.read(data)
    assert (facts.format, facts.machine, facts.bits, facts.byteorder) == wanted


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"#!/bin/sh\n", "begins with 23 21 2f"),
        (b"\xca\xfe\xba\xbe\0\0\0\x34", "no program of a known format"),
        (b"MZ", "DOS header is cut short"),
        (b"MZ" + bytes(80), "without a PE header"),
        (archive(("a", b"x" * 10))[:-4], "cut short"),
        (b"!<arch>\n" + b"x" * 60, "no archive member at byte 8"),
    ],
)
def test_refused(data: bytes, cause: str) -> None:
    """What is no program is refused with what it begins with."""
    with pytest.raises(InputError, match=cause):
        binary.read(data, name="app")


def test_vocabulary() -> None:
    """Facts have the names of the case format; go.* holds any setting."""
    assert all(binary.known(name) for name in (*binary.FACT_NAMES, "go.GOARM", "go.-ldflags"))
    assert not binary.known("colour")
    facts = binary.read(elf())
    for name in binary.FACT_NAMES:
        binary.value(facts, name)
