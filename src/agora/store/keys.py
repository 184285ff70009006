"""Secret keys. They live in a file beside the database or in the environment, never in the database or in a log.

A key's use is bound to its name, so that a cookie's signature can never stand for a receipt's code. Keys that make
pseudonyms belong to an epoch; an epoch that is destroyed takes the way back from its pseudonyms with it.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agora.core.errors import DataError, MissingError, UsageError
from agora.core.files import atomic_file, make_folder
from agora.core.json_text import dumps, loads
from agora.store.ids import now_us

ENVIRONMENT = "AGORA_SECRET"
EPOCH_DAYS = 90
KEEP_EPOCHS = 4
_DAY_US = 86_400_000_000
_LEAST = 32  # bytes of a secret


@dataclass(frozen=True, slots=True)
class Epoch:
    """A span of time with a key of its own for pseudonyms."""

    number: int
    began_us: int
    secret: bytes = field(repr=False)


@dataclass(slots=True)
class Keys:
    """The master secret and the epochs' secrets.

    Args:
        master: at least 32 bytes; cookies and receipts are derived from it.
        epochs: oldest first; the last one is in use.
        path: where they are kept; None when the master comes from the environment and epochs are derived from it.
        releases: a secret for each release of data; see :meth:`release`.
    """

    master: bytes = field(repr=False)
    epochs: list[Epoch]
    path: Path | None = None
    releases: dict[str, bytes] = field(default_factory=dict, repr=False)

    @classmethod
    def open(cls, path: Path, *, make: bool = True) -> Keys:
        """Read the keys, or make them (mode 600). ``AGORA_SECRET`` in the environment takes the place of the file.

        Raises:
            UsageError: the environment's secret is too short.
            MissingError: there is no such file, and ``make`` does not allow to make one.
            DataError: the file is damaged, or others may read it.
        """
        if given := os.environ.get(ENVIRONMENT):
            if len(given.encode()) < _LEAST:
                raise UsageError(
                    f"{ENVIRONMENT} must have at least {_LEAST} bytes", hint="openssl rand -hex 32 makes one"
                )
            master = hashlib.sha256(given.encode()).digest()
            return cls(master, [_derived_epoch(master, now_us())])
        if not path.exists():
            if not make:
                raise MissingError(
                    "there is no such file of keys",
                    where=str(path),
                    hint=f"name the store's with --keys, or set {ENVIRONMENT}; other keys would make other pseudonyms",
                )
            keys = cls(secrets.token_bytes(_LEAST), [Epoch(1, now_us(), secrets.token_bytes(_LEAST))], path)
            keys._save()
            return keys
        if path.stat().st_mode & 0o077:
            raise DataError("others may read this file of keys", where=str(path), hint=f"chmod 600 {path}")
        try:
            stored = loads(path.read_bytes())
            epochs = [Epoch(e["number"], e["began_us"], bytes.fromhex(e["secret"])) for e in stored["epochs"]]
            releases = {name: bytes.fromhex(secret) for name, secret in stored.get("releases", {}).items()}
            return cls(bytes.fromhex(stored["master"]), epochs, path, releases)
        except (ValueError, KeyError, TypeError) as err:
            raise DataError(f"not a file of keys: {err}", where=str(path), hint="restore it from a backup") from err

    def mac(self, use: str, value: str | bytes) -> bytes:
        """32 bytes that only the holder of the master secret can make, bound to a use such as ``receipt``."""
        raw = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
        return hmac.new(self.derived(use), raw, hashlib.sha256).digest()

    def derived(self, use: str) -> bytes:
        """A key for one use."""
        return hmac.new(self.master, use.encode(), hashlib.sha256).digest()

    def pseudonym(self, value: str) -> tuple[int, str]:
        """The number of the epoch in use, and 64 hex digits that stand for ``value`` while it lasts."""
        epoch = self.epochs[-1]
        return epoch.number, hmac.new(epoch.secret, value.encode(), hashlib.sha256).hexdigest()

    def rotate(self, at_us: int | None = None, *, epoch_days: int = EPOCH_DAYS, keep: int = KEEP_EPOCHS) -> bool:
        """Begin a new epoch when the last one is over, and destroy all but the newest ``keep``.

        Returns:
            True when a new epoch began.
        """
        at_us = now_us() if at_us is None else at_us
        last = self.epochs[-1]
        if at_us - last.began_us < epoch_days * _DAY_US:
            return False
        if self.path is None:
            fresh = _derived_epoch(self.master, at_us, epoch_days)
            if fresh.number == last.number:
                return False
            self.epochs = [*self.epochs, fresh][-keep:]
            return True
        with self._changing():
            if at_us - self.epochs[-1].began_us < epoch_days * _DAY_US:
                return False  # another process was first; its epochs are ours now
            fresh = Epoch(self.epochs[-1].number + 1, at_us, secrets.token_bytes(_LEAST))
            self.epochs = [*self.epochs, fresh][-keep:]
        return True

    def release(self, name: str) -> bytes:
        """The secret of a release of data, made at the first call; pseudonyms of two releases cannot be joined."""
        if self.path is None:
            return self.derived(f"release {name}")
        if name not in self.releases:
            with self._changing():
                self.releases.setdefault(name, secrets.token_bytes(_LEAST))
        return self.releases[name]

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Change the file as it is now: a service and a command may hold it, and neither may undo the other."""
        import fcntl

        assert self.path is not None
        lock = os.open(self.path.with_name(self.path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            now = Keys.open(self.path)
            self.epochs, self.releases = now.epochs, now.releases
            yield
            self._save()
        finally:
            os.close(lock)

    def _save(self) -> None:
        assert self.path is not None
        make_folder(self.path.parent)
        epochs = [{"number": e.number, "began_us": e.began_us, "secret": e.secret.hex()} for e in self.epochs]
        held: dict[str, Any] = {"master": self.master.hex(), "epochs": epochs}
        if self.releases:
            held["releases"] = {name: secret.hex() for name, secret in sorted(self.releases.items())}
        before = os.umask(0o077)
        try:
            with atomic_file(self.path) as file:
                file.write(dumps(held, indent=True))
        finally:
            os.umask(before)
        self.path.chmod(0o600)


def _derived_epoch(master: bytes, at_us: int, epoch_days: int = EPOCH_DAYS) -> Epoch:
    """Epochs of an environment's secret follow the calendar, so that several machines agree on them."""
    number = at_us // (epoch_days * _DAY_US)
    secret = hmac.new(master, f"epoch {number}".encode(), hashlib.sha256).digest()
    return Epoch(number, number * epoch_days * _DAY_US, secret)
