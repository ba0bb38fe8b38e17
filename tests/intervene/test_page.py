"""The page's code runs as it stands, on the embedded model."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from gloss.intervene.effect_measurement import output_tokens, token_change
from gloss.intervene.vocabulary_projection import vocabulary_projection
from gloss.models.bundled import embedded_folder
from gloss.records import Effect

PAGE = Path(__file__).parents[2] / "docs" / "intervene.md"


def test_the_code_of_the_page_runs_and_both_kinds_of_evidence_agree_on_a_feature_that_speaks(
    rng: np.random.Generator,
):
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL))
    code = code.replace("path/to/model", str(embedded_folder("subject"))).replace(
        "path/to/dictionary", str(embedded_folder("dictionary"))
    )
    names: dict[str, Any] = {"rng": rng}
    exec(code, names)  # the page is ours
    effect: Effect = names["effect"]
    assert effect.target == 1.0
    assert 0.9 <= effect.kl.value <= 1.1
    assert len(effect.completions) == 2
    projected = output_tokens(
        vocabulary_projection(names["subject"], names["dictionary"], [100], 6)[0]
    )
    risen = output_tokens(token_change(names["baseline"], names["edit"], effect.strength, 6))
    assert len(set(projected) & set(risen)) >= 2  # of 4,096
