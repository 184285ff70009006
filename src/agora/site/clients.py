"""Which address a request came from, behind any number of proxies."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from agora.site.settings import Network


def client_address(peer: str | None, forwarded: Sequence[str], proxies: Sequence[Network]) -> str | None:
    """Walk ``X-Forwarded-For`` from the right while the one who added an entry is trusted.

    The leftmost entry is what a client wrote itself: believing it would let anyone choose their own limits.

    Args:
        peer: address of the connection.
        forwarded: values of all ``X-Forwarded-For`` headers, in order.
        proxies: networks that are believed.
    """
    address = peer
    entries = [part.strip() for value in forwarded for part in value.split(",") if part.strip()]
    while entries and _trusted(address, proxies):
        address = entries.pop()
    return address


def _trusted(address: str | None, proxies: Sequence[Network]) -> bool:
    try:
        ip = ipaddress.ip_address(address or "")
    except ValueError:
        return False
    return any(ip in network for network in proxies)
