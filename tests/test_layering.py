"""The house's order: imports go down or sideways, and some libraries have one door each."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "harness" / "crossmatrix"

LAYERS = (
    ("errors", "strict_yaml", "txtar", "resources"),
    ("case", "cell", "targets", "observation", "command", "needs", "placeholders"),
    (
        "casechecks",
        "casefields",
        "casefile",
        "caseschema",
        "casewanted",
        "headformat",
        "matrix",
        "matrixschema",
        "plan",
        "planbuild",
        "planrun",
        "binary",
        "check",
        "verdict",
        "records",
    ),
    (
        "authoring",
        "doctor",
        "engine",
        "explain",
        "fetch",
        "prepare",
        "project",
        "report",
        "results",
        "run",
        "toolchain",
    ),
    ("plugin", "plugin_items", "plugin_recorder", "plugin_state", "cli"),
)

DOORS = {
    "docker": ("engine/docker", "engine/images"),
    "elftools": ("binary/elf",),
    "yaml": ("strict_yaml",),
    "pytest": ("plugin",),
    "_pytest": ("plugin",),
}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def layer(name: str) -> int:
    return next(number for number, names in enumerate(LAYERS) if name in names)


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, in functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


@pytest.mark.parametrize("path", modules(), ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_imports_go_down(path: Path) -> None:
    """A module imports what lies on its own layer or below."""
    if own(path) == "__init__":
        return
    known = {name for names in LAYERS for name in names}
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "crossmatrix" and len(parts) > 1 and parts[1] in known:
            assert layer(parts[1]) <= layer(own(path)), f"{path.name} imports {name}"


@pytest.mark.parametrize("path", modules(), ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_libraries_have_one_door(path: Path) -> None:
    """docker, pyelftools, pyyaml and pytest are imported in their own modules only."""
    place = path.relative_to(PACKAGE).with_suffix("").as_posix()
    for name in imports(path):
        doors = DOORS.get(name.split(".")[0])
        if doors is not None:
            assert place.startswith(doors), f"{place} imports {name}"


def test_every_module_has_a_layer() -> None:
    """A new module is put on a layer before it lands."""
    known = {name for names in LAYERS for name in names}
    assert {own(path) for path in modules()} - {"__init__"} <= known


def test_the_edges_do_not_import_each_other() -> None:
    """cli and plugin meet in a child process, not in an import."""
    for edge, other in (("cli", "plugin"), ("plugin", "cli")):
        found = [name for name in imports(PACKAGE / f"{edge}.py") if f"crossmatrix.{other}" in name]
        assert not found


def test_imports_have_no_circle() -> None:
    """Sideways imports do not come back."""
    graph: dict[str, set[str]] = {}
    names = {
        p.relative_to(PACKAGE.parent).with_suffix("").as_posix().replace("/", "."): p
        for p in modules()
    }
    for name, path in names.items():
        graph[name.removesuffix(".__init__")] = {
            i for i in imports(path) if i in names and i != name
        }
    done: set[str] = set()

    def walk(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail, name))
        if name not in done:
            for following in graph.get(name, ()):
                walk(following, (*trail, name))
            done.add(name)

    for name in graph:
        walk(name, ())


def test_files_stay_short() -> None:
    """No module grows past what one sitting can read."""
    long = {p.name: n for p in modules() if (n := len(p.read_text().splitlines())) > 420}
    assert not long
