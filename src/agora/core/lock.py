"""One process at a time in a folder. The system drops the lock when its holder dies, however it dies."""

from __future__ import annotations

import errno
import os
import time
from contextlib import suppress
from pathlib import Path

from agora.core.errors import AgoraError
from agora.core.files import make_folder, write_failed

LOCK_NAME = ".lock"
_PATIENCE_S = 0.3  # `is_locked` of a listing process holds the lock for a moment
_UNSUPPORTED = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS}


class FolderLock:
    """The right to write in a folder, held until ``release`` or the end of the process.

    Args:
        folder: made if needed; the lock is the file ``.lock`` in it, which holds the holder's process id.

    Raises:
        AgoraError: another process holds it, or the file system cannot lock.
    """

    def __init__(self, folder: Path) -> None:
        make_folder(folder)
        path = folder / LOCK_NAME
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as err:
            raise write_failed(path, err) from err
        try:
            self._take(folder)
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)
        except OSError as err:
            self.release()
            raise write_failed(path, err) from err
        except AgoraError:
            self.release()
            raise

    def _take(self, folder: Path) -> None:
        import fcntl

        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() < deadline:
                    time.sleep(0.02)
                    continue
                holder = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
                hint = "wait for it to end, or choose another --out"
                what = f"another process (pid {holder}) is working in this folder"
                raise AgoraError(what, where=str(folder), hint=hint) from None
            except OSError as err:
                if err.errno not in _UNSUPPORTED:
                    raise
                hint = "choose an --out on a local disk"
                raise AgoraError("this file system cannot lock files", where=str(folder), hint=hint) from err

    def release(self) -> None:
        """Let others in; releasing twice is fine. The file stays, since removing it would be a race."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def is_locked(folder: Path) -> bool:
    """True while some process works in the folder."""
    import fcntl

    with suppress(FileNotFoundError, PermissionError):
        fd = os.open(folder / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(fd)
    return False
