"""What is known of each GOOS/GOARCH: one row per port, one row per architecture.

Sources: ``go tool dist list`` of 1.21 to 1.27; internal/buildcfg/cfg.go (the variables and their
levels); debug/elf (machine numbers). Interpreters: those that glibc (Debian's libc6 of each
architecture) and musl install, compared with cmd/link/internal/<arch>/obj.go of 1.21 to 1.27. Where
Go's own linker writes a name that no libc installs (riscv64 ``/lib/ld.so.1`` up to 1.24, s390x
``/lib64/ld64.so.1`` up to 1.24, mips64 ``/lib64/ld64.so.1``), that name is left out: such a file
does not start.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

Format = Literal["elf", "pe", "macho", "wasm", "xcoff", "plan9"]


@dataclass(frozen=True, kw_only=True)
class Arch:
    """One GOARCH.

    ``variable`` is Go's own variable for its levels, ``levels`` a regular expression for what the
    newest Go accepts and means, ``since`` the first Go minor version that reads and records the
    variable. ``other_interpreters`` are those of its further ABIs on linux (soft float, ELFv1).
    """

    goarch: str
    bits: Literal[32, 64]
    byteorder: Literal["little", "big"]
    variable: str = ""
    default: str = ""
    levels: str = ""
    since: str = "1.0"
    qemu: str = ""
    zig_cpu: str = ""
    musl_abi: str = "musl"
    gnu_abi: str = "gnu"
    glibc_interpreter: str = ""
    musl_interpreter: str = ""
    other_interpreters: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Target:
    """One port. ``static``: CGO_ENABLED=0 and the default build mode give a static file.

    ``interpreters`` are all that a dynamic program may name; empty where the format has none.
    """

    goos: str
    arch: Arch
    format: Format
    runner: str = ""
    static: bool = False
    interpreters: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.goos}/{self.arch.goarch}"


_ARM64_LEVELS = r"v(8\.[0-9]|9\.[0-5])(,lse|,crypto)*"
_GLIBC64 = "/lib64/ld64.so"

ARCHES: Final = MappingProxyType(
    {
        arch.goarch: arch
        for arch in (
            Arch(
                goarch="386", bits=32, byteorder="little", variable="GO386", default="sse2",
                levels="sse2|softfloat", qemu="qemu-i386", zig_cpu="x86",
                glibc_interpreter="/lib/ld-linux.so.2", musl_interpreter="/lib/ld-musl-i386.so.1",
            ),
            Arch(
                goarch="amd64", bits=64, byteorder="little", variable="GOAMD64", default="v1",
                levels="v[1-4]", qemu="qemu-x86_64", zig_cpu="x86_64",
                glibc_interpreter="/lib64/ld-linux-x86-64.so.2",
                musl_interpreter="/lib/ld-musl-x86_64.so.1",
            ),
            Arch(
                goarch="arm", bits=32, byteorder="little", variable="GOARM", default="7",
                levels="[567](,(soft|hard)float)?", qemu="qemu-arm", zig_cpu="arm",
                musl_abi="musleabihf", gnu_abi="gnueabihf",
                glibc_interpreter="/lib/ld-linux-armhf.so.3",
                musl_interpreter="/lib/ld-musl-armhf.so.1",
                other_interpreters=("/lib/ld-linux.so.3", "/lib/ld-musl-arm.so.1"),
            ),
            Arch(
                goarch="arm64", bits=64, byteorder="little", variable="GOARM64", default="v8.0",
                levels=_ARM64_LEVELS, since="1.23", qemu="qemu-aarch64", zig_cpu="aarch64",
                glibc_interpreter="/lib/ld-linux-aarch64.so.1",
                musl_interpreter="/lib/ld-musl-aarch64.so.1",
            ),
            Arch(
                goarch="loong64", bits=64, byteorder="little", qemu="qemu-loongarch64",
                zig_cpu="loongarch64",
                glibc_interpreter="/lib64/ld-linux-loongarch-lp64d.so.1",
                musl_interpreter="/lib/ld-musl-loongarch64.so.1",
            ),
            Arch(
                goarch="mips", bits=32, byteorder="big", variable="GOMIPS", default="hardfloat",
                levels="hardfloat|softfloat", qemu="qemu-mips",
                glibc_interpreter="/lib/ld.so.1", musl_interpreter="/lib/ld-musl-mips.so.1",
                other_interpreters=("/lib/ld-musl-mips-sf.so.1",),
            ),
            Arch(
                goarch="mipsle", bits=32, byteorder="little", variable="GOMIPS",
                default="hardfloat", levels="hardfloat|softfloat", qemu="qemu-mipsel",
                glibc_interpreter="/lib/ld.so.1", musl_interpreter="/lib/ld-musl-mipsel.so.1",
                other_interpreters=("/lib/ld-musl-mipsel-sf.so.1",),
            ),
            Arch(
                goarch="mips64", bits=64, byteorder="big", variable="GOMIPS64",
                default="hardfloat", levels="hardfloat|softfloat", qemu="qemu-mips64",
                glibc_interpreter="/lib64/ld.so.1", musl_interpreter="/lib/ld-musl-mips64.so.1",
                other_interpreters=("/lib/ld-musl-mips64-sf.so.1",),
            ),
            Arch(
                goarch="mips64le", bits=64, byteorder="little", variable="GOMIPS64",
                default="hardfloat", levels="hardfloat|softfloat", qemu="qemu-mips64el",
                glibc_interpreter="/lib64/ld.so.1",
                musl_interpreter="/lib/ld-musl-mips64el.so.1",
                other_interpreters=("/lib/ld-musl-mips64el-sf.so.1",),
            ),
            Arch(
                goarch="ppc64", bits=64, byteorder="big", variable="GOPPC64", default="power8",
                levels="power(8|9|10)", qemu="qemu-ppc64", zig_cpu="powerpc64",
                gnu_abi="",
                glibc_interpreter=f"{_GLIBC64}.1", musl_interpreter="/lib/ld-musl-powerpc64.so.1",
                other_interpreters=(f"{_GLIBC64}.2",),
            ),
            Arch(
                goarch="ppc64le", bits=64, byteorder="little", variable="GOPPC64",
                default="power8", levels="power(8|9|10)", qemu="qemu-ppc64le",
                zig_cpu="powerpc64le", glibc_interpreter=f"{_GLIBC64}.2",
                musl_interpreter="/lib/ld-musl-powerpc64le.so.1",
            ),
            Arch(
                goarch="riscv64", bits=64, byteorder="little", variable="GORISCV64",
                default="rva20u64", levels="rva(20|22|23)u64", since="1.23", qemu="qemu-riscv64",
                zig_cpu="riscv64", glibc_interpreter="/lib/ld-linux-riscv64-lp64d.so.1",
                musl_interpreter="/lib/ld-musl-riscv64.so.1",
            ),
            Arch(
                goarch="s390x", bits=64, byteorder="big", qemu="qemu-s390x", zig_cpu="s390x",
                glibc_interpreter="/lib/ld64.so.1", musl_interpreter="/lib/ld-musl-s390x.so.1",
            ),
            Arch(
                goarch="wasm", bits=32, byteorder="little", variable="GOWASM",
                levels="(satconv|signext)(,(satconv|signext))*",
            ),
        )
    }
)  # fmt: skip

_CGO0_STATIC: Final = frozenset(
    {"linux", "freebsd", "netbsd", "dragonfly", "plan9", "js", "wasip1"}
)
_FORMATS: Final[dict[str, Format]] = {
    "windows": "pe", "darwin": "macho", "ios": "macho", "js": "wasm", "wasip1": "wasm",
    "aix": "xcoff", "plan9": "plan9",
}  # fmt: skip
_SOLARIS: Final = ("/lib/amd64/ld.so.1", "/lib/64/ld.so.1", "/usr/lib/amd64/ld.so.1")
_INTERPRETERS: Final[dict[str, tuple[str, ...]]] = {
    "android": ("/system/bin/linker", "/system/bin/linker64"),
    "dragonfly": ("/usr/libexec/ld-elf.so.2", "/libexec/ld-elf.so.2"),
    "freebsd": ("/libexec/ld-elf.so.1", "/usr/libexec/ld-elf.so.1"),
    "illumos": _SOLARIS,
    "netbsd": ("/libexec/ld.elf_so", "/usr/libexec/ld.elf_so"),
    "openbsd": ("/usr/libexec/ld.so",),
    "solaris": _SOLARIS,
}
_RUNNERS: Final = {"js": "node", "wasip1": "wazero"}
_ZIG_ABIS: Final = {
    **{("freebsd", goarch): "" for goarch in ("386", "amd64", "arm64", "riscv64")},
    **{("netbsd", goarch): "" for goarch in ("386", "amd64", "arm64")},
    **{(goos, "arm"): "eabihf" for goos in ("freebsd", "netbsd")},
    **{("windows", goarch): "gnu" for goarch in ("386", "amd64", "arm64")},
}

_PORTS: Final = [
    "aix/ppc64",
    "android/386",
    "android/amd64",
    "android/arm",
    "android/arm64",
    "darwin/amd64",
    "darwin/arm64",
    "dragonfly/amd64",
    "freebsd/386",
    "freebsd/amd64",
    "freebsd/arm",
    "freebsd/arm64",
    "freebsd/riscv64",
    "illumos/amd64",
    "ios/amd64",
    "ios/arm64",
    "js/wasm",
    "linux/386",
    "linux/amd64",
    "linux/arm",
    "linux/arm64",
    "linux/loong64",
    "linux/mips",
    "linux/mips64",
    "linux/mips64le",
    "linux/mipsle",
    "linux/ppc64",
    "linux/ppc64le",
    "linux/riscv64",
    "linux/s390x",
    "netbsd/386",
    "netbsd/amd64",
    "netbsd/arm",
    "netbsd/arm64",
    "openbsd/386",
    "openbsd/amd64",
    "openbsd/arm",
    "openbsd/arm64",
    "openbsd/ppc64",
    "openbsd/riscv64",
    "plan9/386",
    "plan9/amd64",
    "plan9/arm",
    "solaris/amd64",
    "wasip1/wasm",
    "windows/386",
    "windows/amd64",
    "windows/arm",
    "windows/arm64",
]


def _interpreters(goos: str, arch: Arch) -> tuple[str, ...]:
    if goos == "linux":
        return (arch.glibc_interpreter, arch.musl_interpreter, *arch.other_interpreters)
    if goos == "android":
        return (_INTERPRETERS[goos][arch.bits == 64],)
    return _INTERPRETERS.get(goos, ())


def _target(port: str) -> Target:
    goos, goarch = port.split("/")
    return Target(
        goos=goos,
        arch=ARCHES[goarch],
        format=_FORMATS.get(goos, "elf"),
        runner=_RUNNERS.get(goos, "qemu" if goos == "linux" else ""),
        static=goos in _CGO0_STATIC,
        interpreters=_interpreters(goos, ARCHES[goarch]),
    )


TARGETS: Final = MappingProxyType({port: _target(port) for port in _PORTS})


def target(goos: str, goarch: str) -> Target | None:
    """The row of a port, or None where no supported Go has ever known it."""
    return TARGETS.get(f"{goos}/{goarch}")


def zig_triple(goos: str, goarch: str, libc: str = "") -> str | None:
    """zig's ``-target`` for a port, or None where zig has no such libc.

    ``libc`` is ``musl`` (the default on linux), ``gnu`` or ``gnu.2.17``; elsewhere it is the
    system's own. Sources: the libcs that ``zig targets`` of 0.17 lists, and a compile for each row.
    The mips family has none: the go command passes -mhard-float, which zig takes for a CPU feature
    that it does not know.
    """
    row = target(goos, goarch)
    if row is None or not row.arch.zig_cpu:
        return None
    arch = row.arch
    if goos == "linux":
        kind, _, floor = (libc or "musl").partition(".")
        abi = {"musl": arch.musl_abi, "gnu": arch.gnu_abi}.get(kind, "")
        if not abi or (floor and kind != "gnu"):
            return None
        return f"{arch.zig_cpu}-linux-{abi}" + (f".{floor}" if floor else "")
    if (goos, goarch) not in _ZIG_ABIS or libc:
        return None
    abi = _ZIG_ABIS[goos, goarch]
    return f"{arch.zig_cpu}-{goos}" + (f"-{abi}" if abi else "")
