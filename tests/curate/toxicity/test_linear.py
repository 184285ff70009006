"""The built-in model: as good on unseen texts as the specification asks, plain arrays on disk, one score a text."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from agora.cli import app
from agora.core.errors import DataError, MissingError
from agora.curate.toxicity import LabeledText, LinearModel, cross_validate, read_labeled, train

MEAN = [
    "you stupid awful fool",
    "what a stupid fool you are",
    "shut up you awful person",
    "awful stupid nonsense, fool",
]
KIND = ["what a lovely garden", "the garden is lovely today", "please water the garden", "a lovely day in the garden"]


def small_set() -> list[LabeledText]:
    return [
        LabeledText(f"{t} {i}", {"insult": mean})
        for mean, texts in ((True, MEAN), (False, KIND))
        for t in texts
        for i in "ab"
    ]


@pytest.fixture(scope="module")
def model() -> LinearModel:
    return train(small_set())


@pytest.mark.slow
@pytest.mark.timeout(900)  # a quarter of a minute on an idle core
def test_unseen_texts_of_the_moderation_test_set_are_told_as_well_as_the_specification_asks(shared_dir: Path) -> None:
    labeled = read_labeled(shared_dir / "data/wildchat/moderation/openai_moderation_eval_noS3.jsonl.gz")
    found = {row.category: row for row in cross_validate(labeled, only=("any", "sexual", "self-harm", "hate"))}
    assert (found["any"].positives, found["any"].n) == (378, 854)
    assert found["any"].auc >= 0.81 and found["sexual"].auc >= 0.94
    assert found["self-harm"].auc >= 0.96 and found["hate"].auc >= 0.85


def test_scores_tell_the_two_sides_apart_and_an_empty_text_scores_nothing(model: LinearModel) -> None:
    mean, kind, empty = model.annotate(["you awful stupid fool!", "a lovely garden", "  "])
    assert mean["flagged"] and mean["categories"] == {"insult": True} and mean["provider"] == "linear"
    assert not kind["flagged"] and kind["scores"]["insult"] < 0.5 < mean["scores"]["insult"]
    assert empty == {
        "flagged": False,
        "categories": {"insult": False},
        "scores": {"any": 0.0, "insult": 0.0},
        "provider": "linear",
    }


def test_scores_do_not_depend_on_the_batch(model: LinearModel) -> None:
    texts = [f"{text} {i}" for i in range(200) for text in (*MEAN, *KIND)]
    whole = model.probabilities(texts)
    assert np.allclose(whole[::97], model.probabilities(texts[::97]))


def test_a_saved_model_is_plain_arrays_and_scores_the_same(model: LinearModel, tmp_path: Path) -> None:
    model.save(tmp_path / "m.npz")
    with np.load(tmp_path / "m.npz", allow_pickle=False) as held:
        assert {held[name].dtype.kind for name in held.files} <= {"f", "u"}
    again = LinearModel.load(tmp_path / "m.npz")
    assert again.version == model.version
    assert np.array_equal(again.probabilities(MEAN), model.probabilities(MEAN))


def test_other_files_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(MissingError):
        LinearModel.load(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("not a model")
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    np.savez(tmp_path / "pickled.npz", told=np.array([{"a": 1}], dtype=object))
    for name in ("text", "other", "pickled"):
        with pytest.raises(DataError, match="toxicity model"):
            LinearModel.load(tmp_path / f"{name}.npz")


def test_unknown_is_not_false(tmp_path: Path) -> None:
    path = tmp_path / "labeled.jsonl"
    path.write_text(
        '{"prompt": "a", "S": 1}\n{"text": "b", "categories": {"hate": false, "sexual": null}}\n{"text": "c"}\n'
    )
    first, second, third = read_labeled(path)
    assert (first.known("sexual"), first.known("hate"), first.any) == (True, None, True)
    assert (second.known("sexual"), second.known("hate"), third.any) == (None, False, False)


def test_train_and_score_by_command(tmp_path: Path) -> None:
    labeled, chats = tmp_path / "labeled.jsonl", tmp_path / "chats.jsonl"
    labeled.write_text(
        "".join(json.dumps({"text": r.text, "categories": dict(r.categories)}) + "\n" for r in small_set())
    )
    turns = [{"role": "user", "content": "you awful stupid fool"}, {"role": "assistant", "content": "a lovely garden"}]
    chats.write_text(
        json.dumps({"messages": turns}) + "\n" + json.dumps({"messages": [{**turns[1], "role": "user"}]}) + "\n"
    )
    model, out = tmp_path / "m.npz", tmp_path / "scored.jsonl"
    trained = CliRunner().invoke(app, ["curate", "toxicity", "train", str(labeled), "--out", str(model)])
    assert trained.exit_code == 0 and "any 8, insult 8" in trained.stdout
    done = CliRunner().invoke(
        app, ["curate", "toxicity", "score", str(chats), "--model", str(model), "--out", str(out), "--json"]
    )
    facts = json.loads(done.stdout)["facts"]
    assert facts["toxic"] == {"messages": 1, "rows": 1} and facts["messages"] == 3
    assert set(facts["above"]) == {"0.1", "0.5", "0.9"}
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["tags"]["toxic"]["value"] for row in rows] == [True, False]
    assert rows[0]["messages"][0]["meta"]["toxicity"][0]["flagged"] is True
