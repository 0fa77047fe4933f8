"""The images: their names, their archives, and that a daemon takes them."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from crossmatrix.engine import images
from crossmatrix.engine.docker_daemon import Daemon
from crossmatrix.engine.images import Image, Layer

TEXT = b"what is in it\n"


def tree(root: Path, text: bytes = TEXT, name: str = "file") -> Path:
    """A small tool of the store: an executable, a folder, links of both kinds."""
    (root / "lib" / "deep").mkdir(parents=True)
    (root / "tool").write_bytes(b"#!/bin/sh\n")
    (root / "tool").chmod(0o700)
    (root / "lib" / "deep" / name).write_bytes(text)
    (root / "lib" / "near").symlink_to(f"deep/{name}")
    (root / "lib" / "far").symlink_to(root / "lib" / "deep" / name)
    return root


def image(root: Path, digest: str = "1") -> Image:
    layer = Layer(name="tool", digest=digest, entries=lambda: tuple(images.walk(root, "opt/tool")))
    return Image(kind="test", layers=(layer,))


def members(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {member.name: member for member in archive.getmembers()}


def content(data: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        file = archive.extractfile(name)
        assert file is not None
        return file.read()


def test_name_follows_the_digests_and_nothing_else(tmp_path: Path) -> None:
    """Equal digests give one name, another digest another name, files are not looked at."""
    assert image(tmp_path / "a").name == image(tmp_path / "b").name
    assert image(tmp_path, "1").name != image(tmp_path, "2").name


def test_order_of_layers_is_part_of_the_name() -> None:
    """Two layers the other way round make another image."""
    layers = tuple(Layer(name=n, digest=n, entries=lambda: ()) for n in "ab")
    ahead, back = (Image(kind="test", layers=ls) for ls in (layers, layers[::-1]))
    assert ahead.name != back.name


def test_same_tools_give_the_same_bytes(tmp_path: Path) -> None:
    """Times, owners and the order of a folder's entries on disk do not reach the archive."""
    one, two = tree(tmp_path / "one"), tree(tmp_path / "two")
    (two / "tool").touch()
    assert b"".join(images.archive(image(one))) == b"".join(images.archive(image(two)))


def test_sums_in_the_config_are_those_of_the_layers(tmp_path: Path) -> None:
    """A daemon can check every layer against the image's config, and the config by its name."""
    data = b"".join(images.archive(image(tree(tmp_path / "t"))))
    [manifest] = json.loads(content(data, "manifest.json"))
    config = content(data, manifest["Config"])
    assert manifest["Config"] == f"{hashlib.sha256(config).hexdigest()}.json"
    sums = [f"sha256:{hashlib.sha256(content(data, n)).hexdigest()}" for n in manifest["Layers"]]
    assert json.loads(config)["rootfs"]["diff_ids"] == sums


def test_layer_holds_roots_files_with_plain_modes(tmp_path: Path) -> None:
    """Files are root's, readable by all, dated 1970; absolute links are followed, others kept."""
    data = b"".join(images.archive(image(tree(tmp_path / "t"))))
    layer = content(data, "0/layer.tar")
    seen = members(layer)
    assert {(m.uid, m.gid, m.mtime) for m in seen.values()} == {(0, 0, 0)}
    assert seen["opt/tool/tool"].mode == 0o755
    assert seen["opt/tool/lib/deep/file"].mode == 0o644
    assert seen["opt/tool/lib/near"].linkname == "deep/file"
    assert content(layer, "opt/tool/lib/far") == TEXT


def test_long_names_survive(tmp_path: Path) -> None:
    """A name beyond the hundred bytes of a tar header comes through whole."""
    name = "n" * 120
    data = b"".join(images.archive(image(tree(tmp_path / "t", name=name))))
    assert f"opt/tool/lib/deep/{name}" in members(content(data, "0/layer.tar"))


@pytest.fixture
def made(daemon: Daemon, tmp_path: Path) -> Iterator[tuple[Image, list[str]]]:
    """An image that the daemon was asked for, with what was reported; removed afterwards."""
    wanted = image(tree(tmp_path / "t", str(tmp_path).encode()), digest=str(tmp_path))
    said: list[str] = []
    images.ensure(daemon.client, wanted, tmp_path / "locks", said.append)
    yield wanted, said
    images.prune(daemon.client, lambda tag: tag == wanted.name)


@pytest.mark.engine
def test_daemon_takes_an_image_once(
    daemon: Daemon, made: tuple[Image, list[str]], tmp_path: Path
) -> None:
    """An image is made where it is not there, reused where it is, and says so only when made."""
    wanted, said = made
    assert images.ensure(daemon.client, wanted, tmp_path / "locks", said.append) == wanted.name
    assert said == ["making the test image (tool)"]
    assert daemon.client.images.get(wanted.name).labels == {images.IMAGE_LABEL: "test"}


@pytest.mark.engine
def test_prune_removes_only_what_it_is_told_to(
    daemon: Daemon, made: tuple[Image, list[str]]
) -> None:
    """An image goes when it is chosen, and only images of this package are asked about."""
    wanted, _ = made
    asked: list[str] = []

    def choose(tag: str) -> bool:
        asked.append(tag)
        return tag == wanted.name

    assert images.prune(daemon.client, choose) == (wanted.name,)
    assert all(tag.startswith("crossmatrix/") for tag in asked)
