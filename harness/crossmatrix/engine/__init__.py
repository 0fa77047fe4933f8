"""Where commands run: one Protocol, two engines (local processes, a Docker daemon)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from crossmatrix.command import Command, Ended, File, Layout
from crossmatrix.needs import BuilderNeeds, RunnerNeeds


class Box(Protocol):
    """A work folder and the walls around it; clean when it is handed out."""

    layout: Layout

    def put(self, files: Mapping[str, File]) -> None:
        """Lay files, by their slash-separated names, into the work folder."""

    def run(self, command: Command) -> Ended:
        """Run a command to its end; raises `InfrastructureError` where the machine breaks."""

    def get(self, name: str) -> File | None:
        """A regular file of the work folder, or None; links are never followed."""


class Engine(Protocol):
    """Where commands run. Both boxes of an item share nothing; the harness carries files across."""

    name: str

    def describe(self) -> Mapping[str, str]:
        """The engine's own versions, for the record of the run."""

    def builder(self, needs: BuilderNeeds) -> AbstractContextManager[Box]:
        """A clean box with the Go, the C compiler and the tools that a build needs."""

    def runner(self, needs: RunnerNeeds) -> AbstractContextManager[Box]:
        """A clean box with the runner that an artifact needs."""

    def close(self) -> None:
        """Give everything back: containers, volumes, folders. Safe to call twice."""
