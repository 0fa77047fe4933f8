"""One family of errors: what happened, and what to do about it."""

from __future__ import annotations

from pathlib import Path


class HarnessError(Exception):
    """Something that is no property of the program under test.

    ``hint`` is the way out, one sentence that a user can act on. ``str()`` gives both.
    """

    def __init__(self, what: str, *, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.what}\n  {self.hint}" if self.hint else self.what


class InputError(HarnessError):
    """Bad input of any kind; the process ends with exit code 2.

    ``line`` counts from 1; ``None`` where the input has no lines.
    """

    def __init__(
        self,
        what: str,
        *,
        file: Path | str | None = None,
        line: int | None = None,
        hint: str = "",
    ) -> None:
        place = "" if file is None else f"{file}: " if line is None else f"{file}:{line}: "
        super().__init__(f"{place}{what}", hint=hint)
        self.file = file
        self.line = line


class MissingToolError(HarnessError):
    """A tool that this machine does not have; what needs it is skipped with this as its reason.

    ``command`` is what the user can type to get it.
    """

    def __init__(self, what: str, *, command: str) -> None:
        super().__init__(what, hint=f"to get it: {command}")
        self.command = command


class InfrastructureError(HarnessError):
    """The machine under the harness broke (daemon gone, disk full): an ERROR, never a verdict."""
