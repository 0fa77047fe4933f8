"""The head of a case in its stable order; comments and the author's own lines stay."""

from __future__ import annotations

from dataclasses import fields

from crossmatrix import strict_yaml as yaml
from crossmatrix.caseschema import Head
from crossmatrix.errors import InputError

KEYS = tuple(field.name for field in fields(Head))


def format_head(text: str) -> str:
    """The head with its keys in the order of docs/case-format.md and no space at line ends.

    Each key takes the comments right above it along. A head that would come to mean something else
    (a block of text whose spaces count) is given back as it is, but for its final newline.
    """
    plain = _ended(text)
    try:
        before = yaml.plain(yaml.load(plain, None))
        for made in (_ordered(_trimmed(plain)), _ordered(plain)):
            if made and yaml.plain(yaml.load(made, None)) == before:
                return made
    except InputError:
        return plain
    return plain


def _ended(text: str) -> str:
    return text if not text or text.endswith("\n") else text + "\n"


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip(" ") for line in text.split("\n"))


def _ordered(text: str) -> str:
    """The blocks of the top-level keys, sorted; empty where the head is no block mapping."""
    node = yaml.load(text, None)
    lines = text.split("\n")[:-1]
    if not isinstance(node, yaml.Table) or not node.entries:
        return ""
    starts = [(key.line - 1, key.text) for key, _ in node.entries]
    if any(name not in KEYS for _, name in starts):
        return ""
    if any(not lines[start].startswith((name, f"'{name}", f'"{name}')) for start, name in starts):
        return ""
    cuts = [_comments_above(lines, start) for start, _ in starts]
    blocks = [
        (name, _body(lines[cut:end]))
        for (_, name), cut, end in zip(starts, cuts, [*cuts[1:], len(lines)], strict=True)
    ]
    blocks.sort(key=lambda block: KEYS.index(block[0]))
    return "".join(f"{line}\n" for line in (*lines[: cuts[0]], *(x for _, b in blocks for x in b)))


def _comments_above(lines: list[str], start: int) -> int:
    while start and lines[start - 1].startswith("#"):
        start -= 1
    return start


def _body(lines: list[str]) -> list[str]:
    """A block without the empty lines at its end, between its trailing comments too."""
    end = len(lines)
    while end and (not lines[end - 1].strip() or lines[end - 1].startswith("#")):
        end -= 1
    return lines[:end] + [line for line in lines[end:] if line.strip()]
