"""Signing in over real HTTP: roles, cookies, limits, sessions that cannot be planted or kept, open redirects."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from agora.rooms.collect.settings import ServeSettings
from agora.site.accounts import Admin, Moderator
from agora.store import Store, accounts
from agora.store.accounts import Role
from agora.store.tables import EVENTS
from agora.web.app import create_app
from tests.rooms.collect.live import ScriptedModel, running, settings
from tests.stores import store_in

RIGHT = "correct horse battery"
PAGE = {"accept": "text/html"}


@contextmanager
def _site(folder: Path, chosen: ServeSettings) -> Iterator[tuple[str, Store]]:
    store = store_in(folder)
    store.write(lambda c: accounts.add_account(c, "ada", Role.ADMIN, RIGHT))
    store.write(lambda c: accounts.add_account(c, "mo", Role.MODERATOR, RIGHT))
    app = create_app(chosen, store, ScriptedModel())

    @app.get("/for-moderators")
    async def for_moderators(operator: Moderator) -> dict[str, str]:
        return {"name": operator.name}

    @app.get("/for-admins")
    async def for_admins(operator: Admin) -> dict[str, str]:
        return {"name": operator.name}

    with running(app) as address:
        yield address, store
    store.close()


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "_COSTS", (8, 8, 1))


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    generous = settings()
    site = generous.site.model_copy(update={"sign_in_tries_per_minute": 1000})
    with _site(tmp_path, generous.model_copy(update={"site": site})) as (found, _):
        yield found


@pytest.fixture
def visit(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address) as client:
        yield client


def _sign_in(client: httpx.Client, name: str = "ada", password: str = RIGHT, **form: str) -> httpx.Response:
    return client.post("/sign-in", data={"name": name, "password": password, **form})


def _token_of(client: httpx.Client) -> str:
    page = client.get("/", headers=PAGE).text
    return page.split('action="/sign-out"')[1].split('name="form_token" value="')[1].split('"')[0]


def test_each_role_opens_what_it_covers(visit: httpx.Client) -> None:
    assert visit.get("/for-moderators").status_code == 401
    assert visit.get("/for-moderators").json()["error"]["code"] == "sign_in_required"
    assert _sign_in(visit, "mo").status_code == 303
    assert visit.get("/for-moderators").json() == {"name": "mo"}
    assert visit.get("/for-admins").status_code == 403
    assert _sign_in(visit, "ada").status_code == 303
    assert visit.get("/for-admins").json() == {"name": "ada"}


def test_a_person_is_led_to_the_page_to_sign_in_and_back(visit: httpx.Client) -> None:
    led = visit.get("/for-moderators?a=1&b=2", headers=PAGE)
    assert (led.status_code, led.headers["location"]) == (303, "/sign-in?next=/for-moderators%3Fa%3D1%26b%3D2")
    page = visit.get(led.headers["location"])
    assert 'value="/for-moderators?a=1&amp;b=2"' in page.text
    back = _sign_in(visit, next="/for-moderators?a=1&b=2")
    assert back.headers["location"] == "/for-moderators?a=1&b=2"


@pytest.mark.parametrize(
    "place",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "evil",
        "",
        "\\/e",
    ],
)
def test_no_sign_in_leads_to_another_site(visit: httpx.Client, place: str) -> None:
    assert _sign_in(visit, next=place).headers["location"] == "/"
    assert 'name="next" value="/"' in visit.get("/sign-in", params={"next": place}).text
    visit.cookies.clear()
    moved = visit.post("/locale", data={"locale": "de", "back": place})
    assert moved.headers["location"] == "/"


def test_the_session_cookie_is_out_of_reach_of_scripts_and_other_sites(tmp_path: Path) -> None:
    chosen = settings()
    secure = chosen.model_copy(update={"site": chosen.site.model_copy(update={"secure_cookies": True})})
    with _site(tmp_path, secure) as (address, _), httpx.Client(base_url=address) as client:
        cookie = _sign_in(client).headers["set-cookie"].lower()
    assert all(part in cookie for part in ("httponly", "secure", "samesite=strict", "path=/", "max-age=43200"))
    assert "domain" not in cookie


def test_signing_out_ends_the_session_wherever_its_cookie_was_copied_to(visit: httpx.Client, address: str) -> None:
    _sign_in(visit)
    copied = {"operator": visit.cookies["operator"]}
    assert httpx.get(f"{address}/for-admins", cookies=copied).status_code == 200
    assert visit.post("/sign-out", data={"form_token": "x" * 40}).status_code == 403
    assert httpx.get(f"{address}/for-admins", cookies=copied).status_code == 200
    assert visit.post("/sign-out", data={"form_token": _token_of(visit)}).status_code == 303
    assert "operator" not in visit.cookies
    assert httpx.get(f"{address}/for-admins", cookies=copied).status_code == 401


def test_a_planted_session_is_not_taken_over(visit: httpx.Client, address: str) -> None:
    planted = {"operator": "planted-by-someone"}
    data = {"name": "ada", "password": RIGHT}
    signed_in = httpx.post(f"{address}/sign-in", data=data, cookies=planted)
    assert signed_in.status_code == 303 and signed_in.cookies["operator"] != "planted-by-someone"
    assert httpx.get(f"{address}/for-admins", cookies=planted).status_code == 401


def test_signing_in_anew_ends_the_session_before(visit: httpx.Client, address: str) -> None:
    _sign_in(visit)
    first = {"operator": visit.cookies["operator"]}
    _sign_in(visit)
    assert visit.cookies["operator"] != first["operator"]
    assert httpx.get(f"{address}/for-admins", cookies=first).status_code == 401


@pytest.mark.parametrize("cookie", ["", "x", "x" * 4000, "' OR '1'='1", "%00", "é".encode().decode("latin-1")])
def test_a_forged_cookie_is_nobody(address: str, cookie: str) -> None:
    answer = httpx.get(f"{address}/for-admins", headers={b"cookie": f"operator={cookie}".encode("latin-1")})
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("name", "password"), [("ada", "wrong password"), ("nobody", RIGHT), ("", ""), ("ada\x00", RIGHT)]
)
def test_wrong_names_and_wrong_passwords_are_answered_alike(visit: httpx.Client, name: str, password: str) -> None:
    answer = _sign_in(visit, name, password)
    if name and password:
        assert answer.status_code == 403 and "do not belong together" in answer.text
    assert answer.status_code in (403, 422) and "operator" not in visit.cookies


@pytest.mark.parametrize(
    "headers", [{"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}]
)
def test_another_sites_page_can_neither_sign_in_nor_act(visit: httpx.Client, headers: dict[str, str]) -> None:
    data = {"name": "ada", "password": RIGHT}
    assert visit.post("/sign-in", data=data, headers=headers).status_code == 403
    _sign_in(visit)
    assert visit.get("/for-admins", headers=headers).status_code == 403
    assert visit.post("/sign-out", data={"form_token": _token_of(visit)}, headers=headers).status_code == 403


@pytest.mark.usefixtures("still_minute")
def test_tries_are_limited_by_address_and_by_name(tmp_path: Path) -> None:
    chosen = settings()
    site = chosen.site.model_copy(
        update={
            "sign_in_tries_per_minute": 3,
            "sign_in_tries_per_name": 5,
            "trusted_proxies": ("127.0.0.1/32",),
        }
    )
    with _site(tmp_path, chosen.model_copy(update={"site": site})) as (address, store):
        with httpx.Client(base_url=address) as client:

            def tried(name: str, come_from: str) -> int:
                data = {"name": name, "password": "wrong password"}
                return client.post("/sign-in", data=data, headers={"x-forwarded-for": come_from}).status_code

            # what a client writes itself stands left of what the proxy adds, and changes nothing
            assert [tried("mo", f"9.9.9.{i}, 10.0.0.1") for i in range(4)] == [403, 403, 403, 429]
            assert [tried("ada", f"10.1.0.{i}") for i in range(6)] == [403] * 5 + [429]
            assert _sign_in(client, "mo").status_code == 303
        with store.reading() as connection:
            kinds = [row.kind for row in connection.execute(EVENTS.select().order_by(EVENTS.c.seq))]
    assert kinds.count("operator.sign_in_failed") == 8 and kinds[-1] == "operator.signed_in"


def test_only_operators_see_that_they_are_signed_in(visit: httpx.Client) -> None:
    assert "/sign-out" not in visit.get("/", headers=PAGE).text
    _sign_in(visit, "mo")
    page = visit.get("/", headers=PAGE).text
    assert "Signed in as mo" in page and 'action="/sign-out"' in page


def _command(folder: Path, *args: str, password: str | None = RIGHT) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if k != "AGORA_PASSWORD"}
    env |= {"AGORA_PASSWORD": password} if password else {}
    command = [sys.executable, "-m", "agora.cli", "accounts", *args, "--db", "store.db"]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)


@pytest.mark.slow
def test_accounts_are_made_and_closed_at_the_command_line(tmp_path: Path) -> None:
    assert _command(tmp_path, "add", "ada", "--role", "admin").returncode == 0
    listed = _command(tmp_path, "list", password=None)
    assert listed.stdout == "ada\tadmin\n"
    assert _command(tmp_path, "disable", "ada", password=None).returncode == 0
    assert "disabled" in _command(tmp_path, "list", password=None).stdout
    without = _command(tmp_path, "add", "bob", password=None)
    assert without.returncode == 2 and "AGORA_PASSWORD" in without.stderr and "Traceback" not in without.stderr
    wrong = _command(tmp_path, "add", "bob", "--role", "king")
    assert wrong.returncode == 2 and "moderator, admin" in wrong.stderr
