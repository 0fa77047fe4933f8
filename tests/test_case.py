"""Conditions and overlays."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmatrix.case import Build, Condition, HostPort, Match, Overlay, Run, merge
from crossmatrix.cell import Cell

HOST = HostPort(goos="linux", goarch="amd64")


def cell(**changes: Any) -> Cell:
    base: dict[str, Any] = {
        "goos": "linux", "goarch": "arm", "variant": "6", "cgo": False, "go": "1.23",
        "go_version": "1.23rc1",
    }  # fmt: skip
    return Cell(**{**base, **changes})


@pytest.mark.parametrize(
    ("key", "values", "hit"),
    [
        ("GOOS", ("native",), True),
        ("GOARCH", ("native",), False),
        ("GOARCH", ("foreign",), True),
        ("GOARCH", ("386", "arm"), True),
        ("CGO_ENABLED", ("0",), True),
        ("GOARM", ("6",), True),
        ("GOAMD64", ("v1",), False),
        ("cc", ("none",), True),
        ("buildmode", ("pie",), False),
        ("each", ("2",), True),
        ("since", ("1.22",), True),
        ("since", ("1.23",), False),
        ("until", ("1.23",), True),
        ("until", ("1.22",), False),
    ],
)
def test_conditions(key: str, values: tuple[str, ...], hit: bool) -> None:
    """A key holds for any of its values, and its negation for none of them."""
    yes = Condition(keys=((key, Match(values=values)),))
    no = Condition(keys=((key, Match(values=values, negated=True)),))
    assert yes.holds(cell(), HOST, 2) is hit
    assert no.holds(cell(), HOST, 2) is not hit


def test_an_empty_condition_always_holds() -> None:
    """Every key must hold, and there is none."""
    assert Condition().holds(cell(), HOST)


def test_later_env_brings_back_what_was_unset() -> None:
    """Env sets after unset removes, in the order in which overlays are laid."""
    base = Overlay(build=Build(env=(("A", "1"), ("B", "1")), unset=("C", "D")))
    over = Overlay(build=Build(env=(("C", "2"),), unset=("A",)))
    build = merge(base, over).build
    assert dict(build.env) == {"B": "1", "C": "2"}
    assert set(build.unset) == {"D", "A"}


def test_lists_and_scalars_replace() -> None:
    """What an overlay says replaces; empty means empty; what it does not say stays."""
    base = Overlay(build=Build(args=("-v",), package="./x", output="a", output_exact=True))
    build = merge(base, Overlay(build=Build(args=(), output="b"))).build
    assert build.args == ()
    assert build.package == "./x"
    assert (build.output, build.output_exact) == ("b", False)


def test_limits_merge_by_key() -> None:
    """Mappings merge by key."""
    base = Overlay(run=Run(limits=(("pids", 5), ("nofile", 9))))
    run = merge(base, Overlay(run=Run(limits=(("pids", 7),)))).run
    assert dict(run.limits) == {"pids": 7, "nofile": 9}


def test_a_run_mapping_replaces_run_false() -> None:
    """An overlay that says how to run brings the run back; one that says nothing does not."""
    base = Overlay(skip_run=True)
    assert merge(base, Overlay()).skip_run
    assert not merge(base, Overlay(run=Run(cpu="arm1176"))).skip_run
    assert merge(Overlay(), Overlay(skip_run=True)).skip_run


VARIABLES = st.sampled_from("ABCD")
BUILDS = st.builds(
    lambda env, unset: Build(env=tuple(env.items()), unset=tuple(unset - env.keys())),
    st.dictionaries(VARIABLES, st.sampled_from("12")),
    st.sets(VARIABLES),
)


def laid(environment: dict[str, str], build: Build) -> dict[str, str]:
    kept = {key: value for key, value in environment.items() if key not in build.unset}
    return {**kept, **dict(build.env)}


@given(st.dictionaries(VARIABLES, st.just("0")), BUILDS, BUILDS)
def test_merging_is_laying_one_after_the_other(
    environment: dict[str, str], first: Build, second: Build
) -> None:
    """A merged overlay does to an environment what its two parts do in turn."""
    merged = merge(Overlay(build=first), Overlay(build=second)).build
    assert laid(environment, merged) == laid(laid(environment, first), second)
