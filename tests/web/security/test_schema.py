"""Requests that the app's own OpenAPI document allows, and ones that it does not: none is a fault of ours."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable

from tests.rooms.collect.live import ScriptedModel
from tests.web.operators import OperatorClient
from tests.web.security.routes import whole_site

pytestmark = pytest.mark.slow
CASES = 20  # of each operation and kind


def test_no_request_that_the_document_describes_is_a_fault_of_ours(tmp_path: Path) -> None:
    import schemathesis
    from schemathesis import GenerationMode

    with whole_site(tmp_path, ScriptedModel()) as (address, _, _):
        both = OperatorClient(address, "ada")
        both.consent()
        schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
        tried: dict[str, set[int]] = {}
        for found in schema.get_all_operations():
            operation = found.ok()
            name = f"{operation.method.upper()} {operation.path}"
            if name.endswith("/consent/withdraw"):
                continue  # it would end the visit of all that follow
            for mode in GenerationMode:
                _try(operation, mode, both, tried.setdefault(name, set()))
    assert len(tried) >= 18
    assert all(status < 500 for statuses in tried.values() for status in statuses), tried
    accepted = [name for name, statuses in tried.items() if any(status < 300 for status in statuses)]
    assert len(accepted) >= 6, tried  # the requests do get in


def _try(operation: Any, mode: Any, both: OperatorClient, statuses: set[int]) -> None:
    @settings(
        max_examples=CASES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: Any) -> None:
        cookies = dict(both.http.cookies)
        answer = case.call(cookies=cookies, timeout=60)
        statuses.add(answer.status_code)
        assert answer.status_code < 500, (case.as_curl_command(), answer.text)

    # an operation that takes nothing has no wrong requests
    with contextlib.suppress(Unsatisfiable):
        send()
