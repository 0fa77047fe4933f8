"""The store: what it fetches, how it fails, and what it leaves when it is killed."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import signal
import socket
import stat
import subprocess
import sys
import time
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from crossmatrix.errors import InfrastructureError, InputError, MissingToolError
from crossmatrix.fetch import failure
from crossmatrix.fetch.wheel import unzip
from crossmatrix.toolchain import PINS, Store

SCRIPT = b"#!/bin/sh\necho tiny\n"
GET = """
import sys
from pathlib import Path
from crossmatrix.toolchain import Store
store = Store(Path(sys.argv[1]), report=print, pins=Path(sys.argv[2]))
print(store.get("tiny").version)
"""


def wheel(folder: Path, version: str = "1.0", extra: dict[str, bytes] | None = None) -> str:
    """Write a small real wheel; its sha256."""
    info = f"tiny-{version}.dist-info"
    files = {
        "tiny/bin/tool": SCRIPT,
        "tiny/data/text": b"text\n",
        "other/file": b"",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: tiny\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
        **(extra or {}),
    }
    folder.mkdir(exist_ok=True)
    path = folder / f"tiny-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (0o755 if "/bin/" in name else 0o640) << 16
            archive.writestr(entry, data)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pins(path: Path, sha256: str, version: str = "1.0") -> Path:
    """A pins file that knows one tool."""
    path.write_text(
        f'[tiny]\nproject = "tiny"\nversion = "{version}"\ninside = "tiny"\n'
        f'executable = "bin/tool"\n[tiny.wheels]\n{platform.machine()} = "{sha256}"\n'
    )
    return path


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all that pip knows of."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def make(tmp_path: Path, index: Path) -> Callable[..., Store]:
    """A store with one tool to be had, from a wheel with the pinned sum unless told otherwise."""

    def made(sha256: str | None = None) -> Store:
        real = wheel(index)
        return Store(tmp_path / "store", pins=pins(tmp_path / "pins.toml", sha256 or real))

    return made


def left(store: Store) -> list[str]:
    """What lies among the tools, by the start of its name."""
    return sorted(re.sub("-.*", "", path.name) for path in (store.root / "tools").iterdir())


def test_get_unpacks_a_wheel(make: Callable[..., Store]) -> None:
    """A tool comes with its executables and a manifest, and every user may read it."""
    store = make()
    old = os.umask(0o077)
    try:
        tool = store.get("tiny")
    finally:
        os.umask(old)
    assert (tool.name, tool.version) == ("tiny", "1.0")
    assert tool.executable == tool.root / "bin" / "tool"
    assert stat.S_IMODE(tool.executable.stat().st_mode) == 0o755
    assert stat.S_IMODE((tool.root / "data" / "text").stat().st_mode) == 0o644
    assert stat.S_IMODE(tool.root.parent.stat().st_mode) == 0o755
    assert subprocess.run([tool.executable], capture_output=True, check=True).stdout == b"tiny\n"
    assert sorted(path.name for path in tool.root.iterdir()) == ["bin", "data"]
    manifest = json.loads((tool.root.parent / "manifest.json").read_text())
    assert manifest["digest"] == tool.digest
    assert manifest["source"] == "wheel tiny 1.0"
    assert left(store) == ["tiny"]


def test_find_only_looks(make: Callable[..., Store]) -> None:
    """find() says nothing of a tool until get() has fetched it, and then the same."""
    store = make()
    assert store.find("tiny") is None
    assert not store.root.exists()
    got = store.get("tiny")
    assert store.find("tiny") == got == Store(store.root, pins=store._pins_file).find("tiny")


def test_a_tool_is_fetched_once(
    make: Callable[..., Store], index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there is taken, without pip and in silence."""
    store = make()
    store.get("tiny")
    (index / "tiny-1.0-py3-none-any.whl").unlink()
    said: list[str] = []
    monkeypatch.setenv("PATH", "")
    Store(store.root, pins=store._pins_file, report=said.append).get("tiny")
    assert not said


def test_a_wrong_sum_is_refused(make: Callable[..., Store]) -> None:
    """A wheel that is not the pinned one stops with both sums, and nothing of it is kept."""
    store = make("0" * 64)
    with pytest.raises(InfrastructureError, match=r"is not what is pinned: its sha256 is \w{64}"):
        store.get("tiny")
    assert left(store) == []


def test_a_missing_wheel_has_a_way_out(make: Callable[..., Store], index: Path) -> None:
    """What the index does not have is missing, with pip's reason and the command to try again."""
    store = make()
    (index / "tiny-1.0-py3-none-any.whl").unlink()
    with pytest.raises(MissingToolError, match="No matching distribution") as caught:
        store.get("tiny")
    assert "pip download --no-deps tiny==1.0" in caught.value.command
    assert left(store) == []


