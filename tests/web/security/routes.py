"""The routes of the app as it is: what they are called, what they take, and requests that they would accept."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from agora.store import Store
from agora.web.app import create_app
from tests.rooms.collect.live import ScriptedModel, running, settings
from tests.stores import migrated_file
from tests.web.operators import add_operators

SAFE = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True)
class Endpoint:
    """One method of one path."""

    method: str
    path: str
    in_schema: bool
    query: tuple[str, ...]
    body: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def is_form(self) -> bool:
        """Whether a page's form is sent to it."""
        return not self.in_schema and self.method not in SAFE

    def at(self, value: str = "X") -> str:
        """The path with a value in each of its parameters."""
        verb = re.sub(r"\{verb\}", "lookup", self.path)
        return re.sub(r"\{[^}]+\}", value, verb)


def endpoints(app: FastAPI) -> list[Endpoint]:
    """All of them, in the order of the app."""
    return sorted({e for route in _flat(app.routes) for e in _of(route)}, key=str)


def _flat(routes: Iterable[Any]) -> Iterator[Any]:
    for route in routes:
        if hasattr(route, "effective_candidates"):  # a router that newer versions of FastAPI keep whole
            yield from _flat(route.effective_candidates())
        else:
            yield route


def _of(route: Any) -> Iterator[Endpoint]:
    dependant = getattr(route, "dependant", None)
    if dependant is None:  # files and the schema itself
        return
    for method in sorted(route.methods):
        query = tuple(field.alias for field in dependant.query_params)
        body = tuple(field.alias for field in dependant.body_params)
        yield Endpoint(method, route.path, route.include_in_schema, query, body)


@contextmanager
def whole_site(
    folder: Path, model: ScriptedModel, url: str | None = None, **collect: Any
) -> Iterator[tuple[str, FastAPI, Store]]:
    """The app with operators, over a store in a folder or a database: its address, itself, the store."""
    store = Store.open(url or migrated_file(folder / "store.db"), keys=folder / "keys.json")
    add_operators(store)
    chosen = settings(**collect)
    site = chosen.site.model_copy(update={"sign_in_tries_per_minute": 10_000, "sign_in_tries_per_name": 10_000})
    app = create_app(chosen.model_copy(update={"site": site}), store, model)
    with running(app) as address:
        yield address, app, store
    store.close()
