"""A work folder on this machine: files go in and come out without ever following a link."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from crossmatrix.command import Command, Ended, File, Layout
from crossmatrix.errors import InfrastructureError, InputError

LARGEST: Final = 256 << 20
"""Bytes; a larger file does not come out of a box, as it does not fit into a container's volume."""

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_FILE: Final = (
    errno.ENOENT,
    errno.ENOTDIR,  # what should be a folder is none, or is a link
    errno.ELOOP,  # a link
    errno.ENXIO,  # a socket
    errno.EACCES,
    errno.ENAMETOOLONG,
)


@contextmanager
def ended_by_machine(what: str) -> Iterator[None]:
    """An error of the operating system in the harness's own doing is a fault of the machine."""
    try:
        yield
    except OSError as error:
        raise InfrastructureError(f"{what}: {error}") from error


@dataclass(kw_only=True)
class LocalBox:
    """A work folder; ``owner`` is the user who gets its files (0: who makes them)."""

    layout: Layout
    folder: Path
    owner: int
    command: Callable[[Command], Ended]

    def put(self, files: Mapping[str, File]) -> None:
        with ended_by_machine("laying files into a work folder"):
            for name, file in files.items():
                self._put(_parts(name), file)

    def run(self, command: Command) -> Ended:
        return self.command(command)

    def get(self, name: str) -> File | None:
        """A regular file; None too where it is larger than `LARGEST`."""
        with ended_by_machine("taking a file out of a work folder"), ExitStack() as stack:
            *folders, last = _parts(name)
            try:
                where = self._descend(folders, stack, make=False)
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                opened = os.open(last, flags, dir_fd=where)
            except OSError as error:
                if error.errno in _NO_FILE:
                    return None
                raise
            stack.callback(os.close, opened)
            seen = os.fstat(opened)
            if not stat.S_ISREG(seen.st_mode) or seen.st_size > LARGEST:
                return None
            with os.fdopen(opened, "rb", closefd=False) as file:
                return File(data=file.read(LARGEST), mode=stat.S_IMODE(seen.st_mode))

    def _put(self, parts: tuple[str, ...], file: File) -> None:
        with ExitStack() as stack:
            *folders, last = parts
            where = self._descend(folders, stack, make=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            out = stack.enter_context(os.fdopen(os.open(last, flags, 0o600, dir_fd=where), "wb"))
            out.write(file.data)
            if self.owner:
                os.fchown(out.fileno(), self.owner, self.owner)
            os.fchmod(out.fileno(), file.mode)

    def _descend(self, folders: list[str], stack: ExitStack, *, make: bool) -> int:
        """A descriptor of a folder below the work folder, reached without a link."""
        where = _opened(stack, str(self.folder), None)
        for folder in folders:
            try:
                where = _opened(stack, folder, where)
            except FileNotFoundError:
                if not make:
                    raise
                os.mkdir(folder, 0o755, dir_fd=where)
                where = _opened(stack, folder, where)
                if self.owner:
                    os.fchown(where, self.owner, self.owner)
        return where


def _opened(stack: ExitStack, name: str, where: int | None) -> int:
    opened = os.open(name, _FOLDER, dir_fd=where)
    stack.callback(os.close, opened)
    return opened


def _parts(name: str) -> tuple[str, ...]:
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts:
        raise InputError(f"{name!r} is no file of a work folder")
    return parts


def fill(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_bytes(data)
    part.replace(path)
