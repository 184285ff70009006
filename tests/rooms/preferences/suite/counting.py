"""Run a suite with an engine that writes down every call before it answers; run as a program, to be killed.

Arguments: folder, seconds a call takes.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from agora.engines.cache import CachedEngine
from agora.rooms.preferences.suite.run import SuiteReport, run_suite
from tests.rooms.preferences.suite.support import Echo, FunctionEngine, doubled


def run_all(folder: Path, seconds: float) -> SuiteReport:
    def answer(prompt: str) -> str:
        with (folder / "calls.txt").open("a") as out:
            out.write(f"{prompt}\n")
        time.sleep(seconds)
        return doubled(prompt)

    engine = CachedEngine(FunctionEngine(answer), folder / "answers.sqlite")
    tests = [Echo(20, "one"), Echo(10, "two", "safety", samples=3)]
    try:
        return run_suite(engine, tests, folder / "run")
    finally:
        engine.close()


if __name__ == "__main__":
    os.environ["AGORA_PROGRESS"] = "0"
    run_all(Path(sys.argv[1]), float(sys.argv[2]))
