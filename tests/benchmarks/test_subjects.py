"""docs/subjects.md says what is measured: of a sample here, of every architecture in `python -m
benchmarks.subjects`.
"""

import re
from pathlib import Path

import pytest
import transformers

from benchmarks.subjects.measure import measure
from benchmarks.subjects.page import line
from benchmarks.subjects.tiny import kinds

PAGE = (Path(__file__).parents[2] / "docs" / "subjects.md").read_text()
LINES = {row.split("`")[1]: row for row in PAGE.splitlines() if row.startswith("| `")}
SAMPLE = (
    "arcee", "bloom", "codegen", "cohere2", "deepseek_v3", "exaone4", "falcon_h1",
    "falcon_mamba", "gemma4_text", "glm4", "gpt_neox", "gpt_oss", "gptj", "granitemoe", "lfm2",
    "minicpm3", "mpt", "nemotron_h", "olmo2", "openai-gpt", "phi3", "qwen3_moe", "qwen3_next",
    "rwkv", "smollm3", "stablelm", "starcoder2", "xglm",
)  # fmt: skip


def number(row: str) -> int:
    found = re.search(rf"\| {re.escape(row)} \| (\d+)", PAGE)
    assert found
    return int(found[1])


def test_the_page_is_of_the_installed_transformers_and_leaves_none_out():
    assert f"transformers {transformers.__version__}," in PAGE
    assert LINES.keys() - {"resid_pre", "mlp_act", "z", "hidden_states"} >= kinds().keys()


def test_most_architectures_are_read_and_add_up():
    assert number("`resid_pre` and `resid_post` in every layer") >= 120
    assert (
        number(
            "every residual equation in every layer: `resid_pre + attn_out + mlp_out == resid_post`"
        )
        >= 80
    )
    assert number("not tried: no tiny model could be made from its configuration") <= 12


@pytest.mark.parametrize("model_type", SAMPLE)
def test_an_architecture_s_row_is_what_is_measured(model_type: str):
    row = measure(model_type)
    assert line(row) == LINES[model_type]
    assert row.edits
    assert row.hidden_states is not False
