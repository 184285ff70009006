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


@contextmanager
def postgres_server() -> Iterator[str]:
    """The URL of a fresh server, up to the name of a database; skips with a reason where there is no PostgreSQL."""
    initdb, postgres = _binary("initdb"), _binary("postgres")
    try:
        import psycopg
    except ImportError:
        pytest.skip("psycopg is not installed (pip install 'agora[postgres]')")
    if not initdb or not postgres:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="agora-pg-"))
    folder.chmod(0o777)
    data, user = folder / "data", _as_plain_user()
    made = [
        *user,
        initdb,
        "-D",
        str(data),
        "-U",
        "agora",
        "--auth=trust",
        "--no-sync",
        "--locale=C.UTF-8",
        "-E",
        "UTF8",
    ]
    subprocess.run(made, check=True, capture_output=True, cwd=folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # a power cut is not among what the tests try, so the disk need not be waited for
    command = [*user, postgres, "-F", "-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", str(folder)]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        url = f"postgresql://agora@127.0.0.1:{port}"
        for _ in range(100):
            try:
                psycopg.connect(f"{url}/postgres").close()
                break
            except psycopg.OperationalError:
                time.sleep(0.1)
        else:
            raise AssertionError(f"PostgreSQL did not start: {(folder / 'log').read_text()}")
        yield url
    finally:
        server.send_signal(signal.SIGQUIT)  # at once: the folder goes with it
        server.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def fresh_database(server: str, name: str) -> str:
    """Make an empty database and return its URL."""
    import psycopg

    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}"')
        connection.execute(f'CREATE DATABASE "{name}"')
    return f"{server}/{name}"
