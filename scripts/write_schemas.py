"""Write docs/*.schema.json from the dataclasses that the loaders validate with.

Run it after a change of the case head, of matrix.yaml or of the results; a test fails when the
files are stale.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from crossmatrix import caseschema, matrix, results, strict_yaml

DOCS = Path(__file__).resolve().parent.parent / "docs"


def schemas() -> dict[str, str]:
    """File name -> its text."""
    return {
        "case.schema.json": strict_yaml.json_schema(caseschema.adapter(), "The head of a case"),
        "matrix.schema.json": strict_yaml.json_schema(matrix.adapter(), "matrix.yaml"),
        "results.schema.json": json.dumps(results.json_schema(), indent=2) + "\n",
    }


_KEYS = re.compile(
    r"(?s)(?<=<!-- keys: written by scripts/write_schemas.py -->\n).*(?=<!-- /keys -->)"
)
_PARTS = {
    "": "The head",
    "BuildHead": "build",
    "RunHead": "run",
    "ExpectHead": "expect",
    "TrapHead": "traps, each",
    "RemedyHead": "remedy",
    "When": "cells, when",
}


def reference() -> str:
    """docs/case-format.md with its tables of keys as the schema has them."""
    schema = json.loads(schemas()["case.schema.json"])
    parts = {"": schema, **schema["$defs"]}
    tables = []
    for part, title in _PARTS.items():
        required = parts[part].get("required", ())
        rows = [
            f"| `{key}` | {about.get('description', '')}{', required' * (key in required)} |"
            for key, about in parts[part]["properties"].items()
        ]
        tables.append("\n".join([f"### {title}", "", "| key | meaning |", "| --- | --- |", *rows]))
    text = (DOCS / "case-format.md").read_text(encoding="utf-8")
    return _KEYS.sub(lambda _: "\n" + "\n\n".join(tables) + "\n\n", text)


def pages() -> dict[str, str]:
    """Everything that is generated: file name -> its text."""
    return {**schemas(), "case-format.md": reference()}


def main() -> None:
    """Write them all."""
    for name, text in pages().items():
        (DOCS / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
