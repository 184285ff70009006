"""``agora serve``: parse, open, run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def serve(
    db: Annotated[str, typer.Option("--db", help="Database: a file, or postgresql://USER@HOST/NAME.")] = "agora.db",
    model: Annotated[str | None, typer.Option("--model", metavar="URI", help="Who answers in the chat.")] = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 8080,
    config: Annotated[Path | None, typer.Option("--config", help="YAML file of settings.")] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One setting by name.")] = None,
    keys: Annotated[
        Path | None, typer.Option("--keys", help="File of secret keys; default: beside the database.")
    ] = None,
    log_json: Annotated[
        bool, typer.Option("--log-json", help="One JSON line on stderr for each request: route, status, time.")
    ] = False,
    geo: Annotated[
        Path | None, typer.Option("--geo", help="Geography database (.mmdb), or a folder of them: visitors' countries.")
    ] = None,
    review: Annotated[
        str | None, typer.Option("--review", help="What waits for a person before it is released: all or flagged.")
    ] = None,
) -> None:
    """Serve the web app: a consented chat in front of any model, and everyone's right to erase what they wrote."""
    from agora.core.config import load_config
    from agora.rooms.collect.settings import ServeSettings
    from agora.web.serve import run_server

    chosen = list(sets or [])
    if model:
        chosen.append(f"collect.model={model}")
    if geo:
        chosen.append(f"collect.geo={geo}")
    if review:
        chosen.append(f"collect.moderate.review={review}")
    settings = load_config(ServeSettings, config, chosen)
    run_server(settings, db=db, keys=keys, host=host, port=port, log_json=log_json)
