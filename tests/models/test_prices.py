"""What a run spends, and what it would."""

import pytest

from gloss.models.chat_models.client import Chat
from gloss.models.chat_models.ledger import Ledger
from gloss.models.chat_models.prices import (
    TOKENS_A_MESSAGE,
    Prices,
    Usage,
    estimate_cost,
    prompt_token_count,
)
from models.servers import serve
from models.talks import asking, asking_text, question


def test_usage_counts_tokens_money_and_answers_that_were_there(rng, tmp_path):
    seen: list[Usage] = []
    with serve(script=["500", "priced", "ok"]) as server:
        chat = Chat("m", server.base_url, max_concurrent_requests=1, prices=Prices(1.0, 2.0))
        chat.run(
            [asking_text(t) for t in ("a", "b", "a")],
            rng,
            ledger=tmp_path / "l",
            progress=seen.append,
        )
    last = seen[-1]
    assert (last.conversations, last.answered, last.reused, last.failed, last.retries) == (
        3,
        2,
        1,
        0,
        1,
    )
    assert (last.prompt_tokens, last.completion_tokens) == (20, 10)
    assert last.money == pytest.approx(0.25 + (10 * 1 + 5 * 2) / 1e6)
    with Ledger(tmp_path / "l") as ledger:
        assert ledger.spent() == pytest.approx(last.money)


def test_answers_without_a_known_price_are_counted(rng):
    seen: list[Usage] = []
    with serve() as server:
        Chat("m", server.base_url).run([asking_text("a")], rng, progress=seen.append)
    assert (seen[-1].money, seen[-1].unpriced) == (0, 1)


def test_cost_counts_requests_tokens_and_money_before_anything_is_asked():
    talks = [
        asking(question("a" * 400, max_tokens=100)),
        asking(question("b" * 40, max_tokens=50)),
        asking(question("b" * 40, max_tokens=50)),
    ]
    cost = estimate_cost(talks, Prices(10.0, 100.0))
    # a word of the question is a piece, and each turn has four tokens of its own
    assert (cost.requests, cost.prompt_tokens, cost.completion_tokens_at_most) == (2, 10, 150)
    assert cost.money_at_most == pytest.approx((10 * 10 + 150 * 100) / 1e6)
    assert estimate_cost(talks).money_at_most is None


@pytest.mark.parametrize(
    ("text", "tokens"),  # of GPT-4o's tokenizer
    [
        ("The <<cat>> sat on the mat, and said: <<Who>> are you?", 18),
        ("token\tactivation\n cat\t0\n sat\t10\n mat\t3\n", 16),
        ('def find(self, name: str = "") -> int:\n    return 1_250\n', 19),
        ('{"answers": [1, 0, 1, 1, 0]}', 18),
    ],
)
def test_tokens_are_foretold_where_marks_numbers_and_code_stand(text, tokens):
    assert prompt_token_count(question(text)) - TOKENS_A_MESSAGE == pytest.approx(tokens, rel=0.15)
