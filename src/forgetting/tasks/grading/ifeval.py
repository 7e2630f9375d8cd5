"""IFEval: which of a prompt's verifiable instructions an answer follows.

Zhou et al. (2023), arXiv 2311.07911. The checks are lm-eval's own; here stands what they need to
give the same result on every machine and without a network:

* Sentences are split by NLTK's Punkt with `ABBREVIATIONS` as its parameters, since the trained
  ones are a download. This touches `SENTENCES`: the number of sentences, and the number of words
  in capitals through NLTK's tokeniser, which splits sentences first. On 1,805 long answers (LIMA,
  AlpacaEval) the number of sentences is that of the trained parameters for 97 % of the answers,
  and 34,928 instead of 34,943 in all; they differ after abbreviations and ellipses.
* langdetect draws at random; its seed is fixed. This touches `LANGUAGES`.
* immutabledict holds one constant of lm-eval's; a read-only mapping does as well where it is not
  installed.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from types import MappingProxyType, ModuleType
from typing import Any

from forgetting.home import home

SENTENCES = ("length_constraints:number_sentences", "change_case:capital_word_frequency")
LANGUAGES = (
    "language:response_language",
    "change_case:english_capital",
    "change_case:english_lowercase",
)
# In lower case and without their last period, as Punkt knows them. The trained parameters end
# sentences after e.g., i.e. and etc., so these are not listed.
ABBREVIATIONS = """
mr mrs ms messrs dr prof rep sen gen col maj capt cpt lt sgt st jr sr inc ltd co corp bros llc
jan feb aug sep sept oct nov dec tues wed fri ave dept ft vs
a.m p.m a.d b.c u.s u.k u.n u.s.a d.c ph.d m.d b.a m.a b.s m.s j.d
"""


def followed(
    answer: str, prompt: str, checks: Sequence[tuple[str, dict[str, Any]]], loose: bool = False
) -> list[bool]:
    """For each (instruction id, arguments) of a prompt, whether `answer` follows it.

    `loose` also accepts an answer that follows after its first line, its last line, or its
    asterisks are removed (section 2.2 of the paper). An empty answer follows nothing.
    """
    checker = _checker()
    item = checker.InputExample(
        key=0,
        instruction_id_list=[name for name, _ in checks],
        prompt=prompt,
        kwargs=[arguments for _, arguments in checks],
    )
    test = getattr(checker, f"test_instruction_following_{'loose' if loose else 'strict'}")
    return [bool(follows) for follows in test(item, answer).follow_instruction_list]


@cache
def _checker() -> ModuleType:
    """`lm_eval.tasks.ifeval.utils`, which looks for its sentence splitter when it is imported."""
    _install_splitter()
    stand_in = ModuleType("immutabledict")
    stand_in.immutabledict = MappingProxyType  # type: ignore[attr-defined]
    absent = find_spec("immutabledict") is None
    if absent:
        sys.modules["immutabledict"] = stand_in
    try:
        from lm_eval.tasks.ifeval import utils
    finally:
        if absent:  # for this import alone
            del sys.modules["immutabledict"]
    import langdetect

    langdetect.DetectorFactory.seed = 0
    return utils


def _install_splitter() -> None:
    """Give NLTK our Punkt parameters under the name that lm-eval and NLTK load them by."""
    import nltk
    from nltk.tokenize.punkt import PunktParameters, save_punkt_params

    digest = hashlib.sha256(ABBREVIATIONS.encode()).hexdigest()
    folder = home() / f"nltk_data-{digest[:8]}"
    # First, so that a trained model on one machine does not make its scores differ.
    nltk.data.path.insert(0, str(folder))
    english = folder / "tokenizers" / "punkt_tab" / "english"
    if not (english / "ortho_context.tab").is_file():  # the file that is written last
        parameters = PunktParameters()
        parameters.abbrev_types = set(ABBREVIATIONS.split())
        english.parent.mkdir(parents=True, exist_ok=True)
        save_punkt_params(parameters, str(english))
