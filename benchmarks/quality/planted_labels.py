"""Labels of planted features, as rules: right ones, and wrong in known ways."""

import json

import numpy as np

from gloss.models.planted.plant import Planted
from gloss.rules import parse_rule
from gloss.rules.language import PredicateUnit
from gloss.score.label_audit import Trust, strings_of_rule

BROADER, MOST = 100, 0.5  # times as often as the feature fires, or half of all tokens
NARROW = 0.1  # of the tokens at which the feature fires
KINDS = {
    "right": Trust.BELIEVE,
    "100 times too broad": Trust.TOO_BROAD,
    "too narrow": Trust.TOO_NARROW,
    "another feature's": Trust.SOMETHING_ELSE,
    "invented": Trust.SOMETHING_ELSE,
}


def planted_label(kind: str, index: int, planted: Planted, rng: np.random.Generator) -> str:
    """A label of this kind for a feature, as a rule."""
    feature = planted.features[index]
    if kind == "right":
        return feature.rule
    if kind == "100 times too broad":
        return f"{feature.rule} or {common_tokens(planted, min(BROADER * feature.rate, MOST))}"
    if kind == "too narrow":
        return narrowed(feature.rule, index, planted)
    if kind == "another feature's":
        others = [one for one in planted.features if one.family != feature.family]
        return others[int(rng.integers(len(others)))].rule
    return f'token in {{" invented{index}"}}'


def common_tokens(planted: Planted, share: float) -> str:
    """A rule for so many of the commonest tokens that together they are this share of the text."""
    strings = common_strings(planted, share)
    return f"token in {{{', '.join(json.dumps(each, ensure_ascii=False) for each in strings)}}}"


def common_strings(planted: Planted, share: float, *, only_words: bool = False) -> list[str]:
    """The commonest tokens, or words, that together are this share of the text, if there are so
    many.
    """
    corpus = planted.corpus
    strings = corpus.vocabulary.strings
    counts = np.bincount(corpus.tokens, minlength=len(strings))
    order = np.argsort(-counts, kind="stable")
    if only_words:
        order = order[[strings[token].strip().isalpha() for token in order.tolist()]]
    number = int(np.searchsorted(np.cumsum(counts[order]), share * len(corpus))) + 1
    return [strings[token] for token in order[:number].tolist()]


def narrowed(rule: str, index: int, planted: Planted) -> str:
    """The rule, early in each sequence alone, so that it finds about a tenth of its tokens."""
    corpus, fires = planted.corpus, planted.activations[index].positions
    places = fires - corpus.offsets[corpus.sequences_of(fires)]
    early = int(np.quantile(places, NARROW)) + 1
    alternatives = (
        " and ".join([*map(str, each.terms), f"position < {early}"])
        for each in parse_rule(rule).alternatives
    )
    return " or ".join(alternatives)


def words_of_label(kind: str, index: int, planted: Planted, rng: np.random.Generator) -> str:
    """The same in plain words, of features of words alone; nothing for others."""
    sets = {
        number: strings_of_rule(parse_rule(feature.rule), PredicateUnit.TOKEN)
        for number, feature in enumerate(planted.features)
        if feature.kind in ("token_set", "graded_by_token")
    }
    words = sets.get(index, [])
    if len(words) < (3 if kind == "too narrow" else 1):
        return ""
    if kind == "100 times too broad":
        wanted = min(BROADER * planted.features[index].rate, MOST)
        words = [*words, *common_strings(planted, wanted, only_words=True)]
    elif kind == "too narrow":
        words = words[:1]
    elif kind == "another feature's":
        family = planted.features[index].family
        others = [number for number in sets if planted.features[number].family != family]
        words = sets[others[int(rng.integers(len(others)))]]
    elif kind == "invented":
        words = [f"invented{index}"]
    quoted = [f'"{word.strip()}"' for word in words]
    return f"the words {', '.join(quoted)}" if len(quoted) > 1 else f"the word {quoted[0]}"
