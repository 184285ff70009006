"""Where an address is, from a file that the operator brings (GeoLite2 or any other in MaxMind's format).

It is looked up while the request is there; the address itself is not kept. Whatever is private, unknown or cannot be
read has no place: geography never stops a chat.
"""

from __future__ import annotations

import ipaddress
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from agora.core.errors import DataError, MissingError

if TYPE_CHECKING:
    from maxminddb.types import Record

_LRU_NETWORKS = 10_000
_LOG = logging.getLogger("agora.places")


class Place(NamedTuple):
    """Country as ISO 3166 code, its English name, and the name of a subdivision of it; each None where unknown."""

    country_iso: str | None = None
    country: str | None = None
    subdivision: str | None = None


NOWHERE = Place()


class Places:
    """A geography database, mapped into memory; answers are kept by /24 (IPv4) or /48 (IPv6).

    Args:
        source: a ``.mmdb`` file, or a folder of them: the latest made on or before ``on`` is taken, else the first.
        on: a day; None is today.
        most_specific: name the smallest subdivision (West Berkshire) and not the largest (England), as WildChat did.

    Raises:
        MissingError: no such file, or no database in the folder, or maxminddb is not installed.
        DataError: the file cannot be read.
    """

    def __init__(self, source: Path, *, on: date | None = None, most_specific: bool = False) -> None:
        try:
            import maxminddb
        except ImportError:
            raise MissingError("geography needs maxminddb", hint="pip install maxminddb") from None
        self._broken: type[Exception] = maxminddb.InvalidDatabaseError
        self._told = False
        self._known: OrderedDict[str, Place] = OrderedDict()
        self._most_specific = most_specific
        self.file = _choose(source, on or datetime.now(UTC).date())
        self._reader = _open(self.file)

    def find(self, address: str | None) -> Place:
        """The place of an address as a person's browser or a proxy writes it."""
        network = _network(address) if address else None
        if network is None:
            return NOWHERE
        if network in self._known:
            self._known.move_to_end(network)
            return self._known[network]
        place = self._known[network] = self._look_up(address or "")
        if len(self._known) > _LRU_NETWORKS:
            self._known.popitem(last=False)
        return place

    def _look_up(self, address: str) -> Place:
        try:
            record = self._reader.get(_ip(address))
        except (self._broken, ValueError) as err:  # damaged data, or an IPv6 address in a database of IPv4
            if not self._told:
                _LOG.error("the geography database %s has damaged data: %s", self.file.name, type(err).__name__)
                self._told = True
            return NOWHERE
        return self._place(record)

    def _place(self, record: Record | None) -> Place:
        if not isinstance(record, Mapping):
            return NOWHERE
        country = record.get("country")
        iso, name = (country.get("iso_code"), _name(country)) if isinstance(country, Mapping) else (None, None)
        parts = record.get("subdivisions")
        chosen = parts[-1 if self._most_specific else 0] if isinstance(parts, Sequence) and parts else None
        return Place(iso if isinstance(iso, str) else None, name, _name(chosen))

    def close(self) -> None:
        """Unmap the file."""
        self._reader.close()


def _name(part: object) -> str | None:
    names = part.get("names") if isinstance(part, Mapping) else None
    name = names.get("en") if isinstance(names, Mapping) else None
    return name if isinstance(name, str) else None


def _ip(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    ip = ipaddress.ip_address(address.strip().removeprefix("[").removesuffix("]").split("%")[0])
    return ip.ipv4_mapped or ip if isinstance(ip, ipaddress.IPv6Address) else ip


def _network(address: str) -> str | None:
    """The network that stands for an address; None for what is no public address."""
    try:
        ip = _ip(address)
    except ValueError:
        return None
    if ip.is_private or ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_unspecified:
        return None
    return str(ipaddress.ip_network((ip, 24 if ip.version == 4 else 48), strict=False))


def _choose(source: Path, on: date) -> Path:
    if source.is_file():
        return source
    files = sorted(source.glob("*.mmdb")) if source.is_dir() else []
    if not files:
        raise MissingError(
            "no geography database here", where=str(source), hint="name a .mmdb file, or a folder of them"
        )
    dated = sorted((_made(file), file) for file in files)
    before = [file for made, file in dated if made <= on]
    return before[-1] if before else dated[0][1]


def _made(file: Path) -> date:
    reader = _open(file)
    try:
        return datetime.fromtimestamp(reader.metadata().build_epoch, UTC).date()
    finally:
        reader.close()


def _open(file: Path):  # type: ignore[no-untyped-def]
    import maxminddb

    try:
        return maxminddb.open_database(file)
    except (maxminddb.InvalidDatabaseError, OSError) as err:
        hint = "download it again; geography stays empty without it"
        raise DataError(
            f"not a geography database that can be read ({type(err).__name__})", where=str(file), hint=hint
        ) from None
