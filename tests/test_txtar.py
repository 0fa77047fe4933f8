"""Go's txtar format."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmatrix import txtar
from crossmatrix.errors import InputError
from crossmatrix.txtar import Archive, File


def shape(archive: Archive) -> tuple[bytes, list[tuple[str, bytes]]]:
    return archive.comment, [(file.name, file.data) for file in archive.files]


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b"", (b"", [])),
        (b"only", (b"only\n", [])),
        (b"-- a --\n", (b"", [("a", b"")])),
        (b"-- a --", (b"", [("a", b"")])),
        (b"c1\nc2\n-- file1 --\nF 1\n-- ---\nMore.\n-- file 2 --\nF2",
         (b"c1\nc2\n", [("file1", b"F 1\n-- ---\nMore.\n"), ("file 2", b"F2\n")])),
        (b"--   b  \t --\nx\n", (b"", [("b", b"x\n")])),
        (b"--  --\n-- --\n --  x --\n-- x--\n", (b"--  --\n-- --\n --  x --\n-- x--\n", [])),
        (b"-- a --\r\nx\n", (b"-- a --\r\nx\n", [])),
        (b"x\r-- a --\n", (b"x\r-- a --\n", [])),
        (b"-- a --\n\n\n", (b"", [("a", b"\n\n")])),
        (b"-- \x1ca --\n", (b"", [("\x1ca", b"")])),
    ],
)  # fmt: skip
def test_parses_as_go_does(data: bytes, wanted: object) -> None:
    """Markers, spaces around names, and the last newline are taken as Go's package takes them."""
    assert shape(txtar.parse(data)) == wanted


def test_files_know_their_lines() -> None:
    """A file's line is that of its marker."""
    archive = txtar.parse(b"one\ntwo\n-- a --\nx\n-- b --\n")
    assert [file.line for file in archive.files] == [3, 5]


@given(
    st.binary() | st.lists(st.sampled_from([b"-- a --", b"-- ", b"\n", b"x", b" --"])).map(b"".join)
)
def test_whatever_is_parsed_round_trips(data: bytes) -> None:
    """An archive that was parsed comes back the same after formatting, and formatting is stable."""
    archive = txtar.parse(data)
    text = txtar.format(archive)
    assert shape(txtar.parse(text)) == shape(archive)
    assert txtar.format(txtar.parse(text)) == text


NAMES = st.from_regex(r"[a-z][a-z0-9_.]{0,8}(/[a-z][a-z0-9]{0,5}){0,2}", fullmatch=True)
DATA = (
    st.binary()
    .filter(lambda data: not txtar.holds_marker(data))
    .map(lambda data: data + b"\n" if data and not data.endswith(b"\n") else data)
)


@given(DATA, st.lists(st.tuples(NAMES, DATA)))
def test_whatever_is_made_round_trips(comment: bytes, files: list[tuple[str, bytes]]) -> None:
    """Parts without marker lines that end in newlines are exactly what is parsed again."""
    made = Archive(comment=comment, files=tuple(File(name=n, data=d) for n, d in files))
    assert shape(txtar.parse(txtar.format(made))) == (comment, files)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("/etc/passwd", "absolute"),
        ("../x", "empty part, . or .."),
        ("a/./b", "empty part, . or .."),
        ("a//b", "empty part, . or .."),
        ("a/", "empty part, . or .."),
        ("a\\b", "backslash"),
        ("a\x01", "control character"),
        ("a" * 201, "longer"),
    ],
)
def test_unsafe_names_are_refused(name: str, words: str) -> None:
    """A name that could leave the work folder is refused with the line of its marker."""
    archive = txtar.parse(b"head\n-- ok --\n-- " + name.encode() + b" --\n")
    with pytest.raises(InputError, match=words) as caught:
        txtar.check_names(archive.files, "x.txtar")
    assert caught.value.line == 3


@pytest.mark.parametrize(
    ("text", "words", "line"),
    [
        (b"-- a --\n-- a --\n", "twice, first on line 1", 2),
        (b"-- a --\n-- a/b --\n", "a file and a folder", 2),
        (b"-- a/b --\n-- a --\n", "a file and a folder", 2),
        (b"-- \xff --\n", "no UTF-8", 1),
    ],
)
def test_clashing_names_are_refused(text: bytes, words: str, line: int) -> None:
    """Names that cannot stand beside each other on a disk are refused."""
    with pytest.raises(InputError, match=words) as caught:
        txtar.check_names(txtar.parse(text).files, "x.txtar")
    assert caught.value.line == line
