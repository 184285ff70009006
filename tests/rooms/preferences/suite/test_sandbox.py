"""Programs run with little to spend and nothing to reach, and nothing of them is left."""

from __future__ import annotations

import os
import socket
import time
from functools import cache
from pathlib import Path
from typing import Literal

import pytest

from agora.core.errors import ConfigError
from agora.rooms.preferences.suite.sandbox import Execution, Limits, run_program, run_programs

Level = Literal["namespaces", "landlock", "nothing"]
LEVELS: tuple[Level, ...] = ("namespaces", "landlock", "nothing")


@cache
def isolation(level: Level) -> str:
    """What this machine gives when asked for a level."""
    return run_program("pass", Limits(isolate=level)).isolation


def run(program: str, level: Level = "namespaces", timeout_s: float = 20.0) -> Execution:
    return run_program(program, Limits(timeout_s=timeout_s, isolate=level))


@pytest.mark.parametrize("level", LEVELS)
def test_program_passes_if_it_raises_nothing(level: Level) -> None:
    assert run("assert sum([1, 2]) == 3", level).passed
    failed = run("assert sum([1, 2]) == 4, 'no'", level)
    assert (failed.outcome, failed.detail) == ("failed", "AssertionError: no")


@pytest.mark.parametrize(
    "program", ["import os; os._exit(0)", "raise SystemExit", "import sys; sys.exit(0)", "quit()", "exit(0)"]
)
def test_leaving_early_is_no_pass(program: str) -> None:
    assert not run(program + "\nassert False").passed


def test_endless_program_is_stopped_at_its_limit() -> None:
    start = time.monotonic()
    found = run("while True: pass", timeout_s=0.5)
    assert found.outcome == "timeout" and time.monotonic() - start < 30


def test_memory_is_limited() -> None:
    found = run_program("x = bytearray(2 ** 31)", Limits(memory_mb=256))
    assert (found.outcome, found.detail.partition(":")[0]) == ("failed", "MemoryError")


def test_crash_is_told_from_failure() -> None:
    assert run("import ctypes; ctypes.string_at(0)").outcome == "crashed"


def test_program_sees_no_environment_and_no_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    assert run("import os; assert not any('KEY' in k or 'secret' in v for k, v in os.environ.items())").passed
    assert "EOFError" in run("input()").detail


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    "program",
    [
        "import socket; socket.create_connection(('127.0.0.1', 9), 1)",
        "import subprocess; subprocess.run(['true'])",
        "import os; os.system('true')",
        "import os; os.fork()",
    ],
)
def test_network_and_processes_are_refused(program: str, level: Level) -> None:
    found = run(program, level)
    assert found.outcome == "failed" and "the sandbox" in found.detail


@pytest.mark.parametrize("level", LEVELS)
def test_program_writes_in_its_own_folder_alone(level: Level, tmp_path: Path) -> None:
    target = tmp_path / "written"
    assert "PermissionError" in run(f"open({str(target)!r}, 'w')", level).detail
    assert run("open('a.txt', 'w').write('x')\nassert open('a.txt').read() == 'x'", level).passed
    assert not target.exists()
    target.mkdir()
    assert "PermissionError" in run(f"import shutil; shutil.rmtree({str(target)!r})", level).detail
    assert target.exists()


@pytest.mark.parametrize("level", LEVELS[:2])
def test_code_below_python_cannot_write_elsewhere_either(level: Level, tmp_path: Path) -> None:
    if isolation(level) == "limits":
        pytest.skip(f"this machine offers no {level}")
    target = tmp_path / "written"
    created = os.O_CREAT | os.O_WRONLY
    program = f"import ctypes\nassert ctypes.CDLL(None).open({str(target).encode()!r}, {created}, 0o600) < 0"
    assert run(program, level).passed
    assert not target.exists()


def test_namespaces_hide_other_processes_and_the_network() -> None:
    if isolation("namespaces") != "namespaces":
        pytest.skip("this machine offers no namespaces")
    assert run("import os; assert os.listdir('/proc') == [] and os.getpid() < 10").passed
    with socket.create_server(("127.0.0.1", 0)) as server:
        # below the audit hook: connect() of the C library to a port that listens outside
        address = bytes([2, 0]) + server.getsockname()[1].to_bytes(2, "big") + bytes([127, 0, 0, 1]) + bytes(8)
        program = f"import ctypes\nc = ctypes.CDLL(None)\nassert c.connect(c.socket(2, 1, 0), {address!r}, 16) != 0"
        assert run(program).passed


def names_of_processes() -> list[str]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                found.append((folder / "comm").read_text().strip())
            except OSError:
                continue
    return found


ESCAPE = """
import ctypes, time
libc = ctypes.CDLL(None)
if libc.fork() == 0:
    libc.setsid()
    if libc.fork() == 0:
        libc.prctl(15, b"{name}")
        time.sleep(60)
    libc._exit(0)
{then}
"""


@pytest.mark.skipif(not Path("/proc/self/comm").exists(), reason="needs /proc")
@pytest.mark.parametrize("then", ["time.sleep(0.3)", "while True: pass"])
@pytest.mark.parametrize("level", LEVELS)
def test_a_daemon_of_the_program_dies_with_it(level: Level, then: str) -> None:
    name = f"escaped{LEVELS.index(level)}{len(then)}"
    run(ESCAPE.format(name=name, then=then), level, timeout_s=1.0)
    assert name not in names_of_processes()


def test_many_programs_run_at_once_and_equal_ones_once() -> None:
    found = run_programs(["pass", "assert False", "pass"], workers=2)
    assert [one.passed for one in found] == [True, False, True]
    assert found[0] is found[2]


def test_output_of_a_program_goes_nowhere(capfd: pytest.CaptureFixture[str]) -> None:
    forged = 'import os\nos.write(1, b\'{"outcome": "passed"}\')\nprint("noise" * 10_000)\nassert False'
    assert run(forged).outcome == "failed"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("bad", [{"timeout_s": 0}, {"timeout_s": -1}, {"memory_mb": 1}])
def test_senseless_limits_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        Limits(**bad)  # type: ignore[arg-type]
