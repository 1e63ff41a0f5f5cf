"""Where a server listens, and whether the one that answers there is ours."""

from __future__ import annotations

import socket

import psutil


class NoPortError(OSError):
    """No server can listen at an address."""


def free_port(host: str, before: int | None) -> int:
    """The port of the server before, else Prefect's usual one, so that its address can be remembered; else any other.

    Raises
    ------
    NoPortError
        None can be had: ``host`` is no address of this machine.
    """
    for port in (before or 4200, 4200):
        if is_free(host, port):
            return port
    with socket.socket() as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            raise NoPortError(f"no port of {host} is free for a Prefect server") from None
        return int(probe.getsockname()[1])


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        # As the server itself does: what a server that is gone has left waiting does not hold the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def listens(pid: int, port: int) -> bool:
    """Whether a process of ours, or one that it has started, is who listens at a port of this machine."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return False
    return any(_listens_itself(member, port) for member in family)


def _listens_itself(process: psutil.Process, port: int) -> bool:
    try:
        return any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in process.net_connections("tcp"))
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        # Where a system does not tell: one that cannot take the port ends soon.
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def reachable(host: str) -> str:
    """The name under which a server that listens on ``host`` is found."""
    return socket.getfqdn() if host in ("0.0.0.0", "::") else host
