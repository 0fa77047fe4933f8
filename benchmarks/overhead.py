"""What the harness costs: its run of hello over all linux ports, against a bare loop.

Everything is taken in one run, several rounds, and told as ratios of medians: the machine's mood
falls on all alike. The bare loop is ``go build`` and the emulator over the same cells, in the same
GOCACHE; `goreleaser build` of the same targets is added where ``--goreleaser PATH`` names one.

    python benchmarks/overhead.py [--rounds 3] [--goreleaser PATH]
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from crossmatrix.engine.docker_daemon import Daemon, connect
from crossmatrix.targets import ARCHES, TARGETS
from crossmatrix.toolchain import Store

GO = "1.27"
PORTS = tuple(port for port, row in TARGETS.items() if row.goos == "linux")
SOURCE = {
    "go.mod": "module hello\n\ngo 1.21\n",
    "main.go": 'package main\n\nimport "fmt"\n\nfunc main() { fmt.Println("hello") }\n',
}
HEAD = 'title: hello\nexpect: {stdout: {equal: "hello\\n"}}\n'
MATRIX = f"""axes:
  targets: [{", ".join(PORTS)}]
  CGO_ENABLED: 0
  go: {GO}
presets:
  default: {{what: every linux port, cells: {{}}}}
"""


def write(folder: Path) -> None:
    """A project of one case, and the same program as plain files."""
    (folder / "cases").mkdir()
    (folder / "plain").mkdir()
    (folder / "matrix.yaml").write_text(MATRIX)
    files = "".join(f"-- {name} --\n{text}" for name, text in SOURCE.items())
    (folder / "cases" / "probe_hello.txtar").write_text(HEAD + files)
    for name, text in SOURCE.items():
        (folder / "plain" / name).write_text(text)


def bare(folder: Path, store: Store) -> None:
    """``go build`` and the emulator for every port, one after the other."""
    go = store.get(f"go{store.go_version(GO)}")
    qemu = store.get("qemu").root / "bin"
    for port in PORTS:
        _, goarch = port.split("/")
        env = {
            "PATH": f"{go.root}/bin:/usr/bin:/bin",
            "HOME": str(folder),
            "GOCACHE": str(folder / "gocache"),
            "GOTOOLCHAIN": "local",
            "GOENV": "off",
            "CGO_ENABLED": "0",
            "GOOS": "linux",
            "GOARCH": goarch,
        }
        subprocess.run(["go", "build", "-o", "app", "."], cwd=folder / "plain", env=env, check=True)
        native = goarch in ("amd64", "386")
        command = [] if native else [str(qemu / ARCHES[goarch].qemu)]
        subprocess.run(
            [*command, "./app"], cwd=folder / "plain", check=True, stdout=subprocess.DEVNULL
        )


def harness(folder: Path, engine: str, workers: int) -> None:
    """One whole ``crossmatrix run``, start-up and reports included."""
    command = [sys.executable, "-m", "crossmatrix.cli", "run", "--engine", engine, "-q"]
    done = subprocess.run(
        [*command, "-n", str(workers)], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit(f"the {engine} run failed:\n{done.stdout}{done.stderr}")


def goreleaser(folder: Path, program: Path, store: Store) -> None:
    """``goreleaser build`` of the same targets, one at a time."""
    go = store.get(f"go{store.go_version(GO)}")
    plain = folder / "plain"
    arches = ", ".join(sorted(port.partition("/")[2] for port in PORTS))
    config = "version: 2\nbuilds:\n  - env: [CGO_ENABLED=0]\n    goos: [linux]\n"
    config += f"    goarch: [{arches}]\n"
    (plain / ".goreleaser.yaml").write_text(config)
    env = {
        "PATH": f"{go.root}/bin:/usr/bin:/bin",
        "HOME": str(folder),
        "GOCACHE": str(folder / "gocache"),
        "GOTOOLCHAIN": "local",
    }
    if not (plain / ".git").exists():
        for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "hello"]):
            subprocess.run(
                ["git", "-c", "user.name=x", "-c", "user.email=x@localhost", *command],
                cwd=plain,
                env=env,
                check=True,
            )
    subprocess.run(
        [str(program), "build", "--snapshot", "--clean", "--parallelism", "1"],
        cwd=plain,
        env=env,
        check=True,
        capture_output=True,
    )


def timed(work: Callable[[], None], rounds: int) -> float:
    """The median of some rounds after a first that warms, in seconds."""
    work()
    seconds = []
    for _ in range(rounds):
        begun = time.monotonic()
        work()
        seconds.append(time.monotonic() - begun)
    return median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--goreleaser", type=Path)
    options = parser.parse_args()
    store = Store(report=print)
    folder = Path(tempfile.mkdtemp(prefix="crossmatrix-bench-"))
    try:
        write(folder)
        found: dict[str, float] = {"bare": timed(lambda: bare(folder, store), options.rounds)}
        engines = ["local", *(["docker"] if isinstance(connect(), Daemon) else [])]
        for engine in engines:
            for workers in (0, os.cpu_count() or 1):
                work = lambda e=engine, w=workers: harness(folder, e, w)  # noqa: E731
                found[f"{engine} -n {workers}"] = timed(work, options.rounds)
        if options.goreleaser:
            program = options.goreleaser.resolve()
            found["goreleaser build"] = timed(
                lambda: goreleaser(folder, program, store), options.rounds
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"hello on {len(PORTS)} linux ports, compiled beforehand; medians of {options.rounds}")
    for name, seconds in found.items():
        print(f"  {name:<18} {seconds:6.2f} s   {seconds / found['bare']:5.2f} x the bare loop")


if __name__ == "__main__":
    main()
