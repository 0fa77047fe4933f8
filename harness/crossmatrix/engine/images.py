"""The images, made FROM scratch out of the store: a layer per tool, named by what is in them.

An image goes to the daemon as one streamed archive in the format of ``docker save``. So it needs no
base image, no registry, no step that runs anything, and no root; nothing is held in memory or on
disk on the way, and any daemon that can ``docker load`` takes it (the Engine API's
``POST /images/load``).
"""

from __future__ import annotations

import hashlib
import io
import json
import stat
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from docker import DockerClient
from docker.errors import ImageNotFound
from filelock import FileLock

from crossmatrix.engine.docker_daemon import architecture, faults
from crossmatrix.errors import InfrastructureError
from crossmatrix.toolchain import Store, Tool

USER: Final = 65534
SUPERVISOR: Final = "/opt/supervisor/supervisor"
IMAGE_LABEL: Final = "crossmatrix.image"

_FORMAT = "1"
"""Part of every name: raise it when the same tools are laid out differently."""
_CHUNK = 1 << 20
_DIGITS = 20


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One file, folder or link of a layer. ``name`` has no leading slash.

    ``mode`` holds the type bits too, ``size`` is in bytes.
    """

    name: str
    mode: int
    data: bytes = b""
    source: Path | None = None
    size: int = 0
    target: str = ""
    owner: int = 0

    def header(self) -> bytes:
        """The entry's header in a tar archive; the time is always the epoch."""
        info = tarfile.TarInfo(self.name)
        info.mode, info.uid, info.gid = stat.S_IMODE(self.mode), self.owner, self.owner
        info.linkname = self.target
        if stat.S_ISDIR(self.mode):
            info.type = tarfile.DIRTYPE
        elif stat.S_ISLNK(self.mode):
            info.type = tarfile.SYMTYPE
        else:
            info.size = self.size
        return info.tobuf(tarfile.GNU_FORMAT)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One tool's files. ``digest`` says what is in it without a look at the files."""

    name: str
    digest: str
    entries: Callable[[], Iterable[Entry]]


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image that may not have been made yet.

    ``kind`` is ``builder``, ``runner`` or ``scratch``.
    """

    kind: str
    layers: tuple[Layer, ...]

    @property
    def name(self) -> str:
        parts = [_FORMAT, self.kind, *(f"{layer.name} {layer.digest}" for layer in self.layers)]
        digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
        return f"crossmatrix/{self.kind}:{digest[:_DIGITS]}"


def builder(store: Store, go: Iterable[str], *, zig: bool) -> Image:
    """The image that compiles: busybox, the supervisor, zig where wanted, and the Go versions.

    What changes least comes first, so that the builders of several Go versions share layers.
    """
    layers = [_base(store)]
    if zig:
        layers.append(_tree(store.get("zig"), "opt/zig"))
    layers += [_tree(store.get(f"go{version}"), f"opt/go/{version}") for version in go]
    return Image(kind="builder", layers=tuple(layers))


def runner(store: Store) -> Image:
    """The image that executes: every runner that the store holds already, each a layer."""
    layers = [_base(store)]
    if qemu := store.find("qemu"):
        layers.append(_tree(qemu, "opt/qemu"))
    if wazero := store.find("wazero"):
        layers.append(_single(wazero, "opt/wazero/wazero"))
    node, libraries = store.find("node"), store.find("nodelibs")
    if node and libraries:
        layers += [_single(node, "opt/node/node"), _libraries(libraries)]
    return Image(kind="runner", layers=tuple(layers))


def scratch() -> Image:
    """The empty image: what the container runtime itself mounts is all there is."""
    return Image(kind="scratch", layers=(Layer(name="nothing", digest="", entries=lambda: ()),))


def ensure(client: DockerClient, image: Image, locks: Path, report: Callable[[str], None]) -> str:
    """The name of an image that the daemon has, made now where it was not there yet.

    ``locks`` is a folder for the lock that lets one process of a machine make it.
    """
    with faults(f"asking for the image {image.name}"):
        if _there(client, image):
            return image.name
    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / f"image-{image.name.rpartition(':')[2]}.lock"):
        with faults(f"asking for the image {image.name}"):
            if _there(client, image):
                return image.name
        parts = ", ".join(layer.name for layer in image.layers)
        report(f"making the {image.kind} image ({parts})")
        with faults(f"loading the image {image.name}", hint="is the daemon's disk full?"):
            # requests streams an iterator in chunks; the SDK's types know of files only
            client.images.load(cast(bytes, _buffered(archive(image))))
            if not _there(client, image):
                raise InfrastructureError(f"the daemon did not take the image {image.name}")
    return image.name


def prune(client: DockerClient, unwanted: Callable[[str], bool]) -> tuple[str, ...]:
    """Remove those images of this package whose names are ``unwanted`` and that nothing uses."""
    removed = []
    with faults("removing old images"):
        for image in client.images.list(filters={"label": IMAGE_LABEL}):
            for tag in filter(unwanted, image.tags):
                if not client.containers.list(all=True, filters={"ancestor": tag}):
                    client.images.remove(tag)
                    removed.append(tag)
    return tuple(removed)


def archive(image: Image) -> Iterator[bytes]:
    """An image as a ``docker save`` archive, the same bytes for the same tools.

    Each layer is walked twice, first for its length, which the archive wants to know beforehand.
    """
    sums = []
    for number, layer in enumerate(image.layers):
        entries = tuple(layer.entries())
        length = sum(len(e.header()) + _padded(e.size) for e in entries) + 2 * tarfile.BLOCKSIZE
        yield Entry(name=f"{number}/layer.tar", mode=stat.S_IFREG | 0o644, size=length).header()
        whole = hashlib.sha256()
        for chunk in _tar(entries):
            whole.update(chunk)
            yield chunk
        yield bytes(_padded(length) - length)
        sums.append(f"sha256:{whole.hexdigest()}")
    config = json.dumps(_config(image, sums), sort_keys=True).encode()
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = [
        {
            "Config": config_name,
            "RepoTags": [image.name],
            "Layers": [f"{number}/layer.tar" for number in range(len(image.layers))],
        }
    ]
    yield from _tar(
        (_file(config_name, config), _file("manifest.json", json.dumps(manifest).encode()))
    )


def _there(client: DockerClient, image: Image) -> bool:
    try:
        client.images.get(image.name)
    except ImageNotFound:
        return False
    return True


def _config(image: Image, sums: list[str]) -> dict[str, object]:
    return {
        "architecture": architecture(),
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {"Env": ["PATH=/bin"], "Labels": {IMAGE_LABEL: image.kind}},
        "rootfs": {"type": "layers", "diff_ids": sums},
        "history": [
            {"created": "1970-01-01T00:00:00Z", "created_by": f"crossmatrix: {layer.name}"}
            for layer in image.layers
        ],
    }


def _padded(size: int) -> int:
    return -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def _buffered(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of a megabyte: thousands of small files are few writes."""
    buffer = io.BytesIO()
    for chunk in chunks:
        buffer.write(chunk)
        if buffer.tell() >= _CHUNK:
            yield buffer.getvalue()
            buffer = io.BytesIO()
    yield buffer.getvalue()


