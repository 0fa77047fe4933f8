"""The names of ELF's e_flags that tell the ABIs of one machine apart.

Sources: binutils' include/elf/{arm,loongarch,mips,ppc64,riscv}.h.
"""

from __future__ import annotations

from typing import Final

_MIPS_ARCHES: Final = (
    "mips1", "mips2", "mips3", "mips4", "mips5", "mips32", "mips64", "mips32r2", "mips64r2",
    "mips32r6", "mips64r6",
)  # fmt: skip

# Per machine: under which mask, which value has which name. A field of zero that has a name is one.
_FLAGS: Final[dict[str, tuple[tuple[int, int, str], ...]]] = {
    "EM_ARM": (
        *((0xFF00_0000, n << 24, f"eabi{n}") for n in range(1, 6)),
        (0x200, 0x200, "soft-float"),
        (0x400, 0x400, "hard-float"),
        (0x80_0000, 0x80_0000, "be8"),
    ),
    "EM_LOONGARCH": (
        (0x7, 1, "soft-float"),
        (0x7, 2, "single-float"),
        (0x7, 3, "double-float"),
        (0xC0, 0x00, "obj-v0"),
        (0xC0, 0x40, "obj-v1"),
    ),
    "EM_MIPS": (
        *((0xF000_0000, n << 28, name) for n, name in enumerate(_MIPS_ARCHES)),
        (0xF000, 0x1000, "o32"),
        (0xF000, 0x2000, "o64"),
        (0x20, 0x20, "n32"),
        (0x1, 0x1, "noreorder"),
        (0x2, 0x2, "pic"),
        (0x4, 0x4, "cpic"),
        (0x200, 0x200, "fp64"),
        (0x400, 0x400, "nan2008"),
    ),
    "EM_PPC64": ((0x3, 1, "abiv1"), (0x3, 2, "abiv2")),
    "EM_RISCV": (
        (0x1, 0x1, "rvc"),
        (0x6, 0, "soft-float"),
        (0x6, 2, "single-float"),
        (0x6, 4, "double-float"),
        (0x6, 6, "quad-float"),
        (0x8, 0x8, "rve"),
        (0x10, 0x10, "tso"),
    ),
}


def names(machine: str, flags: int) -> tuple[str, ...]:
    """The flags in hex, then the names that they hold; ``machine`` is ELF's own name."""
    known = _FLAGS.get(machine, ())
    return (f"0x{flags:x}", *(name for mask, value, name in known if flags & mask == value))
