"""What license a generator's own files state; its terms may bind what is trained on its words."""

from __future__ import annotations

import re
from pathlib import Path

UNKNOWN = "not stated in its files; read the model's card"


def licence_of(uri: str) -> str:
    """The license string of a model, from the front matter of its README or the name of its license file."""
    scheme, _, rest = uri.partition(":")
    if scheme == "microcosm":
        return "Apache-2.0"
    folder = Path(rest if scheme == "hf" else uri).expanduser()
    if scheme in ("http", "https", "openai") or not folder.is_dir():
        return UNKNOWN
    readme = folder / "README.md"
    if readme.is_file():
        head = readme.read_text(encoding="utf-8", errors="replace")[:5000]
        stated = re.search(r"^license(?:_name)?:\s*['\"]?([\w.+ -]+)", head, re.MULTILINE)
        if head.startswith("---") and stated:
            return stated[1].strip()
    named = sorted(p.name for p in folder.glob("LICEN[CS]E*"))
    return f"see {named[0]} in its folder" if named else UNKNOWN
