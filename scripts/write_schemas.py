"""Write docs/*.schema.json from the dataclasses that the loaders validate with.

Run it after a change of the case head, of matrix.yaml or of the results; a test fails when the
files are stale.
"""

from __future__ import annotations

import json
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


def main() -> None:
    """Write them all."""
    DOCS.mkdir(exist_ok=True)
    for name, text in schemas().items():
        (DOCS / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
