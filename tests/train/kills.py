"""A training that is really killed, again and again, without loading the libraries again for each."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent, indent

ROOT = Path(__file__).resolve().parents[2]


def exits_of(imports: str, body: str, kill_at: Sequence[int]) -> list[int]:
    """How ``body`` ended for each step of ``kill_at``, one after the other, in children forked after ``imports``.

    The body passes ``die`` as ``on_step``: SIGKILL takes the child at the end of that step; step 0 takes none.
    """
    program = f"""
import os, signal, torch
torch.set_num_threads(1)
{dedent(imports)}
def die(entry):
    if entry.step == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)
for kill_at in {list(kill_at)}:
    child = os.fork()
    if not child:
{indent(dedent(body), " " * 8)}
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env={**os.environ}, stdout=subprocess.PIPE)
    assert done.returncode == 0
    return [int(line) for line in done.stdout.split()]
