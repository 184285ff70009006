"""Where the real data for tests lies: ``AGORA_SHARED``, by default the folder ``shared`` beside the repository."""

from __future__ import annotations

import os
from pathlib import Path

SHARED = Path(os.environ.get("AGORA_SHARED", Path(__file__).resolve().parents[2] / "shared")).resolve()
