"""Train the linear model, and measure it on texts that it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agora.core.errors import DataError
from agora.core.records import stable_id
from agora.curate.toxicity.labeled import LabeledText, categories_of
from agora.curate.toxicity.linear import LinearModel, vectorizer

if TYPE_CHECKING:
    import numpy as np

_C = 4.0  # inverse strength of the regularization; between 1 and 10 no area moves by more than 0.011
FOLDS = 3


@dataclass(frozen=True, slots=True)
class CategoryScore:
    """How well a category is told on unseen texts: area under the ROC curve over ``n`` texts, ``positives`` of them."""

    category: str
    n: int
    positives: int
    auc: float


def train(labeled: Sequence[LabeledText], *, seed: int = 0) -> LinearModel:
    """Train on all texts.

    Args:
        labeled: with known categories; each category is learned from the texts for which it is known.
        seed: of the solver.

    Raises:
        DataError: no category has enough texts on both sides.
    """
    import numpy as np
    from scipy.sparse import hstack

    categories = categories_of(labeled)
    if not categories:
        raise DataError("no category has six texts to which it applies and six to which it does not")
    vectorizers = [vectorizer(block) for block in (0, 1)]
    texts = [row.text for row in labeled]
    columns = hstack([v.fit_transform(texts) for v in vectorizers], format="csr")
    fitted = [_fit(columns, labeled, category, seed) for category in categories]
    positives = {c: sum(bool(row.known(c)) for row in labeled) for c in categories}
    return LinearModel(
        categories=tuple(categories),
        terms=tuple(list(v.get_feature_names_out()) for v in vectorizers),  # type: ignore[arg-type]
        idf=tuple(np.asarray(v.idf_) for v in vectorizers),  # type: ignore[arg-type]
        weights=np.concatenate([f.coef_ for f in fitted]).astype(np.float32),
        bias=np.concatenate([f.intercept_ for f in fitted]),
        facts={"rows": len(labeled), "positives": positives, "data": stable_id(texts), "seed": seed},
    )


def _fit(columns: Any, labeled: Sequence[LabeledText], category: str, seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    known = [i for i, row in enumerate(labeled) if row.known(category) is not None]
    truth = [bool(labeled[i].known(category)) for i in known]
    model = LogisticRegression(C=_C, class_weight="balanced", max_iter=2000, random_state=seed)
    return model.fit(columns[known], truth)


def cross_validate(
    labeled: Sequence[LabeledText], *, folds: int = FOLDS, seed: int = 0, only: Sequence[str] = ()
) -> list[CategoryScore]:
    """Train on all folds but one and score that one, category by category (stratified, shuffled by ``seed``).

    The area is that of all held-out scores together. ``only`` names the categories to measure; all by default.
    """
    from sklearn.metrics import roc_auc_score

    found = []
    for category in categories_of(labeled, fewest=2 * folds):
        if only and category not in only:
            continue
        rows = [row for row in labeled if row.known(category) is not None]
        truth = [bool(row.known(category)) for row in rows]
        scores = _held_out([row.text for row in rows], truth, folds, seed)
        found.append(CategoryScore(category, len(rows), sum(truth), float(roc_auc_score(truth, scores))))
    return found


def _held_out(texts: list[str], truth: list[bool], folds: int, seed: int) -> np.ndarray:
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold
    from sklearn.pipeline import make_pipeline, make_union

    scores = np.zeros(len(texts))
    for learn, hold in StratifiedKFold(folds, shuffle=True, random_state=seed).split(texts, truth):
        # the features too are chosen on the learning part alone
        model = make_pipeline(
            make_union(vectorizer(0), vectorizer(1)),
            LogisticRegression(C=_C, class_weight="balanced", max_iter=2000, random_state=seed),
        )
        model.fit([texts[i] for i in learn], [truth[i] for i in learn])
        scores[hold] = model.predict_proba([texts[i] for i in hold])[:, 1]
    return scores
