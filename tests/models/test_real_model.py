"""SmolLM2-135M-Instruct, a real model in one GGUF file: as the subject, beside llama.cpp's own
reading of the file.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from gloss.models.chat_models.prompts import Message
from gloss.models.pretrained.loading import load_chat_template
from gloss.models.sites import Site
from gloss.models.subject import Subject
from models.llama_cpp import post, serve_file

TEXTS = (
    "In 1945, 2048 ships left the harbour.",
    "  two\n\n lines — ünï 中文 🙂",
    "def f(x):\n\treturn x**2  # don't",
)


@pytest.fixture(scope="module")
def real(smollm2: Path) -> Subject:
    return Subject.load(smollm2, device="cpu")


@pytest.fixture(scope="module")
def address(smollm2: Path) -> Iterator[str]:
    with serve_file(smollm2, 8192) as address:
        yield address


def test_one_file_is_a_whole_subject(real: Subject, smollm2: Path):
    assert (real.layers, real.width_at(Site("resid_post", 3)), real.context, real.notes) == (
        30,
        576,
        8192,
        (),
    )
    assert real.model.dtype == torch.float32
    template = load_chat_template(smollm2, None)
    assert template is not None
    assert template([Message("user", "hi")]).endswith(
        "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.data
def test_it_predicts_an_encyclopedia_as_well_as_it_should(real: Subject, data_folder: Path):
    ids = real.encode((data_folder / "wikitext2" / "test.txt").read_text()[:8000])[:1024]
    logits = real.run(torch.tensor([[real.start_token, *ids]]), logits=True).logits
    loss = torch.nn.functional.cross_entropy(logits[0, :-1], torch.tensor(ids)).item()
    assert abs(loss - 2.36) < 0.1, f"{loss} nats a token"


def test_it_reads_and_predicts_as_llama_cpp_does(real: Subject, address: str):
    for text in TEXTS:
        ids = post(f"{address}/tokenize", {"content": text, "add_special": False})["tokens"]
        assert ids == real.encode(text)
    ids = real.encode(TEXTS[0])
    said = post(
        f"{address}/completion", {"prompt": ids, "n_predict": 1, "n_probs": 5, "temperature": 0}
    )
    theirs = {
        each["id"]: each["logprob"] for each in said["completion_probabilities"][0]["top_logprobs"]
    }
    logits = real.run(torch.tensor([ids]), logits=True).logits
    ours = logits[0, -1].log_softmax(0)
    # it rounds to 8 bits
    assert [ours[token].item() for token in theirs] == pytest.approx(list(theirs.values()), abs=0.3)
