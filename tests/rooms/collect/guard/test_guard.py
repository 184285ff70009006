"""The day's budget, the model's context, the puzzle and the short-lived addresses, on both databases."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, select, update

from agora.rooms.collect.guard.budget import Budget
from agora.rooms.collect.guard.context import estimate_tokens, fit_turns
from agora.rooms.collect.guard.proof import has_proof, keep_proof, make_challenge, solve, solves
from agora.rooms.collect.guard.settings import AbuseSettings, BudgetSettings
from agora.site.refusals import RefusalError
from agora.store import Store, spending
from agora.store.addresses import (
    block,
    forget_addresses,
    is_blocked,
    list_blocks,
    remember_address,
    reveal_address,
    unblock,
)
from agora.store.ids import new_id, now_us
from agora.store.keys import Keys
from agora.store.pseudonyms import ip_pseudonym, pseudonyms_of
from agora.store.spending import seconds_left, spent, today
from agora.store.tables import ADDRESSES, BLOCKS, EVENTS, SUBJECTS

ROUNDS = st.lists(st.tuples(st.text(max_size=200), st.text(max_size=200)), max_size=8)


def _turns(rounds: list[tuple[str, str]], last: str, system: str = "") -> list[dict[str, str]]:
    turns = [{"role": "system", "content": system}] if system else []
    for asked, told in rounds:
        turns += [{"role": "user", "content": asked}, {"role": "assistant", "content": told}]
    return [*turns, {"role": "user", "content": last}]


@given(ROUNDS, st.text(max_size=100), st.text(max_size=50), st.integers(0, 400), st.integers(1, 100))
def test_a_cut_history_fits_keeps_its_ends_and_loses_whole_rounds(
    rounds: list[tuple[str, str]], last: str, system: str, context: int, reply: int
) -> None:
    turns = _turns(rounds, last, system)
    fitted = fit_turns(turns, context, reply)
    head = 1 if system else 0
    assert fitted.turns == turns[:head] + turns[head + 2 * fitted.truncated_rounds :]
    assert fitted.turns[-1]["content"] == last
    assert fitted.tokens == sum(8 + estimate_tokens(turn["content"]) for turn in fitted.turns)
    if context == 0:
        assert fitted.truncated_rounds == 0
    elif fitted.truncated_rounds < len(rounds):
        assert fitted.tokens <= context - reply  # more would have been cut
    if fitted.truncated_rounds:
        wider = fit_turns(turns, 1 << 30, reply)
        assert wider.truncated_rounds == 0 and wider.tokens > context - reply  # nothing is cut without need


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("abc", 1), ("hello world", 4), ("学习研究", 4), ("\ud800", 1)])
def test_tokens_are_estimated_from_bytes(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == tokens


def test_a_day_is_charged_at_the_longest_and_corrected_to_what_it_cost(store: Store) -> None:
    budget = Budget(BudgetSettings(tokens_per_day=1000, prompt_price=2.0, reply_price=10.0))
    charge = store.write(lambda c: budget.charge(c, new_id(), 100, 500))
    with store.reading() as connection:
        assert spent(connection, today()) == {"micros": 5200, "tokens": 600}
    store.write(lambda c: budget.settle(c, charge, {"prompt_tokens": 90, "completion_tokens": 20}, 7))
    with store.reading() as connection:
        assert spent(connection, today()) == {"micros": 380, "tokens": 110}
        state = budget.state(connection)
    assert (state.tokens, state.money, state.soft) == (110, 0.00038, False)
    charge = store.write(lambda c: budget.charge(c, new_id(), 10, 500))
    store.write(lambda c: budget.settle(c, charge, {}, 7))  # a model that tells nothing is estimated
    with store.reading() as connection:
        assert spent(connection, today())["tokens"] == 127


@pytest.mark.parametrize("bound", [{"tokens_per_day": 1000}, {"money_per_day": 0.01, "reply_price": 10.0}])
def test_a_spent_budget_refuses_and_charges_nothing_for_it(store: Store, bound: dict[str, float]) -> None:
    budget = Budget(BudgetSettings.model_validate(bound))
    store.write(lambda c: budget.charge(c, new_id(), 0, 1000))
    with store.reading() as connection:
        assert budget.state(connection).soft
    with pytest.raises(RefusalError) as refused:
        store.write(lambda c: budget.charge(c, new_id(), 0, 1))
    assert (refused.value.code, refused.value.status) == ("budget_exhausted", 503)
    assert 1 <= (refused.value.retry_after_s or 0) <= 86_400
    with store.reading() as connection:
        assert spent(connection, today())["tokens"] == 1000


def test_a_correction_belongs_to_the_day_of_its_charge(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    budget = Budget(BudgetSettings(tokens_per_day=1000))
    charge = store.write(lambda c: budget.charge(c, new_id(), 0, 900))
    tomorrow = now_us() + 86_400_000_000
    monkeypatch.setattr(spending, "now_us", lambda: tomorrow)
    store.write(lambda c: budget.charge(c, new_id(), 0, 900))  # a new day has a budget of its own
    store.write(lambda c: budget.settle(c, charge, {"completion_tokens": 5}, 0))
    with store.reading() as connection:
        assert spent(connection, charge.day)["tokens"] == 5 and spent(connection, today())["tokens"] == 900
    assert 1 <= seconds_left() <= 86_400


def test_two_stores_of_one_database_count_together(store_url: str, tmp_path: Path) -> None:
    budget = Budget(BudgetSettings(tokens_per_day=100))
    one = Store.open(store_url, keys=tmp_path / "keys.json")
    two = Store.open(store_url, keys=tmp_path / "keys.json")
    jobs = [(one, two)[i % 2].submit(lambda c: budget.charge(c, new_id(), 0, 10)) for i in range(20)]
    assert sum(job.exception() is None for job in jobs) == 10
    one.close()
    two.close()


def _subject(
    store: Store, name: str, address: str = "1.2.3.4", headers: str = '{"accept-language":"a","user-agent":"b"}'
) -> str:
    epoch, pseudonym = ip_pseudonym(store.keys, address)
    row = {"created_us": now_us(), "consent_state": "publish", "locale": "en", "source": "web", "key_epoch": epoch}
    row |= {"subject_id": name, "ip_pseudonym": pseudonym, "header_json": headers}
    store.write(lambda c: c.execute(insert(SUBJECTS).values(**row)))
    return name


def test_a_puzzle_is_solved_once_by_the_visit_it_was_given_to(store: Store) -> None:
    abuse = AbuseSettings(proof_bits=6)
    one, other = _subject(store, "A"), _subject(store, "B", "5.6.7.8")
    made = store.write(lambda c: make_challenge(c, store.keys, abuse, one))
    assert made is not None and made.bits == 6
    number = solve(made.text, made.bits)
    wrong = str(next(n for n in range(1000) if not solves(made.text, str(n), 6)))
    for whose, text, tried in [(other, made.text, number), (one, made.text, wrong), (one, made.text + "0", number)]:
        with pytest.raises(RefusalError):
            store.write(lambda c, w=whose, t=text, n=tried: keep_proof(c, store.keys, w, t, n))
    store.write(lambda c: keep_proof(c, store.keys, one, made.text, number))
    store.write(lambda c: keep_proof(c, store.keys, one, made.text, number))
    assert store.write(lambda c: has_proof(c, one)) and not store.write(lambda c: has_proof(c, other))
    assert store.write(lambda c: make_challenge(c, store.keys, abuse, one)) is None
    assert store.write(lambda c: make_challenge(c, store.keys, AbuseSettings(), other)) is None


def test_an_old_puzzle_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    one = _subject(store, "A")
    with monkeypatch.context() as then:
        then.setattr("agora.rooms.collect.guard.proof.now_us", lambda: now_us() - 3_700_000_000)
        made = store.write(lambda c: make_challenge(c, store.keys, AbuseSettings(proof_bits=1), one))
    assert made is not None
    with pytest.raises(RefusalError, match="too old"):
        store.write(lambda c: keep_proof(c, store.keys, one, made.text, solve(made.text, 1)))


def test_the_puzzle_grows_with_visits_from_an_address_and_missing_headers(store: Store) -> None:
    abuse = AbuseSettings(proof_bits=4, most_proof_bits=8)

    def bits(name: str) -> int:
        made = store.write(lambda c: make_challenge(c, store.keys, abuse, name))
        return made.bits if made else 0

    _subject(store, "first")
    assert bits("first") == 4
    _subject(store, "bare", "9.9.9.9", "{}")
    assert bits("bare") == 6
    for i in range(3):
        _subject(store, f"more{i}")
    assert bits("first") == 6  # four visits: two doublings
    for i in range(60):
        _subject(store, f"many{i}")
    assert bits("first") == 8  # the most


def test_solves_counts_zero_bits_as_the_digest_has_them() -> None:
    digest = hashlib.sha256(b"x:7").digest()
    leading = 256 - int.from_bytes(digest).bit_length()
    assert solves("x", "7", leading) and not solves("x", "7", leading + 1)


def test_an_address_is_kept_encrypted_shown_to_who_asks_in_the_log_and_forgotten(store: Store) -> None:
    store.write(lambda c: remember_address(c, store.keys, "203.0.113.77"))
    store.write(lambda c: remember_address(c, store.keys, "203.0.113.77"))
    store.write(lambda c: remember_address(c, store.keys, None))
    store.write(lambda c: remember_address(c, store.keys, "no address"))
    _, pseudonym = ip_pseudonym(store.keys, "203.0.113.77")
    with store.reading() as connection:
        (row,) = connection.execute(select(ADDRESSES)).all()
    assert row.ip_pseudonym == pseudonym and b"203.0.113" not in bytes(row.sealed)
    shown = store.write(lambda c: reveal_address(c, store.keys, "ACCOUNT", str(pseudonym)))
    assert shown == "203.0.113.77"
    other = Keys(b"o" * 32, store.keys.epochs)  # who has the database and not the master secret has no address
    assert store.write(lambda c: reveal_address(c, other, "ACCOUNT", str(pseudonym))) is None
    assert store.write(lambda c: forget_addresses(c, 72)) == 0
    store.write(lambda c: c.execute(update(ADDRESSES).values(seen_us=now_us() - 73 * 3_600_000_000)))
    assert store.write(lambda c: forget_addresses(c, 72)) == 1
    assert store.write(lambda c: reveal_address(c, store.keys, "ACCOUNT", str(pseudonym))) is None
    with store.reading() as connection:
        log = connection.execute(select(EVENTS)).all()
    assert [row.kind for row in log] == ["operator.address_read"] * 3 and "203.0.113" not in str(log)


def test_a_block_outlives_the_change_of_keys_and_ends(store: Store) -> None:
    _, before = ip_pseudonym(store.keys, "203.0.113.77")
    store.write(lambda c: block(c, "ACCOUNT", str(before), 7))
    assert store.keys.rotate(now_us() + 91 * 86_400_000_000)
    asked = pseudonyms_of(store.keys, "::ffff:203.0.113.77")
    assert store.write(lambda c: is_blocked(c, asked))
    assert not store.write(lambda c: is_blocked(c, pseudonyms_of(store.keys, "203.0.113.78")))
    assert not store.write(lambda c: is_blocked(c, []))
    store.write(lambda c: block(c, "ACCOUNT", str(before), 30))
    assert [one.pseudonym for one in store.write(list_blocks)] == [before]
    store.write(lambda c: unblock(c, "ACCOUNT", str(before)))
    assert not store.write(lambda c: is_blocked(c, asked))
    store.write(lambda c: block(c, "ACCOUNT", str(before), 1))
    store.write(lambda c: c.execute(update(BLOCKS).values(until_us=now_us() - 1)))
    assert not store.write(lambda c: is_blocked(c, asked))
