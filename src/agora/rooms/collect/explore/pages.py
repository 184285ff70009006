"""The explorer's pages: counts for everyone; search, single conversations, saved searches, export for operators."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Annotated, Any, TypeVar
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Request
from sqlalchemy import Connection, select
from starlette.responses import RedirectResponse, Response, StreamingResponse

from agora.core.errors import UsageError
from agora.core.json_text import dumps
from agora.core.schemas import to_row
from agora.rooms.collect.explore.counting import FACETS
from agora.rooms.collect.explore.find import Counts, Hit, count, find, find_all
from agora.rooms.collect.explore.public import PublicCounts
from agora.rooms.collect.explore.published import Choices, editions, find_published, read_published
from agora.rooms.collect.explore.query import parse_query
from agora.rooms.collect.explore.reading import read_conversation
from agora.rooms.collect.explore.saved import forget_search, save_search, saved_searches
from agora.rooms.collect.explore.selection import Selection
from agora.rooms.collect.explore.settings import ExploreSettings
from agora.rooms.collect.explore.snippets import as_html
from agora.rooms.collect.explore.tables import SEARCH_CONVERSATIONS
from agora.rooms.collect.explore.topics import mapped_languages, points, topics
from agora.rooms.collect.records import records_of
from agora.site.accounts import Moderator, signed_in
from agora.site.pages import Site, site_of
from agora.site.refusals import RefusalError
from agora.site.requests import check_form
from agora.store import Store, events

T = TypeVar("T")
router = APIRouter(include_in_schema=False)
TheSite = Annotated[Site, Depends(site_of)]
Text = Annotated[str, Form(max_length=2000)]
_BINARY = "application/octet-stream"
_DIGEST = re.compile("[0-9a-f]{64}")


async def _read(site: Site, job: Callable[[Connection], T]) -> T:
    def run() -> T:
        with site.store.reading() as connection:
            return job(connection)

    return await asyncio.to_thread(run)


async def _write(site: Site, job: Callable[[Connection], T]) -> T:
    return await asyncio.wrap_future(site.store.submit(job))


@router.get("/explore")
async def overview(request: Request, site: TheSite) -> Response:
    """Counts for everyone, where the operator allows it; the way into the search for operators."""
    settings = request.app.state.chat.settings.explore
    operator = signed_in(request)
    if not settings.public and operator is None:
        raise RefusalError("not_found", "there is no such page", 404)
    counts: PublicCounts = _kept(request, "explore_counts", lambda: PublicCounts(settings.least_subjects))
    numbers = await _read(site, counts.get)
    out = await _read(site, editions) if settings.published else []
    return site.page(request, "explore.html.j2", numbers=numbers, settings=settings, editions=out)


@router.get("/explore/published")
async def published(request: Request, site: TheSite) -> Response:
    """Conversations of a release for everyone, as they are out."""
    settings = _open_to_all(request)
    given = {k: v.strip()[:1000] for k, v in request.query_params.items()}
    out = await _read(site, editions)
    release = next((e for e in out if given.get("release") == str(e.number)), out[0] if out else None)
    words, language, model = (given.get(name, "") for name in ("words", "language", "model"))
    values: dict[str, Any] = {"problem": None, "found": [], "more": None, "choices": {}}
    if release is not None:
        try:
            query = parse_query(words)
            after = given.get("after", "")
            if after and not _DIGEST.fullmatch(after):
                raise UsageError(f"after is what a page gave, got {after[:40]!r}")
            turns = _kept(request, "explore_turns", lambda: asyncio.Semaphore(2))  # the chat has the first right
            async with turns:
                found, more = await _read(
                    site,
                    lambda c: find_published(
                        c,
                        release.number,
                        query,
                        language=language or None,
                        model=model or None,
                        after=after or None,
                        toxic=settings.toxic,
                    ),
                )
            values |= {"found": [(talk, as_html(list(talk.pieces))) for talk in found], "more": more}
        except UsageError as err:
            values["problem"] = str(err)
        known = _kept(request, "explore_choices", lambda: Choices(settings.least_subjects))
        values["choices"] = await _read(site, lambda c: known.get(c, release.number))
    params = {"release": release.number if release else "", "words": words, "language": language, "model": model}
    values |= {"editions": out, "release": release, "params": params}
    return site.page(request, "explore_published.html.j2", **values)


@router.get("/explore/published/{number}/{digest}")
async def published_one(number: int, digest: str, request: Request, site: TheSite) -> Response:
    """One conversation of a release for everyone."""
    settings = _open_to_all(request)
    found = None
    if _DIGEST.fullmatch(digest) and 0 < number < 1 << 31:
        found = await _read(site, lambda c: read_published(c, number, digest, toxic=settings.toxic))
    if found is None:
        raise RefusalError("not_found", "there is no such conversation", 404)
    return site.page(request, "explore_published_one.html.j2", talk=found)


def _open_to_all(request: Request) -> ExploreSettings:
    settings: ExploreSettings = request.app.state.chat.settings.explore
    if not (settings.published and (settings.public or signed_in(request) is not None)):
        raise RefusalError("not_found", "there is no such page", 404)
    return settings


def _kept(request: Request, name: str, make: Callable[[], Any]) -> Any:
    """What this process keeps beside its settings, made when it is asked for first."""
    if not hasattr(request.app.state, name):
        setattr(request.app.state, name, make())
    return getattr(request.app.state, name)


@router.get("/explore/search")
async def search(request: Request, site: TheSite, operator: Moderator) -> Response:
    """Words and filters, what fits, and how many are of which kind."""
    values: dict[str, Any] = {"problem": None, "hits": [], "more": None, "counts": None, "chosen": []}
    given = dict(request.query_params)
    try:
        selection = Selection.of(given)
        after = _after(given.get("after"))
        found = await _read(site, lambda c: _search(c, selection, after))
        values |= _shown(selection, *found)
    except UsageError as err:
        selection = Selection(words=given.get("words", "")[:1000])
        values["problem"] = str(err)
    values["saved"] = await _read(site, lambda c: saved_searches(c, operator.id))
    values |= {"selection": selection, "address": _address, "params": selection.params()}
    return site.page(request, "explore_search.html.j2", session=operator.session, **values)


def _after(text: str | None) -> int | None:
    if not text:
        return None
    if not text.isdecimal() or len(text) > 15:
        raise UsageError(f"after is a number that a page gave, got {text[:40]!r}")
    return int(text)


def _search(
    connection: Connection, selection: Selection, after: int | None
) -> tuple[Counts, tuple[list[Hit], int | None]]:
    return count(connection, selection, most=12), find(connection, selection, after=after)


def _shown(selection: Selection, counts: Counts, page: tuple[list[Hit], int | None]) -> dict[str, Any]:
    """What the template names: hits with safe snippets, facets with addresses, what is chosen and how to undo it."""
    facets = []
    for name in FACETS:
        values = [
            (value, n, _address(replace(selection, **{name: value})))
            for value, n in counts.facets[name]
            if value is not None
        ]
        if name == "topic" and selection.language is None:
            continue  # topics are numbered within a language
        if values and getattr(selection, name) is None:
            facets.append((name, values, max(n for _, n, _ in values)))
    chosen = [
        (name, value, _address(_without(selection, name)))
        for name, value in selection.params().items()
        if name not in ("words", "part")
    ]
    hits, more = page
    return {
        "hits": [(hit, as_html(list(hit.pieces))) for hit in hits],
        "more": more,
        "counts": counts,
        "facets": facets,
        "chosen": chosen,
    }


def _without(selection: Selection, name: str) -> Selection:
    return Selection.of({k: v for k, v in selection.params().items() if k != name})


def _address(selection: Selection, place: str = "/explore/search", **more: object) -> str:
    params = {**selection.params(), **{k: str(v) for k, v in more.items()}}
    return f"{place}?{urlencode(params)}" if params else place


@router.get("/explore/conversations/{conversation_id}")
async def conversation(
    conversation_id: str, request: Request, site: TheSite, operator: Moderator, at: str = "", words: str = ""
) -> Response:
    """One conversation: a branch with annotations and marked spans, and the outline of all branches."""
    try:
        query = Selection(words=words[:1000]).query()
    except UsageError:
        query = None
    found = await _read(site, lambda c: read_conversation(c, conversation_id, at=at or None, query=query))
    if found is None:
        raise RefusalError("not_found", "there is no such conversation", 404)
    return site.page(request, "explore_conversation.html.j2", found=found, words=words)


@router.post("/explore/saved")
async def save(
    request: Request, site: TheSite, operator: Moderator, form_token: Text, name: Text = "", query: Text = ""
) -> Response:
    """Keep the search that is shown under a name."""
    check_form(request, operator.session, form_token)
    from urllib.parse import parse_qsl

    try:
        selection = Selection.of(dict(parse_qsl(query)))
    except UsageError as err:
        raise RefusalError("bad_search", str(err), 422) from err
    await _write(site, lambda c: save_search(c, operator.id, name, selection))
    return RedirectResponse(_address(selection), 303)


@router.post("/explore/saved/{saved_id}/forget")
async def forget(saved_id: str, request: Request, site: TheSite, operator: Moderator, form_token: Text) -> Response:
    """Remove a saved search."""
    check_form(request, operator.session, form_token)
    await _write(site, lambda c: forget_search(c, operator.id, saved_id))
    return RedirectResponse("/explore/search", 303)


@router.get("/explore/export.jsonl")
async def export(request: Request, site: TheSite, operator: Moderator) -> Response:
    """What fits as conversation records, one a line; nothing is redacted, and the log says who took how many."""
    try:
        selection = Selection.of(dict(request.query_params))
        selection.query()
    except UsageError as err:
        raise RefusalError("bad_search", str(err), 422) from err
    total = await _read(site, lambda c: count(c, selection).conversations)
    taken = events.Event("explore.exported", payload={"account_id": operator.id, "conversations": total})
    await _write(site, lambda c: events.append(c, taken))
    headers = {"content-disposition": 'attachment; filename="conversations.jsonl"', "cache-control": "no-store"}
    return StreamingResponse(_lines(site.store, selection), media_type="application/jsonl", headers=headers)


def _lines(store: Store, selection: Selection) -> Iterator[bytes]:
    with store.reading() as connection:
        for record in records_of(connection, find_all(connection, selection)):
            yield dumps(to_row(record)) + b"\n"


@router.get("/explore/map")
async def topic_map(request: Request, site: TheSite, operator: Moderator) -> Response:
    """Conversations as points, and the topics as a table."""
    words = request.query_params.get("words", "")[:1000]
    languages = await _read(site, mapped_languages)
    wanted = request.query_params.get("language")
    language = wanted if wanted in dict(languages) else languages[0][0] if languages else ""
    problem = None
    try:
        found = await _read(site, lambda c: topics(c, Selection(words, language=language)))
    except UsageError as err:
        problem, words = str(err), ""
        found = await _read(site, lambda c: topics(c, Selection(language=language)))
    return site.page(
        request,
        "explore_map.html.j2",
        topics=found,
        problem=problem,
        typed=request.query_params.get("words", "")[:1000],
        words=words,
        languages=languages,
        language=language,
        points=urlencode({"language": language}),
        query=urlencode({"language": language, "words": words}) if words else "",
    )


@router.get("/explore/map.bin")
async def map_points(request: Request, site: TheSite, operator: Moderator) -> Response:
    """The points of what fits, for the page's script."""
    try:
        selection = Selection.of(dict(request.query_params))
        found = await _read(site, lambda c: points(c, selection))
    except UsageError as err:
        raise RefusalError("bad_search", str(err), 422) from err
    return Response(found, media_type=_BINARY, headers={"cache-control": "no-store"})


@router.get("/explore/points/{number}")
async def point(number: int, site: TheSite, operator: Moderator) -> Response:
    """From a point of the map to its conversation."""
    s = SEARCH_CONVERSATIONS.c
    if not 0 <= number < 1 << 40:
        raise RefusalError("not_found", "there is no such point", 404)
    found = await _read(site, lambda c: c.scalar(select(s.conversation_id).where(s.number == number)))
    if found is None:
        raise RefusalError("not_found", "there is no such point", 404)
    return RedirectResponse(f"/explore/conversations/{found}", 303)
