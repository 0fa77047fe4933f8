"""`root: scratch`: the program is the first process of a container whose image is empty.

There is no supervisor in it: time, output and death are watched from outside.
"""

from __future__ import annotations

import re
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from docker.errors import APIError
from docker.models.containers import Container

from crossmatrix.command import Command, Ended, File, Layout
from crossmatrix.engine.docker_box import Holder, Walls, options, remove, told, work_mount
from crossmatrix.engine.docker_daemon import CALL_SECONDS, faults

_CHUNK = 1 << 16
_HEADER = 8
_KILLED = 137
_CANNOT = {"exec format error": 126, "permission denied": 126, "no such file or directory": 127}
_REFUSED = re.compile(r'exec: "|exec /|exec user process|executable')
"""How a runtime's own error begins where it is the program that cannot be started (runc, crun)."""


@dataclass(kw_only=True)
class ScratchBox:
    """A box whose commands run in containers of an empty image, one each.

    ``holder`` keeps the work volume alive and lets files in: archives go only into running
    containers.
    """

    holder: Holder
    image: str
    walls: Walls
    layout: Layout
    labels: Mapping[str, str]

    def __post_init__(self) -> None:
        self.holder.put({})

    def put(self, files: Mapping[str, File]) -> None:
        self.holder.put(files)

    def get(self, name: str) -> File | None:
        return self.holder.get(self.layout.fill(f"⟦work⟧/{name}"))

    def run(self, command: Command) -> Ended:
        client = self.holder.client
        with faults("running a program in an empty container"):
            container = client.containers.create(
                self.image,
                command=[self.layout.fill(arg) for arg in command.argv],
                environment={key: self.layout.fill(v) for key, v in command.env.items()},
                working_dir=self.layout.fill(command.cwd),
                stdin_open=bool(command.stdin),
                name=f"crossmatrix-{uuid.uuid4().hex}",
                mounts=[work_mount(self.holder.volume)],
                **options(self.walls, self.labels),
            )
        try:
            with faults("running a program in an empty container"):
                return self._observed(container, command)
        finally:
            remove(client, container)

    def _observed(self, container: Container, command: Command) -> Ended:
        limits = command.limits
        with _attached(container, stdin=bool(command.stdin)) as streams:
            begun = time.monotonic()
            try:
                container.start()
            except APIError as error:
                cannot = _refused(error)
                if cannot is None:
                    raise
                return told(limits, begun, exit=cannot[0], start_error=cannot[1])
            threading.Thread(target=_feed, args=(streams, command.stdin), daemon=True).start()
            output, over = _read(streams, begun + limits.seconds, limits.output)
        if over:
            with suppress(APIError):
                container.kill()
        container.wait(timeout=CALL_SECONDS)
        container.reload()
        state = container.attrs["State"]
        status = _KILLED if over else int(state["ExitCode"])
        if cannot := _unstarted(status, output, self.layout.fill(command.argv[0])):
            return told(limits, begun, exit=cannot[0], start_error=cannot[1])
        return told(
            limits,
            begun,
            exit=status,
            signal=max(status - 128, 0),
            timeout=over == "timeout",
            output_limit=over == "output",
            oom=bool(state.get("OOMKilled")),
            stdout=output[1],
            stderr=output[2],
        )


@contextmanager
def _attached(container: Container, *, stdin: bool) -> Iterator[socket.socket]:
    """The streams of a container that has not started: nothing that it says can be missed.

    They are closed before it is killed: the daemon waits for somebody to read the rest.
    """
    params = {"stdin": int(stdin), "stdout": 1, "stderr": 1, "stream": 1}
    attached: Any = container.attach_socket(params=params)
    streams: socket.socket = getattr(attached, "_sock", attached)
    try:
        yield streams
    finally:
        with suppress(OSError):
            streams.shutdown(socket.SHUT_RDWR)
        if response := getattr(attached, "_response", None):
            response.close()
        streams.close()


def _feed(streams: socket.socket, data: bytes) -> None:
    """Give a program its input and end it; one that does not read all of it is free to do so."""
    with suppress(OSError):
        if data:
            streams.sendall(data)
            streams.shutdown(socket.SHUT_WR)


def _read(streams: socket.socket, deadline: float, ceiling: int) -> tuple[dict[int, bytes], str]:
    """Stdout (1) and stderr (2) to their end, and what was exceeded before it came."""
    output = {1: bytearray(), 2: bytearray()}
    pending, over = bytearray(), ""
    while not over:
        streams.settimeout(max(deadline - time.monotonic(), 0.001))
        try:
            chunk = streams.recv(_CHUNK)
        except TimeoutError:
            over = "timeout"
            break
        if not chunk:
            break
        pending += chunk
        for number, data in _frames(pending):
            output.setdefault(number, bytearray()).extend(data)
        if any(len(data) > ceiling for data in output.values()):
            over = "output"
        elif time.monotonic() > deadline:
            over = "timeout"
    return {number: bytes(data[:ceiling]) for number, data in output.items()}, over


def _frames(pending: bytearray) -> Iterator[tuple[int, bytes]]:
    """The whole frames of the daemon's multiplexed stream, which are taken out of ``pending``."""
    start = 0
    while len(pending) >= (data := start + _HEADER):
        end = data + int.from_bytes(pending[start + 4 : data], "big")
        if len(pending) < end:
            break
        yield pending[start], bytes(pending[data:end])
        start = end
    del pending[:start]


def _refused(error: APIError) -> tuple[int, str] | None:
    """Exit status and reason where the daemon could not start the program; None: its own fault."""
    said = str(error.explanation)
    return _reason(said) if _REFUSED.search(said) else None


def _unstarted(status: int, output: Mapping[int, bytes], program: str) -> tuple[int, str] | None:
    """The same where runc found out late, and said so as the program's only output.

    A program that says something alike of a child of its own (``fork/exec /bin/sh: …``) is not
    taken for that: the whole output must be the runtime's, with this program's path.
    """
    if status not in (1, 255) or output[1]:
        return None
    said = output[2].decode("utf-8", "replace").strip()
    late = rf"(standard_init_linux\.go:\d+: )?exec (user process caused|{re.escape(program)}): .*"
    return _reason(said) if re.fullmatch(late, said) else None


def _reason(said: str) -> tuple[int, str] | None:
    found = (reason for reason in _CANNOT if reason in said.lower())
    reason = next(found, None)
    return None if reason is None else (_CANNOT[reason], reason)
