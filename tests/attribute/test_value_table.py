"""Whoever the players are, what is computed is what the label says: the value of everybody is what
the subject itself gives, for every value, or the question is refused before anything is loaded.
"""

from itertools import product

import numpy as np
import pytest
import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from gloss.attribute.players.subject_games import build_subject_game
from gloss.attribute.question import AttributionQuestion
from gloss.errors import BadSettings
from gloss.models.sites import Site
from gloss.models.subject import Subject

PROMPT = "for i in range(10):\n    print("
ANSWERS = {"one": "i", "several": "i, end)"}
OTHERS = {"one": "x", "several": "x.name,"}
PLAYERS = {
    "words": {"unit": "words"},
    "sentences": {"unit": "sentences"},
    "lines": {"unit": "lines", "removal": "mask"},
    "tokens": {"unit": "tokens"},
    "filled tokens": {"unit": "tokens", "removal": "infill"},
    "fading tokens": {"removal": "fade"},
    "heads": {"components": "heads"},
    "mlps": {"components": "mlps", "removal": "zero"},
    "layers": {"components": "layers"},
    "features": {"features": "D@{firing}"},
}
FEW = ("words", "fading tokens", "heads", "features")  # of the larger model
VALUES = ("", "log_probability", "log_odds", "difference", "kl", "activation")
# the settings that each value reads, and those that it may do without
READS = {
    "log_probability": {"answer"},
    "log_odds": {"answer"},
    "difference": {"answer", "other"},
    "kl": set(),
    "activation": {"feature"},
}
NEEDED = {"difference": {"answer", "other"}, "activation": {"feature"}}


