"""From the chat to the data set and back: consent, talk, annotations, release, a receipt, the next release."""

from __future__ import annotations

import json
from pathlib import Path

from agora.rooms.collect.enrich.pipeline import enrich
from tests.rooms.collect.live import Person, ScriptedModel, live_app
from tests.rooms.collect.release.built import build, rows

SETS = ("collect.quarantine_days=0", "release.require=[lang, pii, secret]")
HEADERS = {"user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"}


def test_what_people_say_becomes_a_release_and_what_they_erase_is_called_back(tmp_path: Path) -> None:
    with live_app(tmp_path, ScriptedModel()) as (address, store):
        people = [Person(address, **HEADERS).consent() for _ in range(5)]
        for n, person in enumerate(people):
            conversation = person.conversation()
            person.say(
                conversation, f"Please write to me at person{n}@northwind-mail.org about the harbor and the sea."
            )
            reply = person.messages(conversation)[-1]["id"]
            person.say(conversation, "And which ship leaves for the island in the morning?", parent_id=reply)
        nobody = Person(address, **HEADERS).consent("decline")
        assert nobody.http.post("/api/v1/conversations").status_code == 403
        told = enrich(store, ("lang", "pii", "secret"), elsewhere=(str(tmp_path / "store.db"), tmp_path / "keys.json"))
        assert [one.missing for one in told] == [0, 0, 0]
        first = build(store, tmp_path / "first", *SETS, k=5, as_of_us=None)
        assert first.numbers["conversations"] == 5 == first.numbers["subjects"]
        found = rows(tmp_path / "first")
        said = json.dumps(found, default=str)
        assert "northwind-mail" not in said and "PRESIDIO_ANONYMIZED_EMAIL_ADDRESS" in said
        assert {row["language"] for row in found} == {"English"} and {row["turn"] for row in found} == {2}
        assert {row["header"]["user-agent"] for row in found} == {HEADERS["user-agent"]}  # all five share it
        done = people[0].http.post("/api/v1/receipts/delete", json={"receipt": people[0].receipt, "scope": "all"})
        assert done.status_code == 200, done.text
        second = build(store, tmp_path / "second", *SETS, k=4, as_of_us=None)
        assert second.numbers["conversations"] == 4
        removed = (tmp_path / "second" / "removals-2.jsonl").read_text().splitlines()
        assert [json.loads(line)["release"] for line in removed] == ["first"]
