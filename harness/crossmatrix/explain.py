"""The plan of an item in words: files, environment, commands, image, runner."""

from __future__ import annotations

import re
import shlex
import shutil
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from crossmatrix import plan, project
from crossmatrix.command import Command
from crossmatrix.engine import choose, images
from crossmatrix.needs import Host
from crossmatrix.plan import Item, Plan
from crossmatrix.project import Project
from crossmatrix.toolchain import Store

ROLES: Final = ("trap", "remedy", "probe")
_SYMBOL = re.compile("⟦([^⟧]*)⟧")


def planned(item: Item, loaded: Project, store: Store, engine: str) -> Plan:
    """The plan of an item with what the store holds now; nothing is fetched and nothing asked."""
    names = project.required([item], loaded)
    found = [(name, tool.digest) for name in names if (tool := store.find(name)) is not None]
    host = Host(
        goos=loaded.port.goos,
        goarch=loaded.port.goarch,
        engine=engine,
        runs_386=loaded.port.goarch == "amd64",
        missing=(*loaded.missing, *choose.lacks(engine)),
        digests=(*found, *choose.adds(engine), ("zig", "")),
    )
    return plan.make(item, host, versions=loaded.versions)


def image_names(made: Plan, store: Store) -> dict[str, str]:
    """The images that the docker engine takes; empty until the store holds what goes into them."""
    zig = bool(made.builder.zig_target)
    tools = [f"go{version}" for version in made.builder.go]
    tools += ["busybox", "supervisor", "qemu", *(["zig"] if zig else [])]
    if any(store.find(name) is None for name in tools):
        return {}
    names = {"builder": images.builder(store, made.builder.go, zig=zig).name}
    if made.run is not None and not made.run.unreached:
        scratch = made.run.needs.root == "scratch"
        names["runner"] = (images.scratch() if scratch else images.runner(store)).name
    return names


def readable(text: str) -> str:
    """Symbols as a case file spells them: ``{work}``."""
    return _SYMBOL.sub(r"{\1}", text)


def _command(command: Command) -> list[str]:
    return [readable(arg) for arg in command.argv]


def data(made: Plan, images: Mapping[str, str]) -> dict[str, Any]:
    """A plan as JSON data."""
    run = made.run
    return {
        "item": made.item,
        "digest": made.digest,
        "skip": made.skip or None,
        "files": {name: len(file.data) for name, file in made.files},
        "go": list(made.builder.go),
        "cc": made.builder.cc,
        "tools": dict(made.tools),
        "images": dict(images),
        "env": {key: readable(value) for key, value in made.build[0].env.items()},
        "build": [_command(command) for command in made.build],
        "artifact": made.artifact,
        "run": None
        if run is None
        else {
            "runner": run.runner or None,
            "root": run.needs.root,
            "argv": _command(run.command),
            "env": {key: readable(value) for key, value in run.command.env.items()},
            "seconds": run.command.limits.seconds,
            "unreached": run.unreached or None,
        },
    }


def text(item: Item, made: Plan, images: Mapping[str, str]) -> str:
    """A plan for people to read."""
    lines = [f"{made.item}", f"  {item.case.title}", f"  digest {made.digest}"]
    if made.skip:
        lines.append(f"  skipped here: {made.skip}")
    lines += [f"  {kind} image {name}" for kind, name in images.items()]
    lines += ["", "files"]
    lines += [f"  {len(file.data):>7} bytes  {name}" for name, file in made.files]
    lines += ["", f"build  (go {', '.join(made.builder.go)}; cc {made.builder.cc})"]
    lines += [f"  {key}={shlex.quote(readable(v))}" for key, v in made.build[0].env.items()]
    lines += [f"  $ {shlex.join(_command(command))}" for command in made.build]
    lines += ["", f"inspect  {made.artifact or 'nothing'}"]
    if made.wanted is not None:
        port = f"{made.wanted.goos}/{made.wanted.goarch}"
        lines.append(f"  as {port} {made.wanted.variant or ''} ({made.wanted.buildmode})")
        lines += [
            f"  {fact.fact} {fact.operator} {', '.join(fact.values)}" for fact in made.wanted.facts
        ]
    lines += ["", *_run(made), "", *_expected(made)]
    return "\n".join(lines)


def _run(made: Plan) -> list[str]:
    run = made.run
    if run is None:
        return ["run  nothing"]
    if run.unreached:
        return [f"run  not here: {run.unreached}"]
    limit = f"{run.command.limits.seconds:g} s"
    lines = [f"run  ({run.runner}, root {run.needs.root}, at most {limit})"]
    lines += [f"  {key}={shlex.quote(readable(v))}" for key, v in run.command.env.items()]
    return [*lines, f"  $ {shlex.join(_command(run.command))}"]


def _expected(made: Plan) -> list[str]:
    expect = made.expect
    texts = (("build", expect.build), ("stdout", expect.stdout), ("stderr", expect.stderr))
    lines = [f"expect  exit {expect.exit}"]
    for stream, wanted in texts:
        lines += [f"  {stream} {w.operator} {value!r}" for w in wanted for value in w.values]
    return lines


def shown(path: Path) -> str:
    """A path as a user would type it here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def terminal_width() -> int:
    return shutil.get_terminal_size((100, 24)).columns


def wrapped(words: Iterable[str]) -> str:
    return textwrap.fill(
        " ".join(words),
        width=terminal_width(),
        initial_indent="    ",
        subsequent_indent="    ",
        break_on_hyphens=False,
        break_long_words=False,
    )