@pytest.fixture(scope="module")
def stranger(subject) -> Subject:
    """A GPT-NeoX with parallel sublayers and random weights, for the embedded tokenizer."""
    torch.manual_seed(0)
    config = GPTNeoXConfig(
        vocab_size=len(subject.vocabulary()),
        hidden_size=subject.width_at(Site("resid_post", 0)),
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    model = GPTNeoXForCausalLM(config).eval()
    for weight in model.parameters():
        weight.data.mul_(4)  # so that predictions differ
    return Subject(model, subject.tokens, None)


@pytest.fixture(scope="module", params=["embedded", "stranger"])
def read(request, subject, stranger) -> Subject:
    return {"embedded": subject, "stranger": stranger}[request.param]


@pytest.fixture(scope="module")
def firing(read, dictionary) -> list[int]:
    """The three features that fire most where the prompt ends."""
    codes = dictionary.encode(activations_at_the_end(read, dictionary))
    strongest = codes.indices[0, codes.values[0].topk(3).indices]
    return strongest.tolist()


def activations_at_the_end(subject: Subject, dictionary) -> torch.Tensor:
    row = torch.tensor([[subject.front_token, *subject.encode(PROMPT)]])
    site = dictionary.reads
    return subject.run(row, read=[site]).activations[site][0, -1:]


@pytest.fixture(scope="module")
def truth(read, dictionary, firing):
    """What the subject itself gives for a question, worked out once."""
    known: dict[tuple[str, ...], float] = {}

    def of(question: AttributionQuestion) -> float:
        key = (question.kind, question.answer, question.other)
        if key not in known:
            known[key] = directly(question, read, dictionary, firing[0])
        return known[key]

    return of


def values(question: AttributionQuestion, subject: Subject, dictionary) -> tuple[str, list[float]]:
    """What is read; and its value with every player kept, and with none."""
    named = build_subject_game(question.settle(), subject, lambda _: dictionary)
    masks = np.repeat([[True], [False]], len(named.game.players), axis=1)
    return named.value, named.game.values(masks).tolist()


def directly(question: AttributionQuestion, subject: Subject, dictionary, feature: int) -> float:
    """What the subject itself gives, a token at a time and by no code of games."""
    row = [subject.front_token, *subject.encode(PROMPT)]

    def log_p(answer: list[int]) -> float:
        now, total = list(row), 0.0
        for token in answer:
            logits = subject.run(torch.tensor([now]), logits=True).logits[0, -1].double()
            total += float(logits.log_softmax(0)[token])
            now.append(token)
        return total

    likeliest = subject.run(torch.tensor([row]), logits=True).logits[0, -1].argmax().tolist()
    answer = subject.encode(question.answer) or [likeliest]
    match question.kind:
        case "log_probability":
            return log_p(answer)
        case "log_odds":
            return log_p(answer) - float(np.log1p(-np.exp(log_p(answer))))
        case "difference":
            return log_p(answer) - log_p(subject.encode(question.other))
        case "kl":
            return 0.0
        case _:
            codes = dictionary.encode(activations_at_the_end(subject, dictionary))
            return float((codes.values * (codes.indices == feature)).sum())


def told(question: AttributionQuestion, label: str, feature: int) -> bool:
    """Whether the label holds all that is read."""
    if question.kind == "activation":
        return label == f"activation of feature {feature}"
    named = [repr(each) for each in (question.answer, question.other) if each]
    kinds = {"log_probability": "log-probability", "log_odds": "log-odds", "kl": "KL from"}
    return label.startswith(kinds.get(question.kind, "how much likelier")) and all(
        each in label for each in named
    )


@pytest.mark.parametrize(
    ("read", "players"),
    [("stranger", each) for each in PLAYERS] + [("embedded", each) for each in FEW],
    indirect=["read"],
)
def test_the_value_of_everybody_is_the_labels_whoever_the_players_are(
    read, dictionary, truth, firing, players
):
    """All combinations of values, answers and features: computed as labelled, or refused."""
    count = {"computed": 0, "refused": 0}
    who = {
        name: setting.format(firing=",".join(map(str, firing)))
        for name, setting in PLAYERS[players].items()
    }
    for value, answer, other, feature in product(
        VALUES, ("", *ANSWERS.values()), ("", *OTHERS.values()), ("", f"D@{firing[0]}")
    ):
        given = {"answer": answer, "other": other, "feature": feature}
        asked = {name for name, each in given.items() if each}
        kind = value or ("activation" if feature else "difference" if other else "log_probability")
        if not NEEDED.get(kind, set()) <= asked <= READS[kind]:
            with pytest.raises(BadSettings):
                AttributionQuestion(prompt=PROMPT, value=value, **given, **who)
            count["refused"] += 1
            continue
        question = AttributionQuestion(prompt=PROMPT, value=value, **given, **who)
        label, (everybody, nobody) = values(question, read, dictionary)
        assert everybody == pytest.approx(truth(question), abs=2e-3), label
        assert told(question, label, firing[0]), label
        if kind in ("kl", "activation"):  # a constant zero must not pass
            assert abs(everybody - nobody) > 0.01, label
        count["computed"] += 1
    assert count == {"computed": 20, "refused": 88}


@pytest.mark.parametrize("removal", ["mean", "zero"])
def test_components_are_ablated_behind_the_prompt_too(read, removal):
    """An answer of several tokens is read by the model without the part, not by the whole one."""
    question = AttributionQuestion(
        prompt=PROMPT, answer=ANSWERS["several"], components="mlps", removal=removal
    ).settle()
    game = build_subject_game(question, read, lambda _: None).game
    masks = ~np.eye(len(game.players), dtype=bool)[:1]
    front = [read.front_token]
    prompt, answer = [*front, *read.encode(PROMPT)], read.encode(ANSWERS["several"])
    site = read.site("mlp_out.0")
    clean = read.run(torch.tensor([prompt]), read=[site]).activations[site]
    whole = torch.tensor([[*prompt, *answer]])
    instead = torch.zeros(whole.shape[1], clean.shape[2])
    if removal == "mean":  # that of all behind the front token, which keeps its own
        instead[:] = clean[:, 1:].mean((0, 1))
        instead[0] = clean[0, 0]
    logits = read.run(whole, edits={site: lambda x: instead.expand_as(x)}, logits=True).logits
    said = logits[0, len(prompt) - 1 : -1].double().log_softmax(1)
    assert game.values(masks) == pytest.approx(
        [float(said[torch.arange(len(answer)), torch.tensor(answer)].sum())], abs=2e-3
    )


def test_slopes_of_every_value_are_differences_of_it(read, dictionary):
    """Whatever is read, tokens that fade have its slopes, also through an answer's own tokens."""
    for given in (
        {"answer": ANSWERS["several"]},
        {"answer": ANSWERS["several"], "other": OTHERS["several"]},
        {"answer": ANSWERS["one"], "value": "log_odds"},
        {"value": "kl"},
    ):
        question = AttributionQuestion(prompt="for i in", removal="fade", **given).settle()
        game = build_subject_game(question, read, lambda _: dictionary).game
        middle = np.full((1, len(game.players)), 0.8, np.float32)
        low, high = (float(game._in_parts(middle + by, grad=False)[0][0]) for by in (-0.01, 0.01))
        slope = game.gradients(middle).sum()
        assert slope == pytest.approx((high - low) / 0.02, rel=0.05, abs=0.05), given
