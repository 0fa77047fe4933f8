"""ELF: what each header says, and what a broken one may not do."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import pytest

from binary_bytes import BASE, elf
from crossmatrix import binary
from crossmatrix.errors import InputError


@pytest.mark.parametrize(
    ("machine", "bits", "little", "goarch"),
    [
        (3, 32, True, "386"),
        (62, 64, True, "amd64"),
        (40, 32, True, "arm"),
        (183, 64, True, "arm64"),
        (258, 64, True, "loong64"),
        (8, 32, False, "mips"),
        (8, 32, True, "mipsle"),
        (8, 64, False, "mips64"),
        (8, 64, True, "mips64le"),
        (21, 64, False, "ppc64"),
        (21, 64, True, "ppc64le"),
        (243, 64, True, "riscv64"),
        (22, 64, False, "s390x"),
    ],
)
def test_machine_is_gos_name(machine: int, bits: int, little: bool, goarch: str) -> None:
    """Machine, class and byte order together give Go's GOARCH."""
    facts = binary.read(elf(machine=machine, bits=bits, little=little))
    order = "little" if little else "big"
    assert (facts.format, facts.machine, facts.bits, facts.byteorder) == (
        "elf", goarch, str(bits), order,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("machine", "bits", "little", "name"),
    [(62, 32, True, "EM_X86_64"), (183, 64, False, "EM_AARCH64"), (0x1234, 64, True, "EM_4660")],
)
def test_machine_without_goarch(machine: int, bits: int, little: bool, name: str) -> None:
    """A machine that Go has no name for keeps ELF's own."""
    assert binary.read(elf(machine=machine, bits=bits, little=little)).machine == name


@pytest.mark.parametrize(
    ("kind", "interpreter", "tags", "wanted"),
    [
        (2, None, (), "exe"),
        (1, None, (), "rel"),
        (3, None, (), "dyn"),
        (3, "/lib/ld.so", (), "pie"),
        (3, "/lib/ld.so", ((0x6FFFFFFB, 0x08000000),), "pie"),
        (3, None, ((0x6FFFFFFB, 0x08000000),), "static-pie"),
        (3, "/lib/ld.so", ((14, 0),), "dyn"),
    ],
)
def test_type(
    kind: int, interpreter: str | None, tags: tuple[tuple[int, int], ...], wanted: str
) -> None:
    """A pie is told from a library by DF_1_PIE, or by an interpreter without a soname."""
    assert binary.read(elf(kind=kind, interpreter=interpreter, tags=tags)).type == wanted


@pytest.mark.parametrize(
    ("interpreter", "needed", "linkage"),
    [
        (None, (), "static"),
        ("/lib64/ld-linux-x86-64.so.2", (), "dynamic"),
        (None, ("libc.so.6",), "dynamic"),
    ],
)
def test_linkage(interpreter: str | None, needed: tuple[str, ...], linkage: str) -> None:
    """A file is dynamic where it names an interpreter or needs a library."""
    facts = binary.read(elf(interpreter=interpreter, needed=needed))
    assert facts.linkage == linkage
    assert facts.interpreter == (interpreter or "absent")
    assert facts.needed == needed


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("little", [True, False])
@pytest.mark.parametrize("headers", [True, False])
def test_glibc_is_the_highest_by_number(bits: int, little: bool, headers: bool) -> None:
    """2.34 is above 2.4 and 2.2.5, private versions do not count, headers are not needed."""
    versions = ("GLIBC_2.4", "GLIBC_2.34", "GLIBC_2.2.5", "GLIBC_PRIVATE")
    machine = 62 if bits == 64 else 3
    facts = binary.read(
        elf(needed=("libc.so.6",), versions=versions, machine=machine, bits=bits, little=little,
            headers=headers)
    )  # fmt: skip
    assert facts.glibc == "2.34"
    assert facts.needed == ("libc.so.6",)


def test_stripped_and_dwarf() -> None:
    """A symbol table makes a file not stripped, .debug_info makes it one with DWARF."""
    full = binary.read(elf(symbols=[("main.main", True)], debug=True))
    bare = binary.read(elf())
    assert (full.stripped, full.dwarf) == ("no", "yes")
    assert (bare.stripped, bare.dwarf) == ("yes", "no")


