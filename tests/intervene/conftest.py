"""What the tests of interventions share: subjects, prompts, and what is clean about them."""

from collections.abc import Iterator

import pytest
import torch
from by_hand import LAST, MIDDLE, VOCABULARY, gpt2_like, llama_like, make_subject
from torch import Tensor

from gloss.intervene.baseline import Baseline
from gloss.models.subject import Subject


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny models are slower on several threads than on one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def subject() -> Subject:
    """A Llama, to be left as it is: its final norm has a gain and no centring."""
    return make_subject(llama_like())


@pytest.fixture(scope="session")
def centring() -> Subject:
    """A GPT-2, to be left as it is: its final norm has a gain, a bias and centring."""
    return make_subject(gpt2_like())


@pytest.fixture(scope="session")
def prompts() -> Tensor:
    """Twelve prompts of 4 to 9 tokens behind the start token."""
    tokens = torch.randint(1, VOCABULARY, (12, 10), generator=torch.Generator().manual_seed(1))
    tokens[:, 0] = 0
    for row in range(12):
        tokens[row, 5 + row % 6 :] = -1
    return tokens


@pytest.fixture(scope="session")
def middle(subject: Subject, prompts: Tensor) -> Baseline:
    """The prompts where the middle layer will be changed."""
    return Baseline.of(subject, prompts, MIDDLE)


@pytest.fixture(scope="session")
def last(subject: Subject, prompts: Tensor) -> Baseline:
    """The prompts where the last layer's output will be changed."""
    return Baseline.of(subject, prompts, LAST)
