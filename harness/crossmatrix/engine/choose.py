"""Choose an engine by name and start it; what each adds to the tools of the store, or lacks."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass

from crossmatrix.doctor import Finding
from crossmatrix.engine import Engine, docker
from crossmatrix.engine.docker_daemon import Daemon, connect
from crossmatrix.engine.local import LocalEngine
from crossmatrix.engine.session import Session, bury, dead
from crossmatrix.errors import InfrastructureError
from crossmatrix.toolchain import Store

Report = Callable[[str], None]
NAMES = ("auto", "docker", "local")


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """How an engine works: ``fresh`` containers for every item."""

    fresh: bool = False


def name(wanted: str, report: Report) -> str:
    """The engine to take: ``auto`` is docker where a daemon answers, else local; it says which.

    Raises `InfrastructureError` where docker is wanted and no daemon answers.
    """
    if wanted == "local":
        return "local"
    found = connect()
    if isinstance(found, Daemon):
        report(f"engine: docker ({found})")
        return "docker"
    if wanted == "docker":
        raise InfrastructureError(
            found, hint="start a daemon, set DOCKER_HOST, or take --engine local"
        )
    report(f"engine: local ({found})")
    return "local"


def start(
    name: str, store: Store, session: Session, options: EngineOptions, report: Report
) -> Engine:
    """An engine for one process of a run."""
    if name == "local":
        return LocalEngine(store, session, report=report)
    return docker.DockerEngine(
        daemon=_daemon(), store=store, session=session, fresh=options.fresh, report=report
    )


def sweep(store: Store, session: Session, report: Report) -> None:
    """Remove what dead runs of this host left: containers, volumes, folders, lock files.

    While no daemon answers the lock files stay: containers may lie behind one that is down.
    """
    gone = dead(store.root)
    if not gone:
        return
    found = connect()
    if not isinstance(found, Daemon):
        bury(store.root, gone, forget=False)
        return
    count = docker.sweep(found, host=session.host, dead=gone)
    bury(store.root, gone)
    report(f"removed what {len(gone)} dead runs left ({count} containers and volumes)")


def clean(name: str, session: Session) -> None:
    """End a run, with what its workers left behind, those that were killed too.

    Where the daemon is gone the run's lock file stays, so that the next start finds and sweeps it.
    """
    if name == "docker":
        found = connect()
        if not isinstance(found, Daemon):
            return
        try:
            docker.sweep(found, host=session.host, dead=(session.id,))
        except InfrastructureError:
            return
    session.close()


def daemon_finding() -> tuple[Finding, ...]:
    """What `crossmatrix doctor` says of a Docker daemon."""
    found = connect()
    there = isinstance(found, Daemon)
    return (
        Finding(
            name="docker daemon",
            there=there,
            detail=str(found),
            adds="" if there else "running cases in containers: walls, root: scratch",
            command="" if there else "apt-get install docker.io, or set DOCKER_HOST",
        ),
    )


def _daemon() -> Daemon:
    found = connect()
    if isinstance(found, Daemon):
        return found
    raise InfrastructureError(found, hint="start the daemon again, or take --engine local")


def adds(name: str) -> tuple[tuple[str, str], ...]:
    """Tools that an engine has beside those of the store, with what identifies them."""
    gcc = shutil.which("gcc") if name == "local" else None
    return (("host-gcc", gcc),) if gcc else ()


def lacks(name: str) -> tuple[tuple[str, str], ...]:
    """What an engine cannot have, each with its reason."""
    if name == "docker":
        return (("host-gcc", "an image has no host's gcc: --engine local has it"),)
    scratch = ("root:scratch", "root: scratch needs the docker engine: start a Docker daemon")
    if shutil.which("gcc"):
        return (scratch,)
    return (scratch, ("host-gcc", "no gcc on this machine; to get it: apt-get install gcc"))
