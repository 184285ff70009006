"""What `agora serve` looks at before it opens anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from agora.core.errors import AgoraError
from agora.rooms.collect.settings import ServeSettings
from agora.web.serve import run_server


@pytest.mark.parametrize(
    ("collect", "told"),
    [
        ({"geo": "nowhere.mmdb"}, "nowhere.mmdb: no geography database here"),
        ({"enrich": ["tocix"]}, "did you mean tox?"),
    ],
)
def test_a_mistake_in_the_settings_is_told_before_a_store_is_made_or_a_model_opened(
    tmp_path: Path, collect: dict[str, object], told: str
) -> None:
    settings = ServeSettings.model_validate({"collect": {"model": "hf:no/such/model", **collect}})
    with pytest.raises(AgoraError) as caught:
        run_server(settings, db=str(tmp_path / "agora.db"), keys=None, host="127.0.0.1", port=0)
    assert told in str(caught.value)
    assert list(tmp_path.iterdir()) == []
