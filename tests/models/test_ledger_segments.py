"""A ledger in pieces: nothing is lost or counted twice when a run changes machines."""

import stat

import pytest

from gloss.errors import BadInput
from gloss.models.chat_models.ledger import Ledger, request_key
from gloss.models.chat_models.ledger_segments import FollowedLedger
from gloss.models.chat_models.prompts import Answer
from gloss.records import Reason


def key(name):
    return request_key({"prompt": name})


def pay(followed, *names, money=0.5, reason=None):
    """Ask, and keep what is said."""
    with Ledger(followed.path) as ledger:
        for name in names:
            ledger.request()
            ledger.spend(money)
            text = None if reason else f"answer to {name}"
            answer = Answer(text, reason, money=money, prompt_tokens=3)
            ledger.keep(key(name), "m", answer, 10)


def said(followed, *names):
    with Ledger(followed.path) as ledger:
        found = [ledger.get(key(name)) for name in names]
    return [answer and answer.text for answer in found]


def spent(followed):
    with Ledger(followed.path) as ledger:
        return ledger.spending()


@pytest.fixture
def machines(tmp_path):
    return [FollowedLedger(tmp_path / name / "answers.sqlite") for name in "abc"]


def test_answers_and_spending_travel_and_taking_them_twice_changes_nothing(machines):
    first, second, _ = machines
    pay(first, "one", "two")
    content = first.next_segment()
    first.sent("1")
    for _ in range(2):
        second.take("1", content)
    assert said(second, "one", "two") == ["answer to one", "answer to two"]
    assert spent(second) == (2, 1.0)
    assert (first.taken(), second.taken()) == ({"1"}, {"1"})
    assert second.next_segment() is None  # it has nothing of its own
    with Ledger(second.path) as ledger:
        assert [(each.model, each.requests, each.money) for each in ledger.spending_by_model()] == [
            ("m", 2, 1.0)
        ]


def test_spending_is_the_sum_over_machines_in_whatever_order_it_is_told(machines):
    first, second, third = machines
    pay(first, "one")
    early = first.next_segment()
    first.sent("1")
    pay(first, "late")  # which it could not say any more
    second.take("1", early)
    pay(second, "two", "three")
    of_second = second.next_segment()
    second.sent("2")
    third.take("2", of_second)  # which speaks of the first, too
    third.take("1", early)
    assert spent(third) == (3, 1.5)
    first.take("2", of_second)
    late = first.next_segment()
    first.sent("3")
    for other in (second, third):
        other.take("3", late)
    assert [spent(one) for one in machines] == [(4, 2.0)] * 3
    assert said(third, "one", "two", "three", "late").count(None) == 0


def test_what_did_not_arrive_goes_again(machines):
    first, second, _ = machines
    pay(first, "one")
    assert first.next_segment() is not None  # and was lost on the way
    pay(first, "two")
    content = first.next_segment()
    first.sent("1")
    second.take("1", content)
    assert said(second, "one", "two").count(None) == 0
    assert first.next_segment() is None
    with Ledger(first.path) as ledger:
        ledger.request()  # without an answer
    assert first.next_segment() is not None
    content = first.next_segment()  # the one before was lost
    second.take("2", content)
    assert spent(second) == (3, 1.0)


def test_an_answer_that_is_replaced_goes_again_and_the_later_one_stays(machines):
    first, second, _ = machines
    pay(first, "one", reason=Reason.UNPARSABLE)
    bad = first.next_segment()
    first.sent("1")
    pay(first, "one")
    good = first.next_segment()
    first.sent("2")
    second.take("1", bad)
    second.take("2", good)
    second.take("1", bad)
    with Ledger(second.path) as ledger:
        found = ledger.get(key("one"))
    assert found.money == 1.0  # of both


def test_all_of_it_in_one_takes_the_place_of_many(machines):
    first, second, third = machines
    pay(first, "one")
    second.take("1", first.next_segment())
    first.sent("1")
    pay(second, "two")
    whole = second.next_segment(whole=True)
    second.sent("3", ["1"])
    assert second.taken() == {"3"}
    third.take("3", whole)
    assert said(third, "one", "two").count(None) == 0
    assert spent(third) == (2, 1.0)


def test_a_ledger_that_was_kept_before_is_followed_whole_and_stays_its_owners(machines):
    first, second, _ = machines
    pay(first, "one", "two")
    assert stat.S_IMODE(first.path.stat().st_mode) == 0o600
    second.take("1", first.next_segment())
    assert said(second, "one", "two").count(None) == 0


def test_what_is_no_segment_is_refused(machines):
    with pytest.raises(BadInput, match="damaged"):
        machines[0].take("1", b"something else")
