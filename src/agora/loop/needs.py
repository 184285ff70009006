"""What later stages of a loop need, looked for before the first minute of work is spent."""

from __future__ import annotations

from agora.core.runs import RunDir
from agora.engines import find_engine
from agora.loop.settings import LoopConfig
from agora.rooms.judge import open_judge
from agora.train.models import model_path


def check_needs(run: RunDir, config: LoopConfig) -> None:
    """See that the models of all stages ahead are there. A stage that is done needs nothing any more.

    Raises:
        UsageError: a URI is malformed, or the student is out of reach of training.
        MissingError: a model or a key is not on this machine.
        EngineError: a server is down or refuses the key.
    """
    if not run.done("data"):
        find_engine(config.model)
    if not run.done("sft"):
        model_path(config.student)
        find_engine(config.student)
    if not run.done("judge"):
        if config.judge.startswith(("replay:", "microcosm:")) or not config.judge:
            open_judge(config.judge)
        else:
            find_engine(config.judge)
