"""``agora serve`` as a child: ``python -m agora.web.child`` ends when whoever started it does, even by ``kill -9``.

Its standard input is a pipe from its parent that nothing is ever written to; the system closes it with the parent.
"""

from __future__ import annotations

import os
import sys
import threading


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, name="agora-parent", daemon=True).start()
    import typer

    from agora.web.commands import serve

    typer.run(serve)
