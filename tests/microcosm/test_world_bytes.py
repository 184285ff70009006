"""The world writes the same bytes in every process, and needs nothing but the standard library."""

from __future__ import annotations

import os
import subprocess
import sys

DIGEST = """
import hashlib, random
from agora.microcosm.world import World
digest = hashlib.sha256()
world, rng = World(0), random.Random(0)
for exercise in world.exercises(rng, 300):
    digest.update(repr(exercise).encode() + world.answer(exercise, rng).encode())
    digest.update(world.flawed_answer(exercise, rng).encode())
for row in (*world.documents(rng, 150), *world.people(20), *world.visitors(20), *world.cultures):
    digest.update(repr(row).encode())
print(digest.hexdigest())
"""


def run(code: str, hash_seed: str) -> str:
    env = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True).stdout


def test_the_same_seed_gives_the_same_bytes_in_every_process() -> None:
    assert run(DIGEST, "1") == run(DIGEST, "2")


def test_the_world_imports_no_heavy_library() -> None:
    code = "import sys, agora.microcosm.world; print(sorted({'torch', 'numpy', 'transformers'} & set(sys.modules)))"
    assert run(code, "0").strip() == "[]"
