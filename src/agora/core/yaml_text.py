"""YAML as people expect it: ``no`` is a word, ``1e-5`` a number, ``12:30`` a text, and a key given twice an error.

That is YAML 1.2's core schema; PyYAML alone reads version 1.1.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from agora.core.errors import ConfigError

Place = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """SafeLoader with the core schema's plain scalars."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  (PyYAML's own protocol)


_FLOAT = r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
_SCALARS: list[tuple[str, str, list[str]]] = [  # tag, pattern, first characters; the first match wins
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("null", r"~|null|Null|NULL|", [*"~nN", ""]),
    ("int", r"[-+]?[0-9]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    ("float", _FLOAT, list("-+.0123456789")),
    ("merge", r"<<", ["<"]),
]
for _tag, _pattern, _first in _SCALARS:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first)


def _construct_int(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node)
    return int(text, 16) if text.startswith("0x") else int(text)  # 010 is ten


_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)


def parse_yaml(text: str, where: str) -> tuple[Any, dict[Place, int]]:
    """Parse one YAML document.

    Args:
        text: the document.
        where: names it in errors.

    Returns:
        The value, and the 1-based line of each key (by the path of keys and indices that leads to it).

    Raises:
        ConfigError: not YAML, or a key is given twice; says the line.
    """
    lines: dict[Place, int] = {}
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is not None:
            _note_lines(node, (), lines, where)
        return (None if node is None else loader.construct_document(node)), lines
    except yaml.MarkedYAMLError as err:
        mark = err.problem_mark or err.context_mark
        line = f"{where}:{mark.line + 1}" if mark else where
        raise ConfigError(f"not valid YAML ({err.problem or err.context})", where=line) from None
    except (yaml.YAMLError, ValueError, RecursionError) as err:
        raise ConfigError(f"not valid YAML ({' '.join(str(err).split())})", where=where) from None


def _note_lines(node: yaml.Node, place: Place, lines: dict[Place, int], where: str) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*place, str(key.value))
            line = key.start_mark.line + 1
            if inner in lines and key.value != "<<":
                raise ConfigError(f'the key "{key.value}" is given twice', where=f"{where}:{line}")
            lines[inner] = line
            _note_lines(value, inner, lines, where)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines[(*place, index)] = value.start_mark.line + 1
            _note_lines(value, (*place, index), lines, where)


def read_yaml(path: Path) -> tuple[Any, dict[Place, int]]:
    """Parse a YAML file (see :func:`parse_yaml`)."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as err:
        raise ConfigError(f"not UTF-8 text ({err.reason})", where=str(path)) from None
    except OSError as err:
        raise ConfigError(f"cannot be read: {err.strerror or err}", where=str(path)) from None
    return parse_yaml(text, str(path))
