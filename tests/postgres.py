"""A real PostgreSQL on a private port and folder, for as long as a test session lasts."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def _binary(name: str) -> str | None:
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(debian[-1]) if debian else None)


def _as_plain_user() -> list[str]:
    """PostgreSQL refuses to run as root; the user `nobody` will do."""
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.getuid() == 0 else []


class PostgresServer:
    """A real server that a test may kill and start again."""

    def __init__(self) -> None:
        initdb, postgres = _binary("initdb"), _binary("postgres")
        try:
            import psycopg  # noqa: F401
        except ImportError:
            pytest.skip("psycopg is not installed (pip install 'agora[postgres]')")
        if not initdb or not postgres:
            pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
        self.folder = Path(tempfile.mkdtemp(prefix="agora-pg-"))
        self.folder.chmod(0o777)
        data, user = self.folder / "data", _as_plain_user()
        made = [*user, initdb, "-D", str(data), "-U", "agora", "--auth=trust", "--no-sync", "--locale=C.UTF-8"]
        subprocess.run([*made, "-E", "UTF8"], check=True, capture_output=True, cwd=self.folder)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        # a power cut is not among what the tests try, so the disk need not be waited for
        where = ["-p", str(port), "-h", "127.0.0.1", "-k", str(self.folder)]
        self._command = [*user, postgres, "-F", "-D", str(data), *where]
        self.url = f"postgresql://agora@127.0.0.1:{port}"
        self.start()

    def start(self) -> None:
        """Start it and wait until it answers."""
        import psycopg

        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                self._command, stdout=log, stderr=log, cwd=self.folder, start_new_session=True
            )
        for _ in range(200):
            try:
                psycopg.connect(f"{self.url}/postgres").close()
                return
            except psycopg.OperationalError:
                time.sleep(0.1)
        raise AssertionError(f"PostgreSQL did not start: {(self.folder / 'log').read_text()}")

    def kill(self) -> None:
        """``kill -9``, as a machine that runs out of memory does; its helpers notice and end."""
        self._server.send_signal(signal.SIGKILL)
        self._server.wait(20)

    def stop(self) -> None:
        """End it at once and forget its data."""
        self._server.send_signal(signal.SIGQUIT)
        self._server.wait(20)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def postgres_server() -> Iterator[str]:
    """The URL of a fresh server, up to the name of a database; skips with a reason where there is no PostgreSQL."""
    server = PostgresServer()
    try:
        yield server.url
    finally:
        server.stop()


def fresh_database(server: str, name: str, *, template: str = "template1") -> str:
    """Make a copy of a database, by default an empty one, and return its URL."""
    import psycopg

    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}"')
        # from release 15 on the default writes each copied page to the log first: twice the work
        plain = "STRATEGY FILE_COPY" if connection.info.server_version >= 150_000 else ""
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" {plain}')
    return f"{server}/{name}"
