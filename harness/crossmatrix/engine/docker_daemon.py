"""The daemon: how it is found, what its faults become, one command in a running container."""

from __future__ import annotations

import http.client
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import requests
import urllib3
from docker import DockerClient
from docker.context import ContextAPI
from docker.errors import APIError, DockerException
from docker.utils import kwargs_from_env

from crossmatrix.errors import HarnessError, InfrastructureError

PROBE_SECONDS = 2
CALL_SECONDS = 120
"""No single answer of a healthy daemon takes this long, the loading of an image included."""
_SOCKET = "unix:///var/run/docker.sock"
_HEADER = 8
_STDOUT = 1
_FAULTS = (
    DockerException,
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
)


@contextmanager
def faults(doing: str, *, hint: str = "") -> Iterator[None]:
    """Whatever goes wrong between here and the daemon becomes an `InfrastructureError`."""
    try:
        yield
    except HarnessError:
        raise
    except APIError as error:
        why = error.explanation or str(error)
        raise InfrastructureError(f"{doing}: the daemon says: {why}", hint=hint) from error
    except _FAULTS as error:
        raise InfrastructureError(
            f"{doing}: {type(error).__name__}: {error}",
            hint=hint or "is the Docker daemon still running? `docker version` asks it",
        ) from error


@dataclass(frozen=True, kw_only=True)
class Daemon:
    """A daemon that has answered. ``versions`` are its own words about itself."""

    client: DockerClient
    where: str
    versions: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.versions['docker']} at {self.where}"


def connect(seconds: int = PROBE_SECONDS) -> Daemon | str:
    """The daemon of DOCKER_HOST or of the current docker context, or why there is none."""
    where = _SOCKET
    try:
        where, options = _address()
        _knock(where, seconds)
        client = DockerClient(version="auto", timeout=seconds, **options)
        seen = client.version()
        info = client.info()
    except _FAULTS as error:
        return f"no Docker daemon answers at {where} ({_innermost(error)})"
    client.api.timeout = CALL_SECONDS
    if info.get("OSType") != "linux":
        return f"the Docker daemon at {where} runs {info.get('OSType')} containers, not linux"
    if seen.get("Arch") != architecture():
        return (
            f"the Docker daemon at {where} runs {seen.get('Arch')} programs,"
            f" the tools here are for {architecture()}"
        )
    components = {c["Name"]: c["Version"] for c in seen.get("Components") or ()}
    name = "podman" if any("podman" in c.lower() for c in components) else "docker"
    return Daemon(
        client=client,
        where=where,
        versions={
            "docker": f"{name} {seen['Version']}",
            "api": str(client.api.api_version),
            "arch": str(seen.get("Arch", "")),
            "kernel": str(info.get("KernelVersion", "")),
            "storage": str(info.get("Driver", "")),
            "cgroup": str(info.get("CgroupVersion", "")),
        },
    )


def architecture() -> str:
    """This machine's architecture as images name it (``amd64``)."""
    machine = os.uname().machine
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def _address() -> tuple[str, dict[str, Any]]:
    """Where the daemon is, and what the client must be made with to reach it."""
    if host := os.environ.get("DOCKER_HOST"):
        return host, dict(kwargs_from_env())
    name = os.environ.get("DOCKER_CONTEXT") or None
    context = ContextAPI.get_context(name) if name else ContextAPI.get_current_context()
    if context is None or not context.Host:
        return _SOCKET, {}
    options: dict[str, Any] = {"base_url": context.Host}
    if context.TLSConfig:
        options["tls"] = context.TLSConfig
    return str(context.Host), options


def _knock(where: str, seconds: int) -> None:
    """Raise what speaks against a socket of this machine; the SDK would leave it open."""
    if where.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as door:
            door.settimeout(seconds)
            door.connect(where.removeprefix("unix://"))


def _innermost(error: BaseException) -> str:
    while error.__context__ is not None:
        error = error.__context__
    return str(error) or type(error).__name__


@dataclass(frozen=True, kw_only=True)
class Executed:
    """What an exec left. ``exit`` is None where it did not end in time, or said too much."""

    exit: int | None
    stdout: bytes
    stderr: bytes


def execute(
    client: DockerClient,
    container: str,
    argv: tuple[str, ...],
    *,
    seconds: float,
    ceiling: int,
) -> Executed:
    """Run a command in a running container; its streams come back apart.

    The stream is read through the response and not through the SDK's raw socket: what came in one
    piece with the header is lost there. ``ceiling`` is in bytes, of both streams together.
    """
    api = client.api
    begun = api.exec_create(container, list(argv), stdout=True, stderr=True)["Id"]
    base = f"{api.base_url}/v{api.api_version}/exec/{begun}"
    response = api.post(
        f"{base}/start",
        json={"Detach": False, "Tty": False},
        stream=True,
        timeout=(CALL_SECONDS, seconds),
    )
    streams = {_STDOUT: bytearray(), 2: bytearray()}
    deadline = time.monotonic() + seconds
    with response:
        response.raise_for_status()
        try:
            while len(header := response.raw.read(_HEADER)) == _HEADER:
                data = response.raw.read(int.from_bytes(header[4:], "big"))
                streams.setdefault(header[0], bytearray()).extend(data)
                if time.monotonic() > deadline or sum(map(len, streams.values())) > ceiling:
                    return _executed(None, streams)
        except (urllib3.exceptions.ReadTimeoutError, TimeoutError):
            return _executed(None, streams)
    return _executed(api.exec_inspect(begun)["ExitCode"], streams)


def _executed(exit_status: int | None, streams: Mapping[int, bytearray]) -> Executed:
    return Executed(exit=exit_status, stdout=bytes(streams[_STDOUT]), stderr=bytes(streams[2]))
