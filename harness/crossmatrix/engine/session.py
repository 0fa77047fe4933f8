"""A run's identity: its id, the lock that proves it alive, its temporary folder."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import socket
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from filelock import FileLock, Timeout

from crossmatrix.errors import InfrastructureError

_ID_BYTES: Final = 6
_HOST_DIGITS: Final = 12


@dataclass(frozen=True, kw_only=True)
class Session:
    """One run on one machine.

    ``folder`` is the run's own, below the system's temporary folder; other users may pass through
    it, but not list it or write to it. The lock is held by the controller alone, for its life.
    """

    id: str
    host: str
    folder: Path
    lock: FileLock | None = field(default=None, compare=False, repr=False)

    @classmethod
    def open(cls, store_root: Path) -> Session:
        """Begin a run; raises `InfrastructureError` where no folder or lock can be made."""
        host = host_id()
        run = f"{host[:4]}{secrets.token_hex(_ID_BYTES)}"
        runs = _runs(store_root)
        lock = FileLock(runs / f"{host}-{run}.lock", thread_local=False)
        try:
            runs.mkdir(parents=True, exist_ok=True)
            with _registry(store_root):
                lock.acquire(timeout=0)
            folder = base() / run
            folder.mkdir(mode=0o711)
            folder.chmod(0o711)
        except (OSError, Timeout) as error:
            raise InfrastructureError(f"cannot begin a run: {error}") from error
        return cls(id=run, host=host, folder=folder, lock=lock)

    @classmethod
    def join(cls, store_root: Path, id: str) -> Session:
        """The same run in another process of it, which holds no lock."""
        host = host_id()
        if not (_runs(store_root) / f"{host}-{id}.lock").exists():
            raise InfrastructureError(f"there is no run {id} on this machine")
        return cls(id=id, host=host, folder=base() / id)

    def close(self) -> None:
        """End the run: its folder and lock file go away. Nothing to do in a process that joined."""
        if self.lock is None or not self.lock.is_locked:
            return
        remove_tree(self.folder)
        Path(self.lock.lock_file).unlink(missing_ok=True)
        self.lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def dead(store_root: Path) -> tuple[str, ...]:
    """The runs of this machine that ended without tidying up: nobody holds their lock."""
    prefix = f"{host_id()}-"
    if not _runs(store_root).is_dir():
        return ()
    with _registry(store_root):
        paths = sorted(_runs(store_root).glob(f"{prefix}*.lock"))
        return tuple(path.stem.removeprefix(prefix) for path in paths if _is_free(path))


def _is_free(path: Path) -> bool:
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):
        return False
    lock.release()
    return True


def _registry(store_root: Path) -> FileLock:
    """Held while a run's lock file is made or asked, so that no new run is taken for a dead one."""
    return FileLock(_runs(store_root) / "registry", timeout=60)


def bury(store_root: Path, runs: Iterable[str], *, forget: bool = True) -> None:
    """Remove the folders of dead runs, and (``forget``) their lock files, once nothing is left."""
    for run in runs:
        remove_tree(base() / run)
        if forget:
            (_runs(store_root) / f"{host_id()}-{run}.lock").unlink(missing_ok=True)


def host_id() -> str:
    """What tells this machine from others that may share a store or a daemon."""
    try:
        name = Path("/etc/machine-id").read_text().strip()
    except OSError:
        name = ""
    return hashlib.sha256((name or socket.gethostname()).encode()).hexdigest()[:_HOST_DIGITS]


def base() -> Path:
    """``crossmatrix-<uid>`` in the system's temporary folder, made where it is not there.

    Raises `InfrastructureError` where somebody else was there first: what lies in it would be
    theirs to change.
    """
    folder = Path(tempfile.gettempdir()).resolve() / f"crossmatrix-{os.getuid()}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o711)
    seen = folder.lstat()
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.getuid():
        raise InfrastructureError(
            f"{folder} is not a folder of this user",
            hint="remove it, or set TMPDIR to a folder that is yours",
        )
    if stat.S_IMODE(seen.st_mode) != 0o711:
        folder.chmod(0o711)
    return folder


def remove_tree(folder: Path) -> None:
    """Remove a folder and all in it, read-only folders too; one that is not there is as good.

    Raises `InfrastructureError` where something stays.
    """
    if not os.path.lexists(folder):
        return

    def again(_function: Callable[..., Any], path: str, _info: object) -> None:
        with suppress(OSError):
            Path(path).parent.chmod(0o700)
            if Path(path).is_dir() and not Path(path).is_symlink():
                Path(path).chmod(0o700)
        if Path(path).is_dir() and not Path(path).is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                Path(path).unlink()

    for _ in range(2):
        with suppress(RecursionError, OSError):
            if sys.version_info >= (3, 12):
                shutil.rmtree(folder, onexc=again)
            else:
                shutil.rmtree(folder, onerror=again)
        if not os.path.lexists(folder):
            return
    raise InfrastructureError(f"cannot remove {folder}", hint="remove it by hand")


def _runs(store_root: Path) -> Path:
    return store_root / "runs"
