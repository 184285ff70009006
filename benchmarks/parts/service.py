"""The real ``agora serve`` in a process of its own, people who have agreed, and what the process costs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

_WIDE = (
    *(
        f"limits.{name}"
        for name in ("messages_per_minute", "messages_per_day", "address_per_minute", "streams", "rounds")
    ),
    "abuse.address_streams",
)
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Served:
    """A running service."""

    port: int
    pid: int

    @property
    def cpu_s(self) -> float:
        """CPU seconds of the process so far, all threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * _TICK_S

    @property
    def rss_mb(self) -> float:
        """Resident memory in MB (10^6 bytes)."""
        return _rss_mb(self.pid)

    @property
    def beside_mb(self) -> float:
        """Resident memory of the process that enriches and indexes beside it, in MB; 0 before it has started."""
        return sum(
            _rss_mb(int(child)) for child in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        )


def _rss_mb(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found.group(1)) * 1024 / 1e6


@contextmanager
def service(folder: Path, model_port: int) -> Iterator[Served]:
    """``agora serve`` in front of a model server, its store in a folder, its limits too wide to matter."""
    limits = [item for name in _WIDE for item in ("--set", f"collect.{name}=1000000")]
    command = [sys.executable, "-m", "agora.cli", "serve", "--port", "0", "--db", str(folder / "chat.db"), *limits]
    command += ["--model", f"http://127.0.0.1:{model_port}/v1#m"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        found = re.search(r" at http://127\.0\.0\.1:(\d+)", server.stdout.readline())
        assert found is not None, "agora serve did not start"
        try:
            yield Served(int(found.group(1)), server.pid)
        finally:
            server.terminate()
            server.wait(20)


@dataclass(frozen=True, slots=True)
class Visiting:
    """Someone who has agreed to both steps and has a conversation."""

    token: str
    conversation: str


def visiting(port: int, count: int) -> list[Visiting]:
    """People at the service, each with a conversation of their own."""
    people = []
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as http:
        now = http.get("/api/v1/consent/current").json()
        terms = {"version": now["version"], "sha256": now["sha256"], "accepted": True, "age_confirmed": True}
        for _ in range(count):
            token = http.post("/api/v1/consent/terms", json=terms).json()["visit"]
            who = {"authorization": f"Bearer {token}"}
            decision = {"version": now["version"], "decision": "publish"}
            http.post("/api/v1/consent/publication", json=decision, headers=who)
            people.append(Visiting(token, http.post("/api/v1/conversations", headers=who).json()["id"]))
    return people
