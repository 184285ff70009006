"""A full disk: one clear line, nothing half-written, the old file kept. Limits are real (the system's own errors)."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agora.core.files import is_full_disk

LIMIT = 64 << 10

# Writes far more than the limit and prints the one line that a user would see.
SCRIPT = """
import resource, sys
from pathlib import Path
from agora.core.errors import AgoraError
from agora.core.records import Answer
from agora.core.tables import JsonlWriter, write_json, write_jsonl, write_parquet

path, limit = Path(sys.argv[1]), int(sys.argv[2])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
import random
rng = random.Random(0)
answers = (Answer(str(n), "m", rng.randbytes(500).hex()) for n in range(5000))
try:
    if path.suffix == ".log":
        with JsonlWriter(path) as out:
            for answer in answers:
                out.write(answer)
    elif path.suffix == ".parquet":
        write_parquet(path, answers, Answer)
    elif path.suffix == ".json":
        write_json(path, [answer.output for answer in answers])
    else:
        write_jsonl(path, answers)
except AgoraError as err:
    print(err)
    sys.exit(err.exit_code)
"""

NAMES = ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.json", "a.parquet"]


def write_until_full(path: Path, limit: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", SCRIPT, str(path), str(limit)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk_keeps_the_old_file_and_leaves_nothing_half_written(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"old")
    ended = write_until_full(path, LIMIT)
    assert ended.returncode == 1, ended.stderr
    assert ended.stdout.startswith(f"{path}: the disk is full (")
    assert ended.stdout.count("\n") == 1
    assert ended.stderr == ""
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_growing_table_ends_after_its_last_whole_row_when_the_disk_is_full(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    ended = write_until_full(path, LIMIT)
    assert ended.stdout.startswith(f"{path}: the disk is full (")
    content = path.read_bytes()
    assert content.endswith(b"}\n")
    assert LIMIT - 2000 < len(content) <= LIMIT


def test_a_small_file_system_that_is_full_is_told_as_such(tmp_path: Path) -> None:
    """The same on a file system of 256 kB, where the system says "No space left on device"."""
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not installed")
    mount = f"mount -t tmpfs -o size=256k tmpfs {tmp_path}"
    if subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True, check=False).returncode:
        pytest.skip("this system does not allow a private tmpfs")
    run = f'{mount} && "{sys.executable}" -c "$SCRIPT" {tmp_path}/a.jsonl 0; ls -A {tmp_path}'
    ended = subprocess.run(
        ["unshare", "-rm", "sh", "-c", run], capture_output=True, text=True, check=False, env={"SCRIPT": SCRIPT}
    )
    assert ended.stdout.startswith(f"{tmp_path}/a.jsonl: the disk is full (No space left on device)"), ended.stderr
    assert ended.stdout.count("\n") == 1, "something was left in the folder"


# What torch and safetensors raise when the limit is met in the middle of their files.
LIBRARY_SCRIPT = """
import resource, sys
import torch
from safetensors.torch import save_file
from agora.core.files import is_full_disk

weights = {"a": torch.zeros(100_000)}
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
try:
    if sys.argv[2] == "torch":
        with open(sys.argv[1], "wb") as file:
            torch.save(weights, file)
    else:
        save_file(weights, sys.argv[1])
except Exception as err:
    print(is_full_disk(err))
"""


@pytest.mark.parametrize("library", ["torch", "safetensors"])
def test_a_full_disk_is_recognized_behind_a_librarys_own_error(tmp_path: Path, library: str) -> None:
    command = [sys.executable, "-c", LIBRARY_SCRIPT, str(tmp_path / "weights"), library]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "True\n"


def test_other_errors_are_no_full_disk() -> None:
    assert not is_full_disk(RuntimeError("unexpected pos 576 vs 534"))
    assert not is_full_disk(PermissionError(13, "Permission denied"))
