"""A run's identity: who lives, who is dead, and whose folder it is."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from crossmatrix.engine import session
from crossmatrix.engine.session import Session, bury, dead, remove_tree
from crossmatrix.errors import InfrastructureError

OPEN = """
import sys, time
from pathlib import Path
from crossmatrix.engine.session import Session
session = Session.open(Path(sys.argv[1]))
(session.folder / "file").touch()
print(session.id, flush=True)
time.sleep(60)
"""


@pytest.fixture
def temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder of the system's own, for one test."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


def test_open_and_close(temp: Path, tmp_path: Path) -> None:
    """A run has a folder that others may pass through, and leaves nothing behind."""
    with Session.open(tmp_path) as run:
        assert run.folder.parent == temp / f"crossmatrix-{os.getuid()}"
        assert stat.S_IMODE(run.folder.stat().st_mode) == 0o711
        assert dead(tmp_path) == ()
    assert not run.folder.exists()
    assert not list((tmp_path / "runs").glob("*.lock"))
    run.close()


@pytest.mark.usefixtures("temp")
def test_join(tmp_path: Path) -> None:
    """A worker has its controller's folder, and does not end the run."""
    with Session.open(tmp_path) as run:
        joined = Session.join(tmp_path, run.id)
        assert joined == run
        joined.close()
        assert run.folder.is_dir()
    with pytest.raises(InfrastructureError, match="no run"):
        Session.join(tmp_path, run.id)


@pytest.mark.usefixtures("temp")
def test_killed_run_is_found_and_buried(tmp_path: Path) -> None:
    """A run that was killed is dead, one that lives is not, and a buried one leaves nothing."""
    argv = [sys.executable, "-c", OPEN, str(tmp_path)]
    with (
        Session.open(tmp_path) as alive,
        subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as other,
    ):
        assert other.stdout is not None
        killed = other.stdout.readline().strip()
        assert dead(tmp_path) == ()
        other.send_signal(signal.SIGKILL)
        other.wait()
        assert dead(tmp_path) == (killed,)
        assert dead(tmp_path) == (killed,)
        folder = session.base() / killed
        assert (folder / "file").exists()
        bury(tmp_path, dead(tmp_path))
        assert not folder.exists()
        assert dead(tmp_path) == ()
        assert alive.folder.is_dir()


def test_dead_without_runs(tmp_path: Path) -> None:
    """A store that saw no run has no dead ones, and stays as it is."""
    assert dead(tmp_path) == ()
    assert not list(tmp_path.iterdir())


def test_folder_of_somebody_else(temp: Path, tmp_path: Path) -> None:
    """What somebody else put where the folder belongs is never used."""
    place = temp / f"crossmatrix-{os.getuid()}"
    place.symlink_to(tmp_path)
    with pytest.raises(InfrastructureError, match="not a folder of this user"):
        Session.open(tmp_path)
    place.unlink()
    if os.getuid() == 0:
        place.mkdir()
        os.chown(place, 65534, 65534)
        with pytest.raises(InfrastructureError, match="not a folder of this user"):
            Session.open(tmp_path)


def test_remove_tree_takes_what_resists(tmp_path: Path) -> None:
    """Read-only folders, links and deep trees go; what a link points to stays."""
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    tree = tmp_path / "tree"
    (tree / "module" / "cache").mkdir(parents=True)
    (tree / "module" / "cache" / "file").touch()
    (tree / "link").symlink_to(kept)
    (tree / "module" / "cache").chmod(0o555)
    (tree / "module").chmod(0o555)
    remove_tree(tree)
    assert not tree.exists()
    assert (kept / "file").exists()
    remove_tree(tree)