def test_no_network_is_no_wrong_sum(
    make: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index that does not answer is a missing tool whose reason is the network."""
    store = make()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.delenv("PIP_FIND_LINKS")
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{taken.getsockname()[1]}/simple")
        with pytest.raises(MissingToolError, match="the network failed"):
            store.get("tiny")


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("ERROR: [Errno 28] No space left on device\nbye", InfrastructureError),
        ("verifying m@v1.0.0: checksum mismatch\nSECURITY ERROR", InfrastructureError),
        ("E: Failed to fetch x  Hash Sum mismatch", InfrastructureError),
        ("E: Failed to fetch x  Temporary failure resolving 'mirror'", MissingToolError),
        ("go: m@v1: Get https://x: dial tcp: lookup x: no such host", MissingToolError),
        ("E: Unable to locate package x", MissingToolError),
        ("", MissingToolError),
    ],
)
def test_what_failed_decides_the_kind(said: str, kind: type[Exception]) -> None:
    """No room and wrong sums are faults, what cannot be reached or is not there is missing."""
    assert type(failure("x", said, "again")) is kind


def test_a_broken_archive_is_refused(tmp_path: Path, index: Path) -> None:
    """A file with the pinned sum that is no archive stops with its name."""
    index.joinpath("tiny-1.0-py3-none-any.whl").write_bytes(b"no zip")
    store = Store(
        tmp_path / "store",
        pins=pins(tmp_path / "pins.toml", hashlib.sha256(b"no zip").hexdigest()),
    )
    with pytest.raises((InfrastructureError, MissingToolError), match=r"tiny.1\.0"):
        store.get("tiny")
    assert left(store) == []


def test_an_archive_stays_in_its_folder(tmp_path: Path) -> None:
    """A name that climbs out of the tree is refused before a byte of it is written."""
    wheel(tmp_path / "w", extra={"tiny/../../out": b"x"})
    with pytest.raises(InfrastructureError, match="leaves its folder"):
        unzip(tmp_path / "w" / "tiny-1.0-py3-none-any.whl", tmp_path / "a" / "tree", "tiny")
    assert not list(tmp_path.rglob("out"))


def test_a_changed_pin_is_another_folder(make: Callable[..., Store], index: Path) -> None:
    """The tool of an older pin is never taken for that of a newer one."""
    store = make()
    old = store.get("tiny")
    sha256 = wheel(index, "1.1")
    newer = Store(store.root, pins=pins(store._pins_file, sha256, "1.1"))
    assert newer.find("tiny") is None
    assert newer.get("tiny").version == "1.1"
    assert newer.get("tiny").root != old.root


@pytest.mark.parametrize("lost", ["manifest.json", "root/bin/tool"])
def test_a_damaged_tool_is_made_anew(make: Callable[..., Store], lost: str) -> None:
    """A folder without its manifest or its executable counts as absent, and is replaced."""
    store = make()
    tool = store.get("tiny")
    (tool.root.parent / lost).unlink()
    again = Store(store.root, pins=store._pins_file)
    assert again.find("tiny") is None
    assert again.get("tiny").executable.read_bytes() == SCRIPT
    assert left(store) == ["tiny"]


def test_many_processes_fetch_once(make: Callable[..., Store]) -> None:
    """Of several processes that want a tool at the same time one fetches, and all get it."""
    store = make()
    argv = [sys.executable, "-c", GET, str(store.root), str(store._pins_file)]
    started = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    said = [process.communicate(timeout=120)[0] for process in started]
    assert [process.returncode for process in started] == [0] * 4
    assert sum("fetching tiny" in text for text in said) == 1
    assert all(text.endswith("1.0\n") for text in said)
    assert left(store) == ["tiny"]


def test_a_killed_fetch_is_cleared_away(make: Callable[..., Store]) -> None:
    """After kill -9 in the middle of a fetch the next one succeeds and leaves no rest."""
    store = make()
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        env = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")}
        env["PIP_INDEX_URL"] = f"http://127.0.0.1:{silent.getsockname()[1]}/simple"
        argv = [sys.executable, "-c", GET, str(store.root), str(store._pins_file)]
        process = subprocess.Popen(argv, env=env, stdout=subprocess.DEVNULL)
        silent.settimeout(60)
        asked, _ = silent.accept()
        with asked:
            process.send_signal(signal.SIGKILL)
            process.wait(timeout=30)
            assert left(store) == [".tiny"]
    time.sleep(0.1)
    store.get("tiny")
    assert left(store) == ["tiny"]


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path, make: Callable[..., Store]) -> None:
    """A store below a file is a fault with the variable that moves it, never a traceback."""
    file = tmp_path / "file"
    file.write_text("")
    store = Store(file / "store", pins=make()._pins_file)
    with pytest.raises(InfrastructureError, match="CROSSMATRIX_STORE"):
        store.get("tiny")


def test_an_unknown_tool_is_missing(make: Callable[..., Store]) -> None:
    """A name that no pin has is missing, so that what needs it is skipped with a reason."""
    with pytest.raises(MissingToolError, match="no wine is pinned"):
        make().get("wine")


def test_no_pip_is_told(make: Callable[..., Store], monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python without pip is told how to get it."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingToolError, match="ensurepip"):
        make().get("tiny")


def test_no_apt_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without apt is told that it misses it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingToolError, match="has no apt-get"):
        Store(tmp_path / "store").get("busybox")


def test_where_the_store_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CROSSMATRIX_STORE moves the store out of the user's cache folder."""
    monkeypatch.setenv("CROSSMATRIX_STORE", str(tmp_path / "there"))
    assert Store().root == tmp_path / "there"
    monkeypatch.delenv("CROSSMATRIX_STORE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert Store().root == tmp_path / "cache" / "crossmatrix"


def test_go_versions(tmp_path: Path) -> None:
    """A minor version stands for its pinned patch, a full one for itself."""
    store = Store(tmp_path)
    newest = max(store.go_versions(), key=lambda minor: int(minor.partition(".")[2]))
    full = store.go_versions()[newest]
    assert store.go_version(newest) == store.go_version(full) == store.go_version(f"go{full}")
    assert full == store.go_version(newest)
    assert store.names()[0] == f"go{full}"


@pytest.mark.parametrize(
    ("text", "hint"),
    [("1.27.99", "did you mean 1.27."), ("1.99", "pinned: 1.21"), ("newest", "write it as")],
)
def test_an_unknown_go_is_refused(tmp_path: Path, text: str, hint: str) -> None:
    """A Go that is not pinned, or is no version, is bad input that names those that are."""
    with pytest.raises(InputError) as caught:
        Store(tmp_path).go_version(text)
    assert hint in caught.value.hint


def test_the_pins_are_whole() -> None:
    """Every wheel is pinned by a sha256 for both kinds of machine."""
    table = tomllib.loads(PINS.read_text("utf-8"))
    every = [*table["go"]["wheels"].values()]
    every += [pin["wheels"] for name, pin in table.items() if name != "go" and "wheels" in pin]
    assert len(every) >= 9
    for sums in every:
        assert sorted(sums) == ["aarch64", "x86_64"]
        assert all(re.fullmatch("[0-9a-f]{64}", text) for text in sums.values())


def said(*argv: str | Path, **env: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env=env, timeout=120)
    return done.stdout


@pytest.mark.engine
def test_the_real_tools_run() -> None:
    """Each pinned program starts, and is of the version that the store says."""
    store = Store()
    assert store.get("zig").version in said(store.get("zig").executable, "version", HOME="/")
    assert store.get("wazero").version in said(store.get("wazero").executable, "version")
    for path in store.get("qemu").executable.parent.iterdir():
        assert "qemu-" in said(path, "--version")
    applets = store.get("busybox").root / "applets"
    assert said(applets / "sh", "-c", "echo $(seq 2 | wc -l)", PATH=str(applets)) == "2\n"
    assert store.get("supervisor").executable.stat().st_size > 1_000_000


@pytest.mark.engine
def test_node_needs_only_its_libraries() -> None:
    """node starts with the store's loader and libraries and no other."""
    store = Store()
    node, libraries = store.get("node"), store.get("nodelibs")
    folders = {str(path.parent) for path in libraries.root.rglob("*.so*")}
    loader = (libraries.executable, "--inhibit-cache", "--library-path", ":".join(folders))
    assert said(*loader, node.executable, "--version") == f"v{node.version}\n"
    listed = said(*loader, "--list", node.executable)
    used = re.findall(r"=> (\S+)", listed)
    assert used
    assert all(path.startswith(str(libraries.root)) for path in used)


@pytest.mark.engine
def test_the_links_of_the_libraries_stay_inside() -> None:
    """No link in node's libraries leads out of their folder."""
    root = Store().get("nodelibs").root
    links = [path for path in root.rglob("*") if path.is_symlink()]
    assert links
    assert all(path.resolve(strict=True).is_relative_to(root.resolve()) for path in links)


@pytest.mark.engine
def test_every_go_says_its_ports(tmp_path: Path) -> None:
    """Every pinned Go is the version it is pinned as, knows its ports, and has node's scripts."""
    store = Store()
    for version in store.go_versions().values():
        go = store.get(f"go{version}")
        env = {"GOTOOLCHAIN": "local", "GOENV": "off", "HOME": str(tmp_path)}
        assert said(go.executable, "env", "GOVERSION", "GOROOT", **env).split() == [
            f"go{version}",
            str(go.root),
        ]
        ports = {port.name: port for port in store.go_ports(version)}
        assert {"linux/amd64", "js/wasm", "wasip1/wasm", "windows/arm64"} <= set(ports)
        assert ports["linux/amd64"].cgo_supported
        assert not ports["js/wasm"].cgo_supported
        scripts = {path.name for path in store.get(f"wasm_exec{version}").root.iterdir()}
        assert scripts == {"wasm_exec.js", "wasm_exec_node.js"}
