"""How the number of requests in flight falls and rises, step by step."""

from gloss.models.chat_models.request_slots import RequestSlots


def test_a_burst_of_refusals_does_not_cost_thousands_of_answers():
    slots = RequestSlots(64)
    slots.in_flight = 64
    for _ in range(64):
        slots.turn_away(0)
        slots.in_flight -= 1
    assert (slots.limit, slots.falls, slots.turned_away) == (1.0, 1, 64)
    answers = 0
    while slots.limit < 32:
        slots.answered()
        answers += 1
    assert answers < 40


def test_requests_that_wait_in_vain_lower_the_number_and_are_no_refusals():
    slots = RequestSlots(32)
    slots.in_flight = 32
    for _ in range(8):  # all of one round
        slots.kept_waiting(0)
    assert (round(slots.limit, 1), slots.falls, str(slots)) == (27.2, 1, "")
    slots.kept_waiting(1)
    assert slots.limit < 24
