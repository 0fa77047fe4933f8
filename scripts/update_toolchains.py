#!/usr/bin/env python3
"""Refresh harness/crossmatrix/toolchains.toml: the newest versions, and the sums of their wheels.

Nothing is downloaded: pip reports what it would install for each kind of machine. Go stays at its
minor versions, each at the newest patch that has a wheel for all machines; a new minor version is
added when it is named (`update_toolchains.py --go 1.28`). A module's newest version is asked of the
newest Go of the store.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

from crossmatrix.cell import GoVersion
from crossmatrix.toolchain import PINS, Store

TAGS = ("manylinux_2_28", "manylinux_2_17", "manylinux2014", "manylinux_2_12", "manylinux2010")
MACHINES = ("x86_64", "aarch64")
TABLE = re.compile(r'^\[(?:go\.wheels\."(?P<go>[^"]+)"|(?P<name>[\w-]+)(?P<wheels>\.wheels)?)\]$')


def pip(*arguments: str) -> str:
    argv = [sys.executable, "-m", "pip", *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"pip {' '.join(arguments[:2])} failed:\n{done.stderr.strip()}")
    return done.stdout


def versions(project: str) -> list[str]:
    """The released versions of a project, newest first."""
    said = pip("index", "versions", project)
    line = next(line for line in said.splitlines() if line.startswith("Available versions:"))
    return [text.strip() for text in line.partition(":")[2].split(",")]


def sums(project: str, version: str) -> dict[str, str]:
    """The sha256 of a version's wheel for each kind of machine."""
    found = {}
    for machine in MACHINES:
        platforms = [part for tag in TAGS for part in ("--platform", f"{tag}_{machine}")]
        said = pip(
            "install", "--dry-run", "--ignore-installed", "--no-deps", "--quiet", "--report", "-",
            "--only-binary", ":all:", "--target", "unused", *platforms, f"{project}=={version}",
        )  # fmt: skip
        archive = json.loads(said)["install"][0]["download_info"]["archive_info"]
        found[machine] = archive["hashes"]["sha256"]
    return found


def patches(minors: Iterable[str], released: Iterable[str]) -> list[str]:
    """The newest patch of each minor version, oldest first."""
    plain = [text for text in released if re.fullmatch(r"1\.\d+\.\d+", text)]
    chosen = []
    for minor in sorted(set(minors), key=GoVersion):
        of_it = [text for text in plain if GoVersion(text).minor == minor]
        if not of_it:
            sys.exit(f"no Go {minor} has a wheel; there are: {', '.join(plain)}")
        chosen.append(max(of_it, key=GoVersion))
    return chosen


def module_version(package: str, store: Store) -> str:
    """The newest version of a module, which is the first parent of the package that is one."""
    go = store.get(store.names()[0])
    env = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod"}
    path = package
    while "/" in path:
        argv = [str(go.executable), "list", "-m", "-f", "{{.Version}}", f"{path}@latest"]
        done = subprocess.run(argv, env=env, cwd="/", capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout.strip()
        path = path.rpartition("/")[0]
    sys.exit(f"no module of {package} is known:\n{done.stderr.strip()}")


def wheel_lines(found: Mapping[str, str]) -> list[str]:
    return [f'{machine} = "{sum_}"' for machine, sum_ in found.items()]


def render(old: str, pins: Mapping[str, Any], go: Mapping[str, Mapping[str, str]]) -> str:
    """The pins file with new versions and sums; comments and everything else stay as they are."""
    lines: list[str] = []
    name, in_wheels, go_done = "", False, False
    for line in old.splitlines():
        table = TABLE.match(line)
        if table is not None:
            in_wheels = bool(table["go"] or table["wheels"])
            name = table["name"] or ""
            if table["go"]:
                if not go_done:
                    for version, found in go.items():
                        lines += [f'[go.wheels."{version}"]', *wheel_lines(found), ""]
                go_done = True
                continue
            lines.append(line)
            if in_wheels:
                lines += [*wheel_lines(pins[name]["wheels"]), ""]
        elif in_wheels and not line.startswith("#"):
            continue
        elif line.startswith("version = ") and name in pins:
            lines.append(f'version = "{pins[name]["version"]}"')
        else:
            in_wheels = False
            lines.append(line)
    return "\n".join(lines).rstrip("\n") + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--go", action="append", default=[], metavar="MINOR", help="add this Go")
    parser.add_argument("--check", action="store_true", help="change nothing; 1 if it would")
    parser.add_argument(
        "--keep", action="store_true", help="keep the versions, refresh the sums only"
    )
    options = parser.parse_args()
    old = PINS.read_text("utf-8")
    pins = tomllib.loads(old)
    table = pins.pop("go")
    minors = [GoVersion(version).minor for version in table["wheels"]] + options.go
    chosen = list(table["wheels"]) if options.keep else patches(minors, versions(table["project"]))
    go = {version: sums(table["project"], version) for version in chosen}
    store = Store(report=lambda text: print(text, file=sys.stderr))
    for pin in pins.values():
        if "project" in pin:
            if not options.keep:
                pin["version"] = versions(pin["project"])[0]
            pin["wheels"] = sums(pin["project"], pin["version"])
        elif "module" in pin and not options.keep:
            pin["version"] = module_version(pin["module"], store)
    new = render(old, pins, go)
    if new == old:
        print("every pin is up to date")
        return
    if options.check:
        sys.exit("some pins are out of date; run scripts/update_toolchains.py")
    fresh = PINS.with_suffix(".new")
    fresh.write_text(new, encoding="utf-8")
    fresh.replace(PINS)
    print(f"{PINS} is changed: look at the difference, then run the tests")


if __name__ == "__main__":
    main()
