"""What the tests of the docker engine share: a daemon, an engine, a small Go program."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from crossmatrix.command import Command, Ended, File, Limits
from crossmatrix.engine import Box
from crossmatrix.engine.docker import DockerEngine
from crossmatrix.engine.docker_daemon import Daemon, connect
from crossmatrix.engine.session import Session
from crossmatrix.needs import BuilderNeeds, Warm
from crossmatrix.toolchain import Store

GO = "1.27.3"
PACKAGES = ("fmt", "io", "os", "strings", "time")
ZOO = b"""package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

func main() {
	switch os.Args[1] {
	case "hello":
		fmt.Println("hello")
	case "copy":
		io.Copy(os.Stdout, os.Stdin)
	case "hang":
		time.Sleep(time.Hour)
	case "spam":
		for {
			fmt.Println(strings.Repeat("x", 1000))
		}
	case "crash":
		panic("on purpose")
	case "eat":
		var all [][]byte
		for {
			piece := make([]byte, 1<<20)
			for i := range piece {
				piece[i] = 1
			}
			all = append(all, piece)
		}
	case "list":
		entries, err := os.ReadDir("/")
		for _, entry := range entries {
			fmt.Println(entry.Name())
		}
		fmt.Println(err)
	case "child":
		_, err := os.StartProcess("/bin/sh", []string{"sh"}, &os.ProcAttr{})
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
"""
SHELL = {"PATH": "⟦path⟧", "HOME": "⟦home⟧", "TMPDIR": "⟦tmp⟧"}


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    found = connect()
    if isinstance(found, str):
        pytest.skip(found)
    yield found
    found.client.close()


@pytest.fixture(scope="module")
def store() -> Store:
    return Store()


@pytest.fixture(scope="module")
def session(store: Store) -> Iterator[Session]:
    with Session.open(store.root) as opened:
        yield opened


@pytest.fixture(scope="module")
def engine(daemon: Daemon, store: Store, session: Session) -> Iterator[DockerEngine]:
    made = DockerEngine(daemon=daemon, store=store, session=session)
    yield made
    made.close()


def sh(box: Box, script: str, *, seconds: float = 20, **limits: Any) -> Ended:
    command = Command(
        argv=("sh", "-c", script), env=SHELL, limits=Limits(seconds=seconds, **limits)
    )
    return box.run(command)


def go_build(engine: DockerEngine, goos: str, goarch: str, *flags: str) -> File:
    """The test program for a port, built in a builder whose cache the harness has filled."""
    port = {"GOOS": goos, "GOARCH": goarch, "CGO_ENABLED": "0"}
    warm = Warm(go=GO, env=tuple(sorted(port.items())), flags=flags, packages=PACKAGES)
    env = SHELL | port
    env |= {"GOCACHE": "⟦gocache⟧", "GOMODCACHE": "⟦gomodcache⟧", "GODEBUG": "goindex=0"}
    env |= {"GOENV": "off", "GOFLAGS": "", "GOPROXY": "off", "GOTOOLCHAIN": "local"}
    with engine.builder(BuilderNeeds(go=(GO,), warm=warm)) as box:
        box.put({"go.mod": File(data=b"module zoo\ngo 1.21\n"), "main.go": File(data=ZOO)})
        argv = ("go", "build", *flags, "-o", "zoo", ".")
        ended = box.run(Command(argv=argv, env=env, limits=Limits(seconds=300)))
        assert (ended.exit, ended.stderr) == (0, b"")
        artifact = box.get("zoo")
    assert artifact is not None
    return artifact


def native() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]


@pytest.fixture(scope="module")
def zoo(engine: DockerEngine) -> File:
    return go_build(engine, "linux", native())


def visit(box: Box, what: str, *, seconds: float = 20, stdin: bytes = b"", **limits: Any) -> Ended:
    """Run the test program, which must lie in the box already."""
    return box.run(
        Command(
            argv=("⟦work⟧/zoo", what),
            env={},
            limits=Limits(seconds=seconds, **limits),
            stdin=stdin,
        )
    )


# what a box is


def host_name(box: Box) -> bytes:
    return sh(box, "hostname").stdout
