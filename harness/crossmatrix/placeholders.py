"""The placeholders of a case file, and the symbols that stand for an engine's paths in a plan.

A case writes ``{work}``; a plan holds ``⟦work⟧``, which no case text can collide with; an engine
knows the path. Every brace that is not one of these exact strings stands as written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from crossmatrix.cell import Cell

_PATHS = re.compile(r"\{(work|app|runner|goroot(?::[0-9][0-9A-Za-z.]*)?)\}")
_VALUES = re.compile(r"\{(GOOS|GOARCH|variant)\}")
_GOROOT = re.compile(r"\{goroot:([0-9][0-9A-Za-z.]*)\}")


@dataclass(frozen=True, kw_only=True)
class Filler:
    """Puts values and symbols in the place of one plan's placeholders.

    ``app`` is the artifact's name in the work folder; ``versions`` maps a Go version as a case
    spells it to the full one.
    """

    cell: Cell
    app: str
    versions: Mapping[str, str]

    def _value(self, name: str) -> str:
        cell = self.cell
        return {"GOOS": cell.goos, "GOARCH": cell.goarch, "variant": cell.variant}[name]

    def _symbol(self, name: str) -> str:
        if name == "app":
            return f"⟦work⟧/{self.app}"
        if name == "runner":
            return "⟦tool:runner⟧"
        if name.startswith("goroot:"):
            version = name.partition(":")[2]
            return f"⟦goroot:{self.versions.get(version, version)}⟧"
        return f"⟦{name}⟧"

    def command(self, text: str) -> str:
        """For env values, args, steps and argv."""
        text = _VALUES.sub(lambda m: self._value(m[1]), text)
        return _PATHS.sub(lambda m: self._symbol(m[1]), text)

    def literal(self, text: str) -> str:
        """For plain texts of ``expect``: paths stay literal, as a stage's text spells them."""
        text = text.replace("{app}", f"{{work}}/{self.app}")
        return _VALUES.sub(lambda m: self._value(m[1]), text)

    def pattern(self, text: str) -> str:
        """For regular expressions: values go in escaped, and literal paths match literally."""
        text = text.replace("{app}", "{work}/" + re.escape(self.app))
        text = _VALUES.sub(lambda m: re.escape(self._value(m[1])), text)
        return re.sub(r"\{(work|goroot|gomodcache)\}", r"\\{\1\\}", text)


def goroots(texts: tuple[str, ...]) -> tuple[str, ...]:
    """The Go versions that ``{goroot:V}`` names, in order, once each."""
    return tuple(dict.fromkeys(version for text in texts for version in _GOROOT.findall(text)))


def masked(text: str, layout: Mapping[str, str]) -> str:
    """Rewrite an engine's paths in output to ``{work}``, ``{goroot}`` and so on, longest first."""
    names = ("work", "goroot", "gomodcache")
    known = {name: path for name, path in layout.items() if name.partition(":")[0] in names}
    for name, path in sorted(known.items(), key=lambda item: -len(item[1])):
        text = text.replace(path, f"{{{name}}}")
    return text
