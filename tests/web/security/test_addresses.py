"""What a client writes into its headers does not decide whom its requests count for."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from agora.store import Store
from agora.web.app import create_app
from tests.rooms.collect.live import Person, ScriptedModel, running, settings
from tests.stores import store_in

pytestmark = pytest.mark.usefixtures("still_minute")


def _limited(folder: Path, proxies: tuple[str, ...]) -> tuple[Store, object]:
    limits = {"address_per_minute": 3, "receipt_tries_per_minute": 3, "messages_per_minute": 1000}
    chosen = settings(limits=limits)
    site = chosen.site.model_copy(update={"trusted_proxies": proxies})
    store = store_in(folder)
    return store, create_app(chosen.model_copy(update={"site": site}), store, ScriptedModel())


SPOOFS = [
    {"x-forwarded-for": "{n}.1.1.1"},
    {"x-forwarded-for": "{n}.1.1.1, 10.0.0.9"},
    {"x-real-ip": "{n}.1.1.1"},
    {"forwarded": "for={n}.1.1.1"},
    {"client-ip": "{n}.1.1.1", "true-client-ip": "{n}.1.1.1", "cf-connecting-ip": "{n}.1.1.1"},
]


def _receipt_tries(address: str, headers: dict[str, str], then: str = "") -> list[int]:
    statuses = []
    for n in range(5):
        told = {name: value.format(n=n) + then for name, value in headers.items()}
        body = {"receipt": "x"}
        statuses.append(httpx.post(f"{address}/api/v1/receipts/lookup", json=body, headers=told).status_code)
    return statuses


@pytest.mark.parametrize("headers", SPOOFS)
def test_without_a_trusted_proxy_no_header_names_the_address(tmp_path: Path, headers: dict[str, str]) -> None:
    store, app = _limited(tmp_path, ())
    with running(app) as address:
        assert _receipt_tries(address, headers) == [200, 200, 200, 429, 429]
    store.close()


def test_behind_one_trusted_proxy_a_forged_left_entry_changes_nothing(tmp_path: Path) -> None:
    store, app = _limited(tmp_path, ("127.0.0.1/32",))
    with running(app) as address:
        assert _receipt_tries(address, {"x-forwarded-for": "{n}.1.1.1"}, ", 8.8.8.8") == [200, 200, 200, 429, 429]
        assert _receipt_tries(address, {"x-forwarded-for": "8.8.{n}.9"}) == [200] * 5  # others are others
        # nor does the limit of messages, which counts for the address that a subject came with
        people = [Person(address, **{"x-forwarded-for": f"{n}.1.1.1, 7.7.7.7"}).consent() for n in range(4)]
        statuses = []
        for n, person in enumerate(people):
            body = {"content": "hi", "client_msg_id": str(n)}
            path = f"/api/v1/conversations/{person.conversation()}/messages"
            statuses.append(person.http.post(path, json=body).status_code)
        assert statuses == [200, 200, 200, 429]
    store.close()
