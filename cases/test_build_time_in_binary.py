"""A case that needs code: two builds of one program, compared byte by byte."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from crossmatrix.observation import Observation
from crossmatrix.plan import Plan

FILES = {
    "go.mod": "module pitfall\n\ngo 1.21\n",
    "main.go": "package main\n\nvar built string\n\nfunc main() {\n\tprintln(built)\n}\n",
}


def stamped(time: str) -> dict[str, list[str]]:
    """How a release script stamps its build."""
    return {"args": ["-trimpath", f"-ldflags=-X main.built={time}"]}


def sha256(wanted: str | dict[str, str]) -> dict[str, dict[str, Any]]:
    """What must be true of the file as a whole."""
    return {"facts": {"sha256": wanted}}


@pytest.mark.case(
    title="The time of the build, stamped into the program, makes every build another one",
    why=(
        "A release that is built again from the same commit should come out the same.\n"
        "-X main.built=$(date +%s) makes that impossible, with -trimpath too.\n"
    ),
    refs=["https://reproducible-builds.org/docs/source-date-epoch/", "https://go.dev/blog/rebuild"],
    cells={
        "GOOS": "linux",
        "GOARCH": ["amd64", "arm64"],
        "GOAMD64": {"not": ["v2", "v3"]},
        "CGO_ENABLED": "0",
        "cc": "none",
        "buildmode": "default",
        "since": "1.27",
    },
    each=[{"build": stamped("1700000000")}, {}],
    run="false",
    remedy={
        "what": "Stamp the commit's own time: git log -1 --format=%ct.",
        "build": stamped("1700000000"),
    },
)
@pytest.mark.trap(when={"each": "2"}, stage="inspect", signature="^sha256: want [0-9a-f]{64}, got ")
def test_build_time_in_binary(
    plan: Callable[..., Plan], observe: Any, judge: Callable[[Observation], None]
) -> None:
    """Two builds, a second apart, give the same file."""
    first = observe(
        plan(files=FILES, build=stamped("1732186800"), expect=sha256({"lacks": "absent"}))
    )
    if first.facts is None or first.facts.sha256 is None:
        judge(first)
        return
    again = plan(files=FILES, build=stamped("1732186801"), expect=sha256(first.facts.sha256))
    judge(observe(again))
