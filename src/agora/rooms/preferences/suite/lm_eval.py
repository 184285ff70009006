"""Wider suites by EleutherAI's lm-evaluation-harness, where it is installed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agora.core.errors import MissingError, UsageError
from agora.engines.registry import microcosm_folder, parse_uri


def run_lm_eval(model: str, tasks: Sequence[str], *, limit: int | None = None, **options: Any) -> dict[str, Any]:
    """Run tasks of lm-eval on a local model.

    Args:
        model: ``hf:NAME-OR-PATH`` or a model of the microcosm.
        tasks: names that lm-eval knows.
        limit: most examples a task.
        options: passed on to ``lm_eval.simple_evaluate`` (num_fewshot, batch_size, apply_chat_template, ...).

    Returns:
        Its ``results``: task -> metric -> value.

    Raises:
        MissingError: lm-eval is not installed.
        UsageError: the model is not a local one.
    """
    uri = parse_uri(model)
    if uri.scheme not in ("hf", "microcosm"):
        raise UsageError("lm-eval is run on local models here", where=model, hint="name it hf:FOLDER")
    try:
        from lm_eval import simple_evaluate  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise MissingError("lm-eval is not installed", hint="pip install lm-eval") from None
    folder = microcosm_folder(uri.name) if uri.scheme == "microcosm" else uri.name
    arguments = {"pretrained": str(folder)}  # not as text: a comma in the path would part it
    found = simple_evaluate(model="hf", model_args=arguments, tasks=list(tasks), limit=limit, **options)
    return dict(found["results"]) if found else {}  # on several processes the first alone has them
