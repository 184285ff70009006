"""Markdown from outside, made safe: what a model or a person wrote is data, never markup of ours."""

from __future__ import annotations

from functools import cache
from typing import Any

from markupsafe import Markup

_TAGS = {
    *("p", "br", "hr", "em", "strong", "s", "code", "pre", "blockquote", "ul", "ol", "li"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td", "a"),
}
_MOST = 200_000  # characters: beyond, a text is shown as it is


def render_markdown(text: str, *, top: int = 3) -> Markup:
    """Safe HTML of a Markdown text.

    Raw HTML in it is shown as text. Links lead to the web or to mail addresses alone, open without telling the other
    site about this one, and pictures are shown as links: nothing is loaded from another host.

    Args:
        text: from outside, or ours.
        top: level that the text's highest headings get on the page, 1 to 6.
    """
    import nh3

    if len(text) > _MOST:
        return Markup("<pre>{}</pre>").format(text)
    html: str = _parser(top).render(text)
    clean = nh3.clean(
        html,
        tags=_TAGS,
        attributes={"a": {"href"}, "ol": {"start"}, "code": {"class"}},
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow ugc",
    )
    return Markup(clean)


@cache
def _parser(top: int) -> Any:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable(["table", "strikethrough"])
    parser.add_render_rule("image", _image_as_link)
    parser.add_render_rule("heading_open", lambda _, tokens, i, *__: f"<h{_level(tokens[i].tag, top)}>")
    parser.add_render_rule("heading_close", lambda _, tokens, i, *__: f"</h{_level(tokens[i].tag, top)}>\n")
    return parser


def _level(tag: str, top: int) -> int:
    return min(6, int(tag[1]) + top - 1)


def _image_as_link(renderer: Any, tokens: Any, i: int, *_: Any) -> str:
    return str(Markup('<a href="{}">{}</a>').format(tokens[i].attrGet("src") or "", tokens[i].content or "image"))
