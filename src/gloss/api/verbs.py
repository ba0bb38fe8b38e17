"""What is done to a feature or a model: explain, score words, steer, attribute."""

from collections.abc import Sequence
from operator import index
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

if TYPE_CHECKING:
    from pathlib import Path

    from gloss.api.attributions import Attribution
    from gloss.api.many_prompts import Prompts
    from gloss.api.passages import Passages, PassagesAttribution
    from gloss.api.runs import Feature
    from gloss.errors import GlossError
    from gloss.models.dictionary import Dictionary
    from gloss.models.subject import Subject
    from gloss.records import Effect, Explanation, Failure, FeatureId, Score
    from gloss.store.evidence import Evidence


def explain(feature: "Feature", method: str = "rule", **settings: Any) -> "Explanation | Failure":
    """Explain a feature of a run anew, from contexts of the train split alone.

    `method` is a name that `[explain]` takes, and its settings are given as keywords. A method that
    asks a language model asks the one of the run's `[chat]`. Gives a Failure, with its reason,
    where the method finds nothing. Raises BadSettings for a method or a setting that does not
    exist, and BadInput for a feature of which the run drew no contexts.

        >>> said = gloss.explain(feature, method="rule", beam=2)
        >>> said.text, said.rule
        ('...', '...')
    """
    from gloss.api.method_inputs import answering_client, explained_examples, require_feature
    from gloss.run.methods import build_method
    from gloss.run.stages.explain import explain_feature

    feature, table = require_feature(feature, "explain"), {"method": method, **settings}
    explainer = build_method("explain", table)
    client = answering_client(feature, explainer, table)
    examples = explained_examples(feature, explainer, table)
    (choice,) = client.run([explain_feature(feature.run.plan, explainer, examples)])
    return choice.explanation


def score(
    feature: "Feature | Evidence",
    explanation: "str | Explanation | None" = None,
    method: str = "",
    **settings: Any,
) -> "Score | Failure":
    """Score an explanation of a feature, by default the run's own, on text that made none of it.

    `feature` is one of a run, or evidence that you put together yourself: contexts, a corpus and
    where the feature fires in it. Without a `method`, a rule (also one that is given as text) is
    executed on every held-out token, and words are judged by the language model of the run's
    `[chat]`. Every metric has a 95 % interval. Gives a Failure, with its reason, where nothing can
    be judged. Raises BadSettings where words have no judge, and for a method or a setting that does
    not exist.

        >>> found = gloss.score(feature, 'token in {" raise", " Error"}')
        >>> found.headline, 0 <= found.estimates["f1"].value <= 1
        ('f1', True)
    """
    from gloss.api.method_inputs import (
        answering_client,
        feature_evidence,
        require_feature,
        scored_explanation,
    )
    from gloss.errors import BadSettings
    from gloss.run.methods import build_method
    from gloss.store.evidence import Evidence

    if isinstance(feature, Evidence):
        return _score_of_evidence(
            feature, explanation, {"method": method or "execution"} | settings
        )
    feature = require_feature(feature, "score", ", or Evidence")
    plan, table = feature.run.plan, {"method": method} | settings
    said = scored_explanation(feature.id, explanation, feature.explanation, table)
    if not method and said.rule is None and not plan.experiment.chat:
        raise BadSettings(
            f"{said.text!r} is no rule that can be executed, and the run has no [chat] with a"
            ' judge of words; give a rule, or a method that asks nobody, as in method="embedding"'
        )
    table["method"] = method or ("execution" if said.rule is not None else "detection")
    scorer = build_method("score", table)
    client = answering_client(feature, scorer, table)
    evidence = feature_evidence(feature, scorer, table["method"])
    rng = plan.generator("score", table["method"], feature.index, "none", said.method)
    (found,) = client.run([scorer.score(said, evidence, rng)])
    return found


@overload
def steer(
    feature: "Feature",
    prompts: str | Sequence[str],
    /,
    *,
    kl: float | None = None,
    strength: float | None = None,
    edit: str = "add",
    new_tokens: int = 24,
) -> "Effect": ...


@overload
def steer(
    model: "Subject",
    dictionary: "Dictionary",
    feature: SupportsIndex,
    prompts: str | Sequence[str],
    /,
    *,
    kl: float | None = None,
    strength: float | None = None,
    edit: str = "add",
    new_tokens: int = 24,
) -> "Effect": ...


def steer(
    *what: Any,
    kl: float | None = None,
    strength: float | None = None,
    edit: str = "add",
    new_tokens: int = 24,
) -> "Effect":
    """Write with a feature changed, and measure how that moves the next token.

    Give a feature of a run and prompts; or a model, a dictionary, the feature's index and prompts.
    A feature of a run loads the run's model and dictionary once. Give one of `kl`, the mean
    KL(clean ‖ edited) of the next token in nats, and `strength`, in units of the feature's
    activation. `edit` is `"add"` (to the activation), `"set"` or `"ablate"` (which takes neither).
    At most `new_tokens` are written. Raises BadInput for a feature that the dictionary does not
    have, BadSettings for a strength that cannot be, and Mismatch where the dictionary does not fit
    the model.

        >>> effect = gloss.steer(model, dictionary, 999, "def f(", kl=0.5, new_tokens=4)
        >>> effect.completions[0].clean, effect.completions[0].edited
        ('...', '...')
        >>> abs(effect.kl.value - 0.5) < 0.05
        True
    """
    from gloss.intervene.baseline import Baseline, prompt_tokens
    from gloss.intervene.edits import FeatureEdit
    from gloss.models.dictionary import require_fit
    from gloss.records import EditKind
    from gloss.run.commands.steer import SteeringSettings, steered_effect

    model, dictionary, name, prompts = _steered(what)
    asked = SteeringSettings(edit, strength, kl, new_tokens)
    require_fit(dictionary, model)
    texts = [prompts] if isinstance(prompts, str) else list(prompts)
    baseline = Baseline.of(model, prompt_tokens(model, texts), dictionary.writes)
    if move := getattr(dictionary, "to", None):  # neurons lie where their model does
        dictionary = move(model.device)
    intervention = FeatureEdit(dictionary, name.index, EditKind(edit))
    return steered_effect(baseline, intervention, name, asked)


