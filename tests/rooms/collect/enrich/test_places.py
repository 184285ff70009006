"""Where visitors are: the published test databases of MaxMind, broken ones, and what the service keeps of it."""

from __future__ import annotations

import gzip
import ipaddress
import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from agora.core.errors import DataError, MissingError
from agora.rooms.collect.enrich.country_names import COUNTRY_NAMES, country_name
from agora.rooms.collect.enrich.places import NOWHERE, Place, Places
from agora.store.tables import SUBJECTS
from agora.web.app import create_app
from tests.rooms.collect.live import Person, ScriptedModel, live_app, settings
from tests.stores import store_in


@pytest.fixture
def geo(shared_dir: Path) -> Path:
    return shared_dir / "data/wildchat/geo"


def test_every_network_of_the_test_source_gives_the_listed_country(geo: Path) -> None:
    places = Places(geo / "GeoLite2-City-Test.mmdb")
    with gzip.open(geo / "GeoLite2-City-Test.json.gz", "rt", encoding="utf-8") as source:
        truth = [next(iter(entry.items())) for entry in json.load(source)]
    for network, record in truth:
        address = ipaddress.ip_network(network, strict=False)[0]
        listed = record.get("country", {}).get("iso_code")
        assert places._place(places._reader.get(address)).country_iso == listed, network
        places._known.clear()  # the source has networks smaller than a /24
        assert places.find(str(address)).country_iso == (None if address.is_private else listed)
    assert len(truth) == 242
    places.close()


def test_the_largest_subdivision_is_named_and_the_smallest_on_request(geo: Path) -> None:
    places = Places(geo / "GeoLite2-City-Test.mmdb")
    assert places.find("2.125.160.216") == Place("GB", "United Kingdom", "England")
    assert places.find("::ffff:2.125.160.216") == Place("GB", "United Kingdom", "England")
    exact = Places(geo / "GeoLite2-City-Test.mmdb", most_specific=True)
    assert exact.find("2.125.160.216") == Place("GB", "United Kingdom", "West Berkshire")
    country = Places(geo / "GeoLite2-Country-Test.mmdb")
    assert country.find("2.125.160.216") == Place("GB", "United Kingdom", None)
    for one in (places, exact, country):
        one.close()


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "::1", "10.1.2.3", "192.168.0.1", "fe80::1%eth0", "0.0.0.0", "1.1.1.1", "nonsense", "", None],
)
def test_private_unknown_and_unreadable_addresses_are_nowhere(geo: Path, address: str | None) -> None:
    places = Places(geo / "GeoLite2-City-Test.mmdb")
    assert places.find(address) == NOWHERE
    places.close()


def test_a_network_is_looked_up_once(geo: Path) -> None:
    places = Places(geo / "GeoLite2-City-Test.mmdb")
    assert places.find("2.125.160.216") == places.find("2.125.160.217") and len(places._known) == 1
    places.find("2001:218::1")
    places.find("2001:218:0:1::2")
    assert len(places._known) == 2
    places.close()


def test_a_broken_file_is_one_clear_error(geo: Path) -> None:
    with pytest.raises(DataError, match=r"Invalid-Node-Count\.mmdb: not a geography database that can be read"):
        Places(geo / "GeoIP2-City-Test-Invalid-Node-Count.mmdb")


def test_damaged_data_is_told_once_and_has_no_place(geo: Path, caplog: pytest.LogCaptureFixture) -> None:
    places = Places(geo / "GeoIP2-City-Test-Broken-Double-Format.mmdb")
    assert [places.find(a) for a in ("2.125.160.216", "81.2.69.142", "1.1.1.1")] == [NOWHERE] * 3
    assert [record.message for record in caplog.records] == [
        "the geography database GeoIP2-City-Test-Broken-Double-Format.mmdb has damaged data: InvalidDatabaseError"
    ]
    assert "2.125" not in caplog.text
    places.close()


def test_a_folder_gives_the_latest_file_made_on_or_before_a_day(geo: Path, tmp_path: Path) -> None:
    raw = (geo / "GeoLite2-City-Test.mmdb").read_bytes()
    at = raw.rindex(b"build_epoch") + len(b"build_epoch") + 2  # behind the two bytes that say: a number, of four bytes
    for day in (date(2023, 5, 1), date(2023, 8, 1), date(2024, 2, 1)):
        epoch = int(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp())
        (tmp_path / f"{day}.mmdb").write_bytes(raw[:at] + epoch.to_bytes(4, "big") + raw[at + 4 :])
    asked: tuple[tuple[date | None, str], ...] = (
        (date(2023, 1, 1), "2023-05-01"),  # older than all: the first
        (date(2023, 8, 1), "2023-08-01"),
        (date(2024, 1, 31), "2023-08-01"),
        (None, "2024-02-01"),
    )
    for on, name in asked:
        chosen = Places(tmp_path, on=on)
        assert chosen.file.stem == name and chosen.find("2.125.160.216").country_iso == "GB"
        chosen.close()
    with pytest.raises(MissingError, match="no geography database here"):
        Places(tmp_path / "nothing")


def test_a_visitor_s_country_is_kept_and_the_address_is_not(geo: Path, tmp_path: Path) -> None:
    chosen = settings(geo=str(geo / "GeoLite2-City-Test.mmdb"))
    site = chosen.site.model_copy(update={"trusted_proxies": ("127.0.0.0/8",)})
    with live_app(tmp_path, ScriptedModel(), chosen.model_copy(update={"site": site})) as (address, store):
        Person(address, **{"x-forwarded-for": "2.125.160.216"}).consent()
        Person(address).consent()
        with store.reading() as connection:
            rows = connection.execute(select(SUBJECTS).order_by(SUBJECTS.c.country_iso)).all()
    assert sorted((str(r.country_iso), str(r.subdivision)) for r in rows) == [("GB", "England"), ("None", "None")]
    kept = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"England" in kept and b"2.125.160" not in kept


def test_a_broken_database_stops_the_service_before_it_listens(geo: Path, tmp_path: Path) -> None:
    chosen = settings(geo=str(geo / "GeoIP2-City-Test-Invalid-Node-Count.mmdb"))
    store = store_in(tmp_path)
    with pytest.raises(DataError, match="not a geography database"):
        create_app(chosen, store, ScriptedModel())
    store.close()


def test_countries_have_english_names() -> None:
    assert (country_name("GB"), country_name("HK"), country_name("QQ"), country_name(None)) == (
        "United Kingdom",
        "Hong Kong",
        "QQ",
        None,
    )
    assert len(COUNTRY_NAMES) == 250 and all(len(code) == 2 and name for code, name in COUNTRY_NAMES.items())
