"""Secrets never reach a file."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agora.core.redact import REDACTED, is_secret_key, redact

from .strategies import JSON_VALUES

SECRET = """key token api_key apiKey APIKEY OPENAI_API_KEY OPENAI_API_KEY_2 X-API-Key hf_token hfToken password passwd
db_password client_secret secretAccessKey Authorization credentials cookie api_keys access_tokens auth.token"""
HARMLESS = """max_tokens
n_tokens batch_tokens tokens keys tokenizer eos_token pad_token stop_token sort_key group_key keyword
monkey token_budget key_name model secretary 123"""


@pytest.mark.parametrize("key", SECRET.split())
def test_names_of_secrets_are_known(key: str) -> None:
    assert is_secret_key(key)


@pytest.mark.parametrize("key", ["", *HARMLESS.split()])
def test_the_vocabulary_of_models_and_tables_is_no_secret(key: str) -> None:
    assert not is_secret_key(key)


@pytest.mark.parametrize(
    ("value", "clean"),
    [
        ({"api_key": "abc", "lr": 0.1}, {"api_key": REDACTED, "lr": 0.1}),
        ({"a": [{"password": "x"}]}, {"a": [{"password": REDACTED}]}),
        ({"secret": {"inner": ["x", 3, None]}}, {"secret": {"inner": [REDACTED, 3, None]}}),
        ({"api_key": None, "token": ""}, {"api_key": None, "token": ""}),
        ("http://user:pass@host:8000/v1#M", f"http://{REDACTED}@host:8000/v1#M"),
        ("postgresql+psycopg://u@h/db", f"postgresql+psycopg://{REDACTED}@h/db"),
        ("mail a@b.org or see http://host/@me", "mail a@b.org or see http://host/@me"),
        ("https://h/p?api_key=abc&x=1", f"https://h/p?api_key={REDACTED}&x=1"),
        ("agora loop --api-key abc --seed 3", f"agora loop --api-key {REDACTED} --seed 3"),
        ("agora loop --token=abc --max-tokens 5", f"agora loop --token={REDACTED} --max-tokens 5"),
        ("agora loop --set engine.api_key=abc", f"agora loop --set engine.api_key={REDACTED}"),
        ("agora loop --json --password 'a b' --x", f"agora loop --json --password {REDACTED} --x"),
        ("Authorization: Bearer abcdefgh12", f"Authorization: Bearer {REDACTED}"),
        ("bad key sk-abcdefghijklmnopqrstu given", f"bad key {REDACTED} given"),
        ("hf_abcdefghijklmnopqrstuvwx", REDACTED),
        ("eos_token=<|end|> and a key point", "eos_token=<|end|> and a key point"),
    ],
)
def test_secrets_are_cut_out_and_the_rest_stays(value: object, clean: object) -> None:
    assert redact(value) == clean


def test_secrets_of_the_environment_are_cut_out_wherever_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SERVICE_API_KEY", "very-private-value")
    monkeypatch.setenv("EMPTY_TOKEN", "")
    assert redact({"error": "401 for very-private-value!"}) == {"error": f"401 for {REDACTED}!"}


@settings(deadline=None)
@given(JSON_VALUES, st.sampled_from(["api_key", "password", "hf_token"]))
def test_redacting_is_stable_and_never_changes_the_original(value: object, key: str) -> None:
    tree = {"inner": value, key: "hidden-word"}
    once = redact(tree)
    assert redact(once) == once
    assert once[key] == REDACTED
    assert tree[key] == "hidden-word"
