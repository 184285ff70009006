"""Mine a log in small shards, each of which takes a while; run as a program, to be killed. Arguments: log, folder."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from agora.core.runs import RunDir
from agora.rooms.judge.mining import mine, read
from agora.rooms.judge.mining.settings import MineSettings

if __name__ == "__main__":
    os.environ["AGORA_PROGRESS"] = "0"
    read.ROWS_PER_SHARD = 10
    whole = read.read_shard

    def slowly(work: Any, shard: Any) -> int:
        time.sleep(0.05)
        return whole(work, shard)

    read.read_shard = slowly
    with RunDir.open(Path(sys.argv[2]), command="agora judge mine", config={}, seed=0) as run:
        mine.mine_tasks(Path(sys.argv[1]), run, MineSettings(), workers=1)
