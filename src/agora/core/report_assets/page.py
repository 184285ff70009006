"""From views to one HTML page that loads nothing."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Protocol

from agora.core.errors import DataError

if TYPE_CHECKING:
    from jinja2 import Template

_STILL_WIDTH = 680  # pixels of a chart's still picture, which has no page to take its width from


class Chart(Protocol):
    """What a report draws: any altair chart."""

    def to_dict(self) -> dict[str, Any]:
        """The Vega-Lite specification."""


def render(title: str, subtitle: str, sections: Sequence[Any]) -> str:
    """The page. Scripts are in it only where there is a chart."""
    from markupsafe import Markup

    from agora import __version__

    has_chart = any(block["kind"] == "chart" for section in sections for block in section.blocks)
    scripts = [javascript_bundle(), _asset("report.js")] if has_chart else []
    html: str = _template().render(
        title=title,
        subtitle=subtitle,
        intro=sections[0].blocks,
        sections=sections[1:],
        css=Markup(stylesheet()),
        policy=content_policy(scripts, evaluate=True),
        scripts=[Markup(script) for script in scripts],
        script_json=lambda value: Markup(script_json(value)),
        themes=_themes(),
        version=__version__,
    )
    return html.lstrip()


def read_spec(chart: Chart | Mapping[str, Any], name: str) -> dict[str, Any]:
    """The specification of a chart, without anything it would load.

    Raises:
        DataError: it loads data or pictures from a file or an address.
    """
    if isinstance(chart, Mapping):
        spec = copy.deepcopy(dict(chart))
    else:
        import altair

        with altair.data_transformers.enable("default", max_rows=None):
            spec = dict(chart.to_dict())
    address = next(_addresses(spec), None)
    if address is not None:
        raise DataError(f"chart {name!r} loads {address!r}", hint="a report carries its data: pass the rows inline")
    spec.pop("$schema", None)  # the inlined library may be a patch version apart, and would warn
    facets = {"row", "column", "facet"} & set(spec.get("encoding", ()))
    if {"mark", "layer"} & set(spec) and not facets:  # several views side by side cannot follow the page's width
        spec.setdefault("width", "container")
        spec.setdefault("autosize", {"type": "fit-x", "contains": "padding"})
    return spec


def script_json(value: Any) -> str:
    """JSON that stands inside a script element: no character of it can end the element."""
    return escape_script(json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str))


def escape_script(text: str) -> str:
    """A JSON text in which no character can end the script element that it stands in."""
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def stylesheet() -> str:
    """The style of all reports: colors for light and dark, tables, cards, print."""
    return _asset("report.css")


@cache
def javascript_bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script (0.9 MB), from the wheel of vl-convert."""
    import vl_convert

    bundle = (
        vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
        .replace("</script", "<\\/script")
        .replace("<!--", "<\\!--")
    )
    return f"(() => {{{bundle}}})();"  # its thousands of short names stay out of the page's scope


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_asset("report.html.j2"))


@cache
def _asset(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


@cache
def _themes() -> dict[str, Any]:
    return dict(json.loads(_asset("chart_themes.json")))


def _addresses(spec: Any) -> Iterator[str]:
    """Files and addresses that a specification would load (links in data rows are not loaded)."""
    if isinstance(spec, Mapping):
        for key, value in spec.items():
            if key == "url" and isinstance(value, str) and not value.startswith("data:"):
                yield value
            elif key not in ("values", "datasets"):
                yield from _addresses(value)
    elif isinstance(spec, list):
        for item in spec:
            yield from _addresses(item)


def still(spec: Mapping[str, Any], name: str) -> str:
    """The chart as a picture for readers without scripts and for print: a data URL, in which nothing can run.

    Raises:
        DataError: the chart cannot be drawn.
    """
    import vl_convert

    sized = {**spec, "width": _STILL_WIDTH} if spec.get("width") == "container" else dict(spec)
    try:
        svg = vl_convert.vegalite_to_svg(sized, config=_themes()["light"], allowed_base_urls=[])
    except ValueError as error:
        line = " ".join(str(error).split())
        raise DataError(f"chart {name!r} cannot be drawn: {line[:300]}") from error
    # the converter numbers clip paths over its whole life; numbered by picture, equal reports are equal bytes
    numbers: dict[str, str] = {}
    svg = re.sub(
        r'(?<=<clipPath id="clip)\d+|(?<=clip-path="url\(#clip)\d+',
        lambda found: numbers.setdefault(found[0], str(len(numbers))),
        svg,
    )
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"


def content_policy(scripts: Sequence[str], *, evaluate: bool = False) -> str:
    """A content security policy: no loads, and no script but the given ones.

    Args:
        scripts: the exact texts of the page's script elements.
        evaluate: allow text to be compiled, which vega needs: it makes its expressions with Function().
    """
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)
    allowed = f"{hashes} 'unsafe-eval'" if scripts and evaluate else hashes or "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
