"""Secrets: keys stay where only their owner reads, receipts catch typing errors, addresses become pseudonyms."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agora.core.errors import DataError, UsageError
from agora.store.ids import new_id, new_ids
from agora.store.keys import Keys
from agora.store.pseudonyms import canonical_ip, ip_pseudonym
from agora.store.receipts import _ALPHABET, new_receipt, read_receipt

DAY_US = 86_400_000_000


def test_keys_are_made_once_and_only_their_owner_may_read_them(tmp_path: Path) -> None:
    path = tmp_path / "secret" / "keys.json"
    first, second = Keys.open(path), Keys.open(path)
    assert first.mac("receipt", "x") == second.mac("receipt", "x") != first.mac("cookie", "x")
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    with pytest.raises(DataError, match="chmod 600"):
        Keys.open(path)


def test_a_damaged_file_of_keys_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text('{"master": "zz"}')
    path.chmod(0o600)
    with pytest.raises(DataError, match="not a file of keys"):
        Keys.open(path)


def test_a_secret_in_the_environment_takes_the_place_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGORA_SECRET", "s" * 40)
    keys, again = Keys.open(tmp_path / "keys.json"), Keys.open(tmp_path / "other.json")
    assert keys.pseudonym("x") == again.pseudonym("x")
    assert not list(tmp_path.iterdir())
    monkeypatch.setenv("AGORA_SECRET", "short")
    with pytest.raises(UsageError, match="at least 32 bytes"):
        Keys.open(tmp_path / "keys.json")


def test_epochs_follow_each_other_and_old_ones_are_destroyed(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    keys = Keys.open(path)
    began = keys.epochs[0].began_us
    old = keys.pseudonym("192.0.2.1")
    assert not keys.rotate(began + 89 * DAY_US)
    for turn in range(1, 6):
        assert keys.rotate(began + turn * 90 * DAY_US)
    assert [epoch.number for epoch in keys.epochs] == [3, 4, 5, 6]
    assert keys.pseudonym("192.0.2.1") != old
    assert old[1] not in path.read_text()
    assert Keys.open(path).epochs == keys.epochs


@given(st.integers(0, 33), st.sampled_from(_ALPHABET))
def test_a_receipt_with_one_wrong_character_is_refused(place: int, other: str) -> None:
    receipt = new_receipt()
    plain = receipt.replace("-", "")
    wrong = plain[:place] + other + plain[place + 1 :]
    assert read_receipt(wrong) == (receipt if wrong == plain else None)


@given(st.integers(0, 30))
def test_a_receipt_with_two_neighbors_swapped_is_refused(place: int) -> None:
    plain = new_receipt().replace("-", "")
    swapped = plain[:place] + plain[place + 1] + plain[place] + plain[place + 2 :]
    assert swapped == plain or read_receipt(swapped) is None


@pytest.mark.parametrize("typed", [str.lower, lambda r: r.replace("-", " "), lambda r: f"  {r}\n"])
def test_a_receipt_is_read_however_it_is_typed(typed: object) -> None:
    receipt = new_receipt()
    assert read_receipt(typed(receipt)) == receipt  # type: ignore[operator]


@pytest.mark.parametrize("text", ["", "A", "é" * 34, "A" * 35, "-" * 34])
def test_what_is_no_receipt_is_refused(text: str) -> None:
    assert read_receipt(text) is None


@pytest.mark.parametrize(
    ("address", "canonical"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("[2001:db8::1]", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("nonsense", None),
        ("", None),
    ],
)
def test_one_visitor_has_one_spelling(address: str, canonical: str | None) -> None:
    assert canonical_ip(address) == canonical


def test_an_address_cannot_be_read_back_without_the_key(tmp_path: Path) -> None:
    one, other = Keys.open(tmp_path / "a.json"), Keys.open(tmp_path / "b.json")
    _, pseudonym = ip_pseudonym(one, "192.0.2.7")
    assert pseudonym is not None and len(pseudonym) == 64
    assert ip_pseudonym(one, "::ffff:192.0.2.7")[1] == pseudonym != ip_pseudonym(other, "192.0.2.7")[1]
    assert ip_pseudonym(one, None)[1] is None


@given(st.lists(st.integers(0, 2**45), min_size=2, max_size=5, unique=True))
def test_ids_sort_by_their_time(millis: list[int]) -> None:
    ids = [new_id(at * 1000) for at in millis]
    assert sorted(range(len(ids)), key=ids.__getitem__) == sorted(range(len(ids)), key=millis.__getitem__)
    assert all(len(made) == 26 for made in ids)


def test_a_release_has_a_key_of_its_own_that_a_turn_of_epochs_does_not_lose(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    service, command = Keys.open(path), Keys.open(path)
    first = command.release("2026-11")
    assert first == Keys.open(path).release("2026-11") != command.release("2026-12")
    assert service.rotate(service.epochs[0].began_us + 90 * DAY_US)  # it did not know of the releases
    held = Keys.open(path)
    assert held.release("2026-11") == first and [e.number for e in held.epochs] == [1, 2]
    command.release("2027-01")  # which did not know of the new epoch
    assert [e.number for e in Keys.open(path).epochs] == [1, 2]
    assert first.hex() not in repr(held) and held.master.hex() not in repr(held)


def test_ids_of_one_millisecond_sort_by_when_they_were_made() -> None:
    at = 1_800_000_000_000_000
    made = [new_id(at) for _ in range(100)]
    assert made == sorted(set(made)) and len({one[:10] for one in made}) == 1


def test_ids_made_together_ascend_and_come_before_those_made_later() -> None:
    first, many, last = new_id(), new_ids(1000), new_id()
    assert [first, *many, last] == sorted({first, *many, last})
