"""What the pipeline asks of a kind that looks at texts, and where each kind is found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Protocol

from agora.rooms.collect.enrich.annotations import check_kinds


class Kind(Protocol):
    """One way to annotate texts; its result depends on nothing but the text, so equal texts are looked at once.

    ``name`` is one of :data:`agora.rooms.collect.enrich.annotations.KINDS`. ``version`` (at most 32 characters) changes
    whenever a result could: the pipeline then annotates everything again, beside the old rows. A kind with several
    providers writes ``PROVIDER:VERSION``. Making the object is cheap; models are loaded at the first :meth:`annotate`.
    """

    @property
    def name(self) -> str:
        """Which kind of annotation it writes."""

    @property
    def version(self) -> str:
        """Kept beside every result."""

    def annotate(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """One result for each text, in order. Texts may be empty.

        Raises:
            MissingError: a model or a library is not on this machine: the kind is `unavailable`, the others go on.
        """


#: Where the text kinds are made: ``module:function`` without arguments that returns a :class:`Kind` or a list of them.
#: Named and not imported, because a kind's libraries are loaded only where it runs.
FACTORIES: Mapping[str, str] = {
    "lang": "agora.rooms.collect.enrich.language_kind:LanguageKind",
    "pii": "agora.curate.personal.kinds:pii",
    "secret": "agora.curate.personal.kinds:secret",
    "tox": "agora.curate.toxicity.providers:tox",
}


def make_kinds(name: str) -> list[Kind]:
    """The providers of a kind, ready to be asked; empty for a kind that does not look at texts alone.

    Raises:
        UsageError: there is no such kind.
        MissingError: something it needs is not on this machine.
    """
    check_kinds([name])
    if name not in FACTORIES:
        return []
    module, _, function = FACTORIES[name].partition(":")
    factory: Callable[[], Kind | list[Kind]] = getattr(import_module(module), function)
    made = factory()
    return made if isinstance(made, list) else [made]
