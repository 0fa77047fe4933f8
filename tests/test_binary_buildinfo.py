"""Go's build info inside ELF: where it lies, and what its text says."""

from __future__ import annotations

import pytest

from binary_bytes import elf, go_blob, module_text
from crossmatrix import binary
from crossmatrix.errors import InputError


@pytest.mark.parametrize("headers", [True, False])
def test_found_with_and_without_section_headers(headers: bool) -> None:
    """The build info is found by its section, or in the loaded data where headers were removed."""
    facts = binary.read(elf(go=go_blob(), headers=headers))
    assert facts.go is not None
    assert facts.go.version == "go1.27.3"
    assert facts.go.module == "example.test/hello"
    assert facts.go.setting("GOARCH") == "amd64"
    assert binary.value(facts, "go") == "present"


def test_magic_alone_is_no_build_info() -> None:
    """A program that can read build info holds the magic too, and is passed over."""
    decoy = b"\xff Go buildinf:" + bytes(18)
    assert binary.read(elf(go=decoy + go_blob(), headers=False)).go is not None
    assert binary.value(binary.read(elf(go=decoy, headers=False)), "go") == "absent"


def test_experiments_and_quotes() -> None:
    """Quoted keys and values are unquoted as Go does."""
    extra = 'build\t-ldflags="-X \\"a=b\\"\\t\\u00e9"\nbuild\t"a=b"=`c d`\n'
    facts = binary.read(elf(go=go_blob("go1.27.3 X:nodwarf5", module_text(extra=extra))))
    assert binary.value(facts, "go.version") == "go1.27.3 X:nodwarf5"
    assert binary.value(facts, "go.-ldflags") == '-X "a=b"\té'
    assert facts.go is not None
    assert facts.go.setting("a=b") == "c d"
    assert binary.value(facts, "go.GOARM") == "absent"


def test_no_module() -> None:
    """A program linked without module information still has its version."""
    facts = binary.read(elf(go=go_blob(text=b"")))
    assert binary.value(facts, "go.version") == "go1.27.3"
    assert binary.value(facts, "go.path") == "absent"


@pytest.mark.parametrize(
    ("blob", "cause"),
    [
        (go_blob()[:-1], "cut short"),
        (go_blob()[:33] + b"\xff" * 12, "cut short"),
        (b"\xff Go buildinf:" + bytes(18), "before Go 1.18"),
        (go_blob(text=module_text(extra="build\t=x\n")), "without its key"),
        (go_blob(text=module_text(extra='build\tA="x\n')), "inside its quotes"),
    ],
)
def test_malformed(blob: bytes, cause: str) -> None:
    """Build info that breaks its own form is refused."""
    with pytest.raises(InputError, match=cause):
        binary.read(elf(go=blob))
