"""How the service presents itself and whom it trusts. Texts shown to people are made from these values."""

from __future__ import annotations

import ipaddress

from pydantic import Field, field_validator

from agora.core.config import Config

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class SiteSettings(Config):
    """What the operator decides about the site as a whole.

    Args:
        name: shown as the title of every page.
        operator: who runs the service and answers for it.
        contact: where people can turn, such as a mail address.
        locales: languages offered; the first is used where a visitor asks for none of them.
        secure_cookies: send cookies over HTTPS only; turned off for plain ``http://localhost``.
        trusted_proxies: networks whose ``X-Forwarded-For`` is believed, counted from the right.
        shutdown_s: seconds that replies get to end when the server is told to stop; then they are kept as interrupted.
        sign_in_tries_per_minute: passwords that one address may try.
        sign_in_tries_per_name: passwords that may be tried for one account in an hour, from anywhere.
        max_body_kib: largest request body; None for what the longest message takes in any script.
    """

    name: str = "Agora"
    operator: str = "the operator of this service"
    contact: str = ""
    locales: tuple[str, ...] = ("en", "de")
    secure_cookies: bool = True
    trusted_proxies: tuple[str, ...] = ()
    shutdown_s: int = Field(default=10, ge=1)
    sign_in_tries_per_minute: int = Field(default=5, ge=1)
    sign_in_tries_per_name: int = Field(default=30, ge=1)
    max_body_kib: int | None = Field(default=None, ge=1, le=1 << 20)

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for text in given:
            ipaddress.ip_network(text, strict=False)
        return given

    @property
    def proxies(self) -> tuple[Network, ...]:
        """``trusted_proxies`` as networks."""
        return tuple(ipaddress.ip_network(text, strict=False) for text in self.trusted_proxies)
