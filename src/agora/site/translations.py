"""The words of the pages, one YAML file a language and package. A key that a language lacks is an error at start."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files

from agora.core.errors import DataError


@cache
def read_words(package: str, locale: str) -> Mapping[str, str]:
    """The words of ``locales/LOCALE.yaml`` in a package, by dotted key.

    Raises:
        DataError: there is no such file, or it holds something else than words.
    """
    from agora.core.yaml_text import parse_yaml

    path = files(package) / "locales" / f"{locale}.yaml"
    if not path.is_file():
        raise DataError(f"{package} has no words in {locale!r}", where=str(path))
    return dict(_flat("", parse_yaml(path.read_text(encoding="utf-8"), str(path))[0]))


def _flat(prefix: str, value: object) -> Iterable[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{prefix}.{key}" if prefix else str(key), inner)
    elif isinstance(value, str):
        yield prefix, value
    else:
        raise DataError(f"{prefix} is not text: {value!r}")


class Words:
    """All words of the site in one language.

    Args:
        locale: such as ``en``.
        packages: the ones whose words are joined.
    """

    def __init__(self, locale: str, packages: Sequence[str]) -> None:
        self.locale = locale
        self._words: dict[str, str] = {}
        for package in packages:
            self._words.update(read_words(package, locale))

    def __call__(self, key: str, **values: object) -> str:
        """The words of a key, with ``{name}`` filled in.

        Raises:
            KeyError: no such key.
        """
        return self._words[key].format(**values) if values else self._words[key]

    @property
    def keys(self) -> frozenset[str]:
        """Every key there is."""
        return frozenset(self._words)


def choose_locale(wanted: str | None, accepted: str | None, offered: Sequence[str]) -> str:
    """The offered language that fits best: the one asked for, else by ``Accept-Language``, else the first.

    Args:
        wanted: a cookie's or a link's choice.
        accepted: the header's value.
        offered: at least one.
    """
    if wanted in offered:
        return str(wanted)
    weighted = []
    for place, part in enumerate((accepted or "").split(",")[:20]):
        tag, _, rest = part.strip().partition(";")
        try:
            weight = float(rest.partition("=")[2]) if "=" in rest else 1.0
        except ValueError:
            continue
        weighted.append((-weight, place, tag.split("-")[0].strip().lower()))
    return next((tag for weight, _, tag in sorted(weighted) if tag in offered and weight < 0), offered[0])
