"""Panels and budgets: what a tier asks can be answered, whichever data are at hand."""

import pytest

from forgetting.engine import compute
from forgetting.experiments import budgets, panels
from forgetting.lineage import Settings
from forgetting.models import causal
from forgetting.probes import measures

pytestmark = pytest.mark.public
TAUGHT_PAIRS = ("operation", "lora", "own_words", "own_answers")


@pytest.mark.parametrize("source", ["public", "bundled"])
@pytest.mark.parametrize("chapter", TAUGHT_PAIRS)
def test_the_smoke_tier_has_room_for_its_documents(chapter, source, tiny):
    """The random model spells: a document has four times as many tokens as for a real one."""
    asked = panels.panel(chapter, "smoke", source)
    taught = panels.PANELS[chapter].taught.asked(source, 2)
    if any(one.missing() for one in (*asked, taught)):
        pytest.skip("needs the public data")
    tokenizer = compute.model(tiny)[1]
    settings = Settings(**budgets.of(chapter, "smoke").settings)
    assert len(causal.rows_of(taught, tokenizer, settings, 0)) == settings.rows
    for one in asked:
        if isinstance(one, measures.Drift):
            assert one.rows(tokenizer), one.name
