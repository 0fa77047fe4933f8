"""WebAssembly: imports, exports, sections, and Go's build info, which Go itself cannot read."""

from __future__ import annotations

import pytest

from binary_bytes import module_text, varint, wasm, wasm_name, wasm_section
from crossmatrix import binary
from crossmatrix.errors import InputError


def test_imports_exports_sections() -> None:
    """Imports are module.name, exports are names, custom sections stand apart."""
    facts = binary.read(
        wasm(
            imports=[("wasi_snapshot_preview1", "fd_write"), ("gojs", "runtime.walltime")],
            exports=["_start", "memory"],
            customs=[("name", b""), (".debug_info", b"\0")],
        )
    )
    assert facts.imports == ("wasi_snapshot_preview1.fd_write", "gojs.runtime.walltime")
    assert facts.exports == ("_start", "memory")
    assert facts.custom_sections == ("name", ".debug_info")
    assert facts.sections == ("type", "import", "export")
    assert (facts.format, facts.machine, facts.bits, facts.byteorder, facts.type) == (
        "wasm", "wasm", "32", "little", "exe",
    )  # fmt: skip
    assert (facts.stripped, facts.dwarf) == ("no", "yes")


def test_reactor_is_a_library() -> None:
    """A module that is initialized and then called is no program."""
    assert binary.read(wasm(exports=["_initialize", "add"])).type == "dyn"


def test_every_kind_of_import_is_passed_over() -> None:
    """Tables, memories, globals and tags among the imports do not hide those after them."""
    kinds = b"\x01\x70\x01\x01\x02", b"\x02\x03\x01\x02", b"\x03\x7f\x00", b"\x04\x00\x00", b"\0\0"
    rows = b"".join(wasm_name("m") + wasm_name(str(n)) + kind for n, kind in enumerate(kinds))
    data = b"\0asm\x01\0\0\0" + wasm_section(2, varint(len(kinds)) + rows)
    assert binary.read(data).imports == ("m.0", "m.1", "m.2", "m.3", "m.4")


def test_memory64_is_class_64() -> None:
    """A module whose memory has 64-bit addresses is of class 64."""
    assert binary.read(b"\0asm\x01\0\0\0" + wasm_section(5, b"\x01\x04\x01")).bits == "64"


def test_go_build_info() -> None:
    """The module text comes from the data section, the version from the producers."""
    text = module_text({"GOOS": "js", "GOARCH": "wasm"})
    facts = binary.read(wasm(data=b"xx" + text + b"yy", version="go1.27.3"))
    assert binary.value(facts, "go.version") == "go1.27.3"
    assert binary.value(facts, "go.path") == "example.test/hello"
    assert binary.value(facts, "go.GOOS") == "js"


def test_go_build_info_without_producers() -> None:
    """Where the custom sections were removed the settings remain, the version is absent."""
    facts = binary.read(wasm(data=module_text()))
    assert binary.value(facts, "go.version") == "absent"
    assert binary.value(facts, "go.CGO_ENABLED") == "0"
    assert binary.value(binary.read(wasm()), "go") == "absent"


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"\0asm", "version  is no"),
        (b"\0asm\x0d\0\x01\0", "version 0d000100 is no"),
        (b"\0asm\x01\0\0\0\x02\xff\xff\xff\xff\x0f", "reach beyond byte"),
        (b"\0asm\x01\0\0\0\x02\xff\xff\xff\xff\xff\xff", "more than 32 bits"),
        (b"\0asm\x01\0\0\0\x63\0", "no section of kind 99"),
        (b"\0asm\x01\0\0\0" + wasm_section(2, b"\xff\xff\xff\xff\x0f"), "cut short at byte"),
        (b"\0asm\x01\0\0\0" + wasm_section(2, b"\x01\x01m\x01n\x09\0"), "no import of kind 9"),
        (b"\0asm\x01\0\0\0" + wasm_section(7, b"\0\0"), "1 bytes too many: export"),
    ],
)
def test_malformed(data: bytes, cause: str) -> None:
    """Lengths beyond the section, numbers too long and unknown kinds are refused by their cause."""
    with pytest.raises(InputError, match=cause):
        binary.read(data, name="app.wasm")
