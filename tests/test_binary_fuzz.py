"""Whatever a file holds, reading it gives facts or an InputError."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from binary_bytes import elf, go_blob, module_text, wasm
from crossmatrix import binary, check
from crossmatrix.errors import InputError

FULL = {
    "interpreter": "/lib64/ld-linux-x86-64.so.2",
    "needed": ("libc.so.6", "libm.so.6"),
    "versions": ("GLIBC_2.4", "GLIBC_2.34"),
    "go": go_blob(),
    "symbols": [("main.main", True)],
    "dynamic_symbols": [("puts", False)],
    "relro": True,
}
SAMPLES = (
    elf(**FULL),
    elf(**FULL, headers=False),
    elf(**FULL, bits=32, machine=8, little=False),
    wasm(
        imports=[("gojs", "runtime.wasmWrite")],
        exports=["run"],
        customs=[("name", b"\0\1")],
        data=module_text(),
        version="go1.27.3",
    ),
    b"!<arch>\n" + b"go.o/".ljust(48) + b"%-10d`\n" % len(elf(kind=1)) + elf(kind=1),
    b"MZ" + bytes(58) + b"\x40\0\0\0PE\0\0\x64\x86" + bytes(18) + b"\x0b\x02",
)
WANTED = check.Wanted(goos="linux", goarch="amd64", go_version="1.27.3", variant="v1", cgo=False)


def survives(data: bytes) -> None:
    """Facts that can be compared, or an InputError; any other exception fails the test."""
    refused: InputError | None = None
    try:
        facts = binary.read(data, name="fuzzed", want=binary.LISTS)
        check.compare(facts, WANTED)
        for name in binary.FACT_NAMES:
            binary.value(facts, name)
    except InputError as error:
        refused = error
    assert refused is None or (refused.file == "fuzzed" and refused.hint)


@settings(deadline=1000, max_examples=300)
@given(st.sampled_from(SAMPLES), st.data())
def test_truncated(sample: bytes, data: st.DataObject) -> None:
    """A file cut anywhere is facts or an InputError."""
    survives(sample[: data.draw(st.integers(0, len(sample)))])


@settings(deadline=1000, max_examples=600)
@given(st.sampled_from(SAMPLES), st.data())
def test_damaged(sample: bytes, data: st.DataObject) -> None:
    """A file with some bytes changed is facts or an InputError."""
    damaged = bytearray(sample)
    # Most of what a reader trusts stands in the first bytes, so half of the changes go there.
    place = st.one_of(st.integers(0, min(200, len(sample) - 1)), st.integers(0, len(sample) - 1))
    value = st.one_of(st.integers(0, 255), st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]))
    for at, byte in data.draw(st.lists(st.tuples(place, value), min_size=1, max_size=8)):
        damaged[at] = byte
    survives(bytes(damaged))


@settings(deadline=1000, max_examples=200)
@given(st.sampled_from([s[:24] for s in SAMPLES]), st.binary(max_size=400))
def test_noise_behind_a_true_beginning(head: bytes, noise: bytes) -> None:
    """Noise behind a known magic is facts or an InputError."""
    survives(head + noise)