def _tar(entries: Iterable[Entry]) -> Iterator[bytes]:
    for entry in entries:
        yield entry.header()
        if entry.size:
            yield from _content(entry)
            yield bytes(_padded(entry.size) - entry.size)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _content(entry: Entry) -> Iterator[bytes]:
    if entry.source is None:
        yield entry.data
        return
    left = entry.size
    with entry.source.open("rb") as file:
        while left and (chunk := file.read(min(left, _CHUNK))):
            left -= len(chunk)
            yield chunk
    if left:
        raise InfrastructureError(
            f"{entry.source} became shorter while it was read",
            hint="does another program write into the toolchain store?",
        )


def _folder(name: str, mode: int = 0o755, owner: int = 0) -> Entry:
    return Entry(name=name, mode=stat.S_IFDIR | mode, owner=owner)


def _file(name: str, data: bytes) -> Entry:
    return Entry(name=name, mode=stat.S_IFREG | 0o644, data=data, size=len(data))


def _link(name: str, target: str) -> Entry:
    return Entry(name=name, mode=stat.S_IFLNK | 0o777, target=target)


def _copy(name: str, source: Path) -> Entry:
    seen = source.stat()
    mode = 0o755 if seen.st_mode & stat.S_IXUSR else 0o644
    return Entry(name=name, mode=stat.S_IFREG | mode, source=source, size=seen.st_size)