def test_hardening() -> None:
    """Relro, an executable stack, and memory both writable and executable are told."""
    safe = binary.read(elf(relro=True, tags=((24, 0),)))
    lazy = binary.read(elf(relro=True))
    open_ = binary.read(elf(stack_flags=7, load_flags=7))
    assert (safe.relro, safe.nx, safe.wx) == ("full", "yes", "no")
    assert lazy.relro == "partial"
    assert (open_.relro, open_.nx, open_.wx) == ("none", "no", "yes")


def test_flags_are_decoded() -> None:
    """Flags are the number in hex, then the names of the ABI's parts."""
    assert binary.read(elf(machine=40, bits=32, flags=0x5000400)).flags == (
        "0x5000400", "eabi5", "hard-float",
    )  # fmt: skip
    assert binary.read(elf(machine=243, flags=5)).flags == ("0x5", "rvc", "double-float")
    assert binary.read(elf(flags=0)).flags == ("0x0",)


def test_osabi() -> None:
    """The ABI has its own name, a number where there is none."""
    assert binary.read(elf(osabi=9)).osabi == "freebsd"
    assert binary.read(elf(osabi=200)).osabi == "0xc8"


@pytest.mark.parametrize("bits", [32, 64])
def test_lists_only_where_asked(bits: int) -> None:
    """Symbols, imports, exports and sections are read where they are asked for."""
    data = elf(
        machine=62 if bits == 64 else 3,
        bits=bits,
        symbols=[("main.main", True)],
        dynamic_symbols=[("puts", False), ("Twice", True)],
    )
    assert binary.read(data).symbols is None
    facts = binary.read(data, want=binary.LISTS)
    assert facts.symbols == ("main.main",)
    assert facts.imports == ("puts",)
    assert facts.exports == ("Twice",)
    assert facts.sections is not None
    assert ".dynsym" in facts.sections
    assert facts.sha256 is not None
    assert facts.size == len(data)


def test_error_names_file_cause_and_way_out(tmp_path: Path) -> None:
    """A file cut short is refused with its name, what is wrong and what to do."""
    path = tmp_path / "app"
    path.write_bytes(elf(needed=("libc.so.6",))[:-20])
    with pytest.raises(InputError, match=r"app: malformed: .* at \d+\n.*build it again"):
        binary.read(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A folder, a missing file and an empty one are refused, never waited for."""
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(InputError, match="no regular file"):
        binary.read(tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        binary.read(tmp_path / "none")
    with pytest.raises(InputError, match="is empty"):
        binary.read(tmp_path / "empty")


def test_core_dump_is_refused() -> None:
    """What is neither program nor library nor object is said to be so."""
    with pytest.raises(InputError, match="CORE is no program"):
        binary.read(elf(kind=4))


def test_version_chain_that_turns_back_ends() -> None:
    """A chain of symbol versions that claims four billion entries ends at once."""
    data = bytearray(elf(needed=("libc.so.6",), versions=("GLIBC_2.4", "GLIBC_2.5")))
    number = struct.pack("<qQ", 0x6FFFFFFF, 1)
    at = data.index(number)
    data[at : at + 16] = struct.pack("<qQ", 0x6FFFFFFF, 0xFFFFFFFF)
    begun = time.monotonic()
    assert binary.read(bytes(data)).glibc == "2.5"
    assert time.monotonic() - begun < 1


def test_tables_larger_than_the_file_are_refused() -> None:
    """A header that claims more sections than the file has room for is refused."""
    data = bytearray(elf())
    data[60:62] = b"\xff\xfe"
    with pytest.raises(InputError, match="the table of sections ends at byte"):
        binary.read(bytes(data))


def test_string_table_outside_is_refused() -> None:
    """A library name outside the file is refused."""
    data = bytearray(elf(needed=("libc.so.6",)))
    at = data.index(struct.pack("<q", 5), 64)
    data[at : at + 16] = struct.pack("<qQ", 5, BASE * 1000)
    with pytest.raises(InputError, match="names no string table"):
        binary.read(bytes(data))