@overload
def attribute(
    prompt: str = "",
    *,
    prompts: None = None,
    passages: None = None,
    model: "Subject | str | Path" = "",
    dictionary: "Dictionary | None" = None,
    method: str = "auto",
    seed: int = 0,
    **settings: Any,
) -> "Attribution": ...


@overload
def attribute(
    prompt: str = "",
    *,
    prompts: "Prompts",
    passages: None = None,
    model: "Subject | str | Path" = "",
    dictionary: "Dictionary | None" = None,
    method: str = "auto",
    seed: int = 0,
    **settings: Any,
) -> "Attribution | list[Attribution | GlossError]": ...


@overload
def attribute(
    prompt: str = "",
    *,
    prompts: None = None,
    passages: "Passages",
    model: "Subject | str | Path" = "",
    dictionary: "Dictionary | None" = None,
    method: str = "auto",
    seed: int = 0,
    **settings: Any,
) -> "PassagesAttribution": ...


def attribute(
    prompt: str = "",
    *,
    prompts: "Prompts | None" = None,
    passages: "Passages | None" = None,
    model: "Subject | str | Path" = "",
    dictionary: "Dictionary | None" = None,
    method: str = "auto",
    seed: int = 0,
    **settings: Any,
) -> "Attribution | list[Attribution | GlossError] | PassagesAttribution":
    """Which words of a prompt, or parts of the model, act together to make it say what it does.

    `settings` are those of `gloss attribute` (`answer`, `other`, `feature`, `value`, `unit`,
    `removal`, `other_prompts`, `components`, `features`, `data`, `base_url`, `examples`, `learner`,
    `groups`, `jobs`, and `proxy`, a smaller model, with its `proxy_budget`) and those of the
    method, such as `budget` and `order`; see `docs/attribute.md`. A `feature` may be one of a run,
    or a number beside a `dictionary`. Without a `model` it is the run's, or the embedded one.

    `prompts` are a file, texts, or mappings with `prompt`, `corrupted`, `answer` and `other`. With
    `components`, `features` or `unit="positions"` they are one question, whose value is the mean
    over them; or else a question each, by one loaded model, in a list that has an error in the
    place of what could not be answered.

    `passages` are a file, texts, or mappings with `text`, `title` and `id`: which of them, perhaps
    before a `question` in a `template`, then which of their sentences and words.

    Raises BadInput, BadSettings and Mismatch as `gloss attribute` does.

        >>> found = gloss.attribute("for i in range(10):\\n    print(", answer="i")
        >>> found.value
        "log-probability of 'i' (nats)"
    """
    if passages is not None:
        from gloss.api.passages import attribute_passages

        asked = {"prompt": prompt, "prompts": prompts, **settings}
        return attribute_passages(passages, asked, model, dictionary, method, seed)
    if prompts is not None:
        from gloss.api.many_prompts import attribute_prompts
        from gloss.errors import BadSettings

        if prompt:
            raise BadSettings("prompt and prompts were given; give one of them")
        return attribute_prompts(prompts, settings, model, dictionary, method, seed)
    from gloss.api.attributions import attribute_prompt

    return attribute_prompt({"prompt": prompt, **settings}, model, dictionary, method, seed)


def _steered(what: Sequence[Any]) -> "tuple[Subject, Dictionary, FeatureId, str | Sequence[str]]":
    """The model, the dictionary, the feature and the prompts that `steer` was given."""
    from gloss.api.runs import Feature
    from gloss.errors import BadSettings
    from gloss.records import FeatureId

    match what:
        case (Feature() as feature, prompts):
            return feature.run.model, feature.run.dictionary, feature.id, prompts
        case (model, dictionary, SupportsIndex() as at, prompts) if not getattr(at, "ndim", 0):
            return model, dictionary, FeatureId("dictionary", index(at)), prompts
        case _:
            raise BadSettings(
                "steer takes a feature of a run and prompts, or a model, a dictionary, the"
                f" feature's index and prompts; it was given {len(what)} things"
            )


def _score_of_evidence(
    evidence: "Evidence", given: "str | Explanation | None", table: dict[str, Any]
) -> "Score | Failure":
    """By a method that asks nobody: there is no run, and so no [chat]."""
    import numpy as np

    from gloss.api.method_inputs import require_evidence, scored_explanation
    from gloss.run.chat_clients import NoClient
    from gloss.run.methods import build_method

    scorer = build_method("score", table)
    require_evidence(evidence, scorer, table["method"])
    said = scored_explanation(evidence.examples.feature, given, None, table)
    (found,) = NoClient().run([scorer.score(said, evidence, np.random.default_rng(0))])
    return found
