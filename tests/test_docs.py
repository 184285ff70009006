"""README and docs: the Python blocks run, the commands exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup as Group
from typer.main import get_command

from agora import cli

ROOT = Path(__file__).resolve().parents[1]
ALL = get_command(cli.app)
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


def documented_commands() -> list[list[str]]:
    """The words of every `agora …` that the pages mention."""
    found = set()
    for page in PAGES:
        for text in re.findall(r"`(agora [^`]+)`|^ {4}(agora .+)$", page.read_text(encoding="utf-8"), re.M):
            found.add((text[0] or text[1]).split("#")[0].split("|")[0].strip())
    return [shlex.split(text, posix=False)[1:] for text in sorted(found)]


@pytest.mark.parametrize("words", documented_commands(), ids=" ".join)
def test_documented_command_and_its_options_exist(words: list[str]) -> None:
    command: Any = ALL
    while isinstance(command, Group) and words and re.fullmatch(r"[a-z][a-z-]*", words[0]):
        assert words[0] in command.commands, words[0]
        command, words = command.commands[words[0]], words[1:]
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    if not isinstance(command, Group):
        options.add("--help")
        assert {w.split("=")[0] for w in words if re.match(r"--[a-z]", w)} <= options


def test_pages_never_point_at_files_that_are_missing() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for path in re.findall(r"`((?:docs|src|benchmarks|tests)/[\w/.-]+\.\w+)`", text):
            assert (ROOT / path).exists(), f"{page.name} names {path}"
        for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text):
            assert (page.parent / path).exists(), f"{page.name} shows {path}"
