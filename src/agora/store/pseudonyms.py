"""What stands for a network address. The address itself is stored nowhere but in :mod:`agora.store.addresses`."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress

from agora.store.keys import Keys


def canonical_ip(address: str) -> str | None:
    """One spelling per visitor: IPv4-mapped addresses as IPv4, IPv6 cut to its /64 network; None for no address."""
    try:
        ip = ipaddress.ip_address(address.strip().removeprefix("[").removesuffix("]").split("%")[0])
    except ValueError:
        return None
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((ip, 64), strict=False).network_address) + "/64"
    return str(ip)


def ip_pseudonym(keys: Keys, address: str | None) -> tuple[int, str | None]:
    """The epoch's number and the pseudonym; None for a visitor without a readable address.

    A plain salted hash would not do: there are only 2^32 IPv4 addresses, so whoever learns the salt learns them all.
    """
    canonical = canonical_ip(address) if address else None
    if canonical is None:
        return keys.epochs[-1].number, None
    return keys.pseudonym("ip" + canonical)


def pseudonyms_of(keys: Keys, address: str | None) -> list[str]:
    """What stands for an address in each epoch whose key is kept: it may have been blocked in an earlier one."""
    canonical = canonical_ip(address) if address else None
    if canonical is None:
        return []
    value = f"ip{canonical}".encode()
    return [hmac.new(epoch.secret, value, hashlib.sha256).hexdigest() for epoch in keys.epochs]
