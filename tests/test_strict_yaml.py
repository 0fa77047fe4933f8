"""YAML as text, with lines, and what is refused."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmatrix import strict_yaml as yaml
from crossmatrix.errors import InputError


def refused(text: str) -> InputError:
    with pytest.raises(InputError) as caught:
        yaml.load(text, "x.yaml")
    return caught.value


@pytest.mark.parametrize(
    "word", ["386", "1.20", "off", "0x10", "~", "null", "yes", "1e3", "12:30", "0o7", "2024-01-01"]
)
def test_scalars_stay_as_written(word: str) -> None:
    """A plain scalar is the text that stands there, whatever YAML would make of it."""
    assert yaml.plain(yaml.load(f"a: {word}", None)) == {"a": word}


def test_no_value_is_the_empty_text() -> None:
    """A key without a value holds the empty text."""
    assert yaml.plain(yaml.load("a:\nb: ''\n", None)) == {"a": "", "b": ""}


def test_nothing_is_an_empty_mapping() -> None:
    """An empty file is a mapping without keys."""
    assert yaml.plain(yaml.load("# only this\n", None)) == {}


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "duplicate key 'a', first on line 1"),
        ("a: &x 1\n", 1, "anchor"),
        ("a: 1\nb: *x\n", 2, "alias"),
        ("a: !!str 1\n", 1, "tag"),
        ("a: !x {b: 1}\n", 1, "tag"),
        ("a:\n  <<: {b: 1}\n", 2, "merge key"),
        ("a: 1\n--- \nb: 2\n", 2, "second YAML document"),
        ("%YAML 1.1\n---\na: 1\n", 1, "directive"),
        ("? [a]\n: b\n", 1, "a key that is no text"),
        ("a: [1,\n", 2, "no valid YAML"),
        ("a: 1\nb: \t- x\n", 2, "no valid YAML"),
        ("a: 1\nb: \x01\n", 2, "#x0001"),
        ('a: "\\0"\n', 1, "#x0000"),
        ('a: "\\ud800"\n', 1, "#xd800"),
    ],
)
def test_refusals_name_the_line(text: str, line: int, words: str) -> None:
    """Whatever could surprise is refused with file, line, cause and a way out."""
    error = refused(text)
    assert error.line == line
    assert words in error.what
    assert str(error).startswith(f"x.yaml:{line}: ")
    assert error.hint


def test_depth_is_bounded() -> None:
    """Nesting is refused long before anything recurses."""
    assert "deeper" in refused("[" * 5000).what


def test_size_is_bounded() -> None:
    """A text beyond the limit is refused unread."""
    assert "larger" in refused("a: " + "x" * yaml.MAX_BYTES).what


def test_an_impossible_escape_is_no_crash() -> None:
    """An escape beyond Unicode is bad input."""
    assert "no valid YAML" in refused('a: "\\UFFFFFFFF"').what


def test_lines_of_nested_places() -> None:
    """Every place of a tree has its line."""
    node = yaml.load("a:\n  - b: 1\n    c: [x,\n      y]\n", None)
    assert yaml.line_of(node, ("a", 0, "c")) == 3
    assert yaml.line_of(node, ("a", 0, "c", 1)) == 4
    assert yaml.line_of(node, ("a", 0, "nowhere")) == 2


def test_python_values_become_text() -> None:
    """A marker's whole numbers and truth values read as a file's would; a float is refused."""
    node = yaml.from_plain({"a": [0, True, "x"]}, file=None, line=7)
    assert yaml.plain(node) == {"a": ["0", "true", "x"]}
    with pytest.raises(InputError, match="float"):
        yaml.from_plain({"since": 1.2}, file="t.py", line=7)


@given(st.text())
def test_any_text_is_a_tree_or_an_input_error(text: str) -> None:
    """No text makes anything but a tree or an `InputError`."""
    with contextlib.suppress(InputError):
        yaml.plain(yaml.load(text, "x"))


@given(st.recursive(st.just("x"), lambda inner: st.lists(inner) | st.just("{a: [b, {c: }]}")))
def test_a_tree_made_of_values_reads_back(value: object) -> None:
    """What is put into a tree comes out the same."""
    assert yaml.plain(yaml.from_plain(value, file=None, line=1)) == value
