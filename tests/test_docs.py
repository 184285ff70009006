"""README and docs: the Python blocks run, the commands exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
PYTHON = [
    pytest.param(block, id=f"{page.name}-{i}")
    for page in PAGES
    for i, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S))
]


@pytest.mark.parametrize("block", PYTHON)
def test_python_block_runs(block: str) -> None:
    done = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def documented_commands() -> list[str]:
    """The `agora ROOM VERB` of every mention in the pages."""
    found = set()
    for page in PAGES:
        for text in re.findall(r"`(agora [^`]+)`|^ {4}(agora .+)$", page.read_text(encoding="utf-8"), re.M):
            words = shlex.split((text[0] or text[1]).split("#")[0].split("|")[0], posix=False)
            verbs = [w for w in words[1:3] if re.fullmatch(r"[a-z][a-z-]*", w)]
            found.add(" ".join(verbs))
    return sorted(found - {""})


@pytest.mark.parametrize("command", documented_commands())
def test_documented_command_exists(command: str) -> None:
    words = command.split()
    done = subprocess.run([sys.executable, "-m", "agora.cli", *words, "--help"], capture_output=True, text=True)
    if done.returncode and len(words) > 1:  # the second word may be an argument
        done = subprocess.run([sys.executable, "-m", "agora.cli", words[0], "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_pages_never_point_at_files_that_are_missing() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for path in re.findall(r"`((?:docs|src|benchmarks|tests)/[\w/.-]+\.\w+)`", text):
            assert (ROOT / path).exists(), f"{page.name} names {path}"
        for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text):
            assert (page.parent / path).exists(), f"{page.name} shows {path}"
