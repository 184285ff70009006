"""Operators of a test's site: accounts, and clients that are signed in."""

from __future__ import annotations

import httpx

from agora.store import Store
from agora.store.accounts import Role, add_account
from tests.rooms.collect.live import Person

PASSWORD = "correct horse battery"


def add_operators(store: Store) -> None:
    """An admin named ada and a moderator named mo."""
    store.write(lambda c: add_account(c, "ada", Role.ADMIN, PASSWORD))
    store.write(lambda c: add_account(c, "mo", Role.MODERATOR, PASSWORD))


class OperatorClient(Person):
    """A signed-in operator's browser, without scripts."""

    def __init__(self, address: str, name: str = "mo") -> None:
        super().__init__(address, accept="text/html")
        signed_in = self.http.post("/sign-in", data={"name": name, "password": PASSWORD})
        assert signed_in.status_code == 303, signed_in.text
        self.form_token = self.http.get("/").text.split('name="form_token" value="')[1].split('"')[0]

    def submit(self, path: str, **form: str) -> httpx.Response:
        """Send a form of theirs."""
        return self.http.post(path, data={"form_token": self.form_token, **form})