def walk(root: Path, prefix: str) -> Iterator[Entry]:
    """A folder of the store below ``prefix``, in a fixed order; absolute links are followed."""
    yield _folder(prefix)
    for path in sorted(root.iterdir()):
        name = f"{prefix}/{path.name}"
        if path.is_symlink() and not path.readlink().is_absolute():
            yield _link(name, str(path.readlink()))
        elif path.is_dir():
            yield from walk(path, name)
        elif path.is_file():
            yield _copy(name, path)


def _parents(name: str) -> list[Entry]:
    parts = name.split("/")[:-1]
    return [_folder("/".join(parts[: n + 1])) for n in range(len(parts))]


def _tree(tool: Tool, place: str) -> Layer:
    return Layer(
        name=f"{tool.name}",
        digest=f"{tool.digest} {place}",
        entries=lambda: (*_parents(place), *walk(tool.root, place)),
    )


def _single(tool: Tool, place: str) -> Layer:
    """A layer of a tool's executable alone."""
    return Layer(
        name=tool.name,
        digest=f"{tool.digest} {place}",
        entries=lambda: (*_parents(place), _copy(place, tool.executable)),
    )


def _base(store: Store) -> Layer:
    """Folders, names of users, busybox with its applets, the supervisor.

    A volume takes over the owner of the folder that it is first mounted on.
    """
    busybox, supervisor = store.get("busybox"), store.get("supervisor")

    def entries() -> Iterator[Entry]:
        for name in ("bin", "cache", "etc", "opt", "opt/supervisor", "root", "usr", "usr/bin"):
            yield _folder(name)
        yield _folder("tmp", 0o1777)
        for name in ("w", "cache/go", "cache/zig"):
            yield _folder(name, owner=USER)
        yield _file("etc/passwd", b"root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/w:/bin/sh\n")
        yield _file("etc/group", b"root:x:0:\nnogroup:x:65534:\n")
        yield _copy("bin/busybox", busybox.executable)
        for applet in sorted(path.name for path in (busybox.root / "applets").iterdir()):
            if applet != "busybox":
                yield _link(f"bin/{applet}", "busybox")
        yield _link("usr/bin/env", "/bin/busybox")
        yield _copy(SUPERVISOR.lstrip("/"), supervisor.executable)

    return Layer(name="busybox", digest=f"{busybox.digest} {supervisor.digest}", entries=entries)


def _libraries(tool: Tool) -> Layer:
    """node's libraries in /lib, where every glibc looks; the loader where node's header asks."""

    def entries() -> Iterator[Entry]:
        yield _folder("lib")
        yield _folder("lib64")
        seen = set()
        for path in sorted(tool.root.rglob("*.so*")):
            if path.is_file() and path.name not in seen:
                seen.add(path.name)
                yield _copy(f"lib/{path.name}", path.resolve())
                if path.name.startswith("ld-"):
                    yield _link(f"lib64/{path.name}", f"../lib/{path.name}")

    return Layer(name=tool.name, digest=tool.digest, entries=entries)
