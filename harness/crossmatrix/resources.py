"""Where cases, Dockerfiles and the default matrix lie: in a clone, or in an installed package."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).resolve().parent


def data_dir() -> Path:
    """The folder that holds ``cases/``, ``docker/`` and ``matrix.yaml``."""
    packaged = _HERE / "data"
    return packaged if packaged.is_dir() else _HERE.parents[1]
