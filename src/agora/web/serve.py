"""Opening what the app needs, and running it until it is told to stop."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from agora.core.errors import UsageError
from agora.rooms.collect.settings import ServeSettings

_LOCAL = ("127.0.0.1", "::1", "localhost")


def run_server(
    settings: ServeSettings, *, db: str, keys: Path | None, host: str, port: int, log_json: bool = False
) -> None:
    """Serve until interrupted; replies that are being written get a moment to end.

    Args:
        settings: of the site and its rooms.
        db: a file, or a PostgreSQL URL.
        keys: file of secret keys; None for one beside the database.
        host: address to listen on. Plain HTTP on another address than this machine's keeps secure cookies, so it needs
            a proxy that speaks HTTPS.
        port: 0 for any that is free.
        log_json: write a line of JSON for each request.

    Raises:
        UsageError: the port is taken, or a PostgreSQL database comes without a file of keys.
        AgoraError: database, keys, texts or model cannot be opened.
    """
    import uvicorn

    from agora.rooms.collect.upstream import open_upstream
    from agora.store import Store, keys_beside
    from agora.web.app import check_settings, create_app
    from agora.web.patience import PatientProtocol
    from agora.web.watching import log_as_json

    if host in _LOCAL:  # a browser on this machine has no HTTPS to send a secure cookie over
        site = settings.site.model_copy(update={"secure_cookies": False})
        settings = settings.model_copy(update={"site": site})
    check_settings(settings)  # before a store is made or a model is opened
    listening = _listen(host, port)
    store = Store.open(db, keys=keys or keys_beside(db))
    try:
        app = create_app(settings, store, open_upstream(settings.collect.model, seed=settings.collect.seed))
        address = f"http://{host}:{listening.getsockname()[1]}"
        print(f"Agora serves {settings.collect.model} at {address} (stop with Ctrl-C)", flush=True)
        config = uvicorn.Config(
            app,
            http=PatientProtocol,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # the app itself decides which proxies to believe
            timeout_graceful_shutdown=settings.site.shutdown_s,
            timeout_keep_alive=15,
        )
        # the writer's thread and the loop hand over often; 5 ms a time would be what a first word waits for
        sys.setswitchinterval(0.0005)
        log_as_json(requests=log_json)
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        store.close()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as err:
        listening.close()
        raise UsageError(f"cannot listen on {host}:{port}: {err.strerror}", hint="choose another --port") from err
    return listening
