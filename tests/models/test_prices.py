"""What a run spends, and what it would."""

import pytest

from gloss.models.chat_models.client import Chat
from gloss.models.chat_models.ledger import Ledger
from gloss.models.chat_models.prices import Prices, Usage, estimate_cost
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
    assert (cost.requests, cost.prompt_tokens, cost.completion_tokens_at_most) == (2, 104 + 14, 150)
    assert cost.money_at_most == pytest.approx((118 * 10 + 150 * 100) / 1e6)
    assert not cost.exact


def test_cost_is_exact_with_a_tokenizer_and_has_no_money_without_prices():
    cost = estimate_cost(
        [asking(question("one two three", max_tokens=1))],
        count_tokens=lambda text: len(text.split()),
    )
    assert (cost.prompt_tokens, cost.exact, cost.money_at_most) == (7, True, None)
