"""Behind `gloss init`: looks at a model and at texts, and writes an experiment about them that runs
as it is.
"""

import json
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import ceil, log2
from pathlib import Path
from typing import TYPE_CHECKING

from gloss.collect.separators import AUTO as AUTO_SPLIT
from gloss.collect.split_counts import SplitCounts
from gloss.collect.texts import open_texts
from gloss.collect.tokens import read_texts
from gloss.errors import BadInput, Mismatch
from gloss.models.bundled import EMBEDDED
from gloss.models.dictionary import require_fit
from gloss.models.model_settings import SPECIAL
from gloss.models.sites import KINDS, Site
from gloss.run.corpus_texts import subject_chat_template, with_chat_template
from gloss.run.experiment import Experiment, SubjectSettings
from gloss.run.progress import out
from gloss.run.sources import NamedDictionary, NamedModel
from gloss.store.atomic import write_bytes
from gloss.store.corpus import Corpus

if TYPE_CHECKING:
    from gloss.models.subject import Subject

CONTEXT = 256  # tokens of a sequence, where the model takes so many
WINDOW = 32  # tokens of a context that an explainer sees
# A laptop spends some minutes on this many multiplications by a weight: tokens times parameters.
WORK = 20 * 10**12
FEWEST_TOKENS, MOST_TOKENS = 20_000, 400_000
PASSES = 2.5  # tokens to train on, for each token of text
STEPS = 300  # of training, at least
NARROWEST, WIDEST = 256, 4096  # features
DOCUMENTS = 10  # on each side of the split, for intervals that mean something
SPLITS = (AUTO_SPLIT, "\n\n", "\n")  # tried in this order


@dataclass(frozen=True)
class InitSettings:
    """What somebody who starts an experiment has decided already; the rest is chosen."""

    dictionary: str = ""  # "" trains one
    site: str = ""
    tokens: int | None = None  # of text to read
    features: int = 100
    folder: str = ""  # of the run


@dataclass(frozen=True)
class TextsSeen:
    """What the first tokens of the texts were like, cut at `split`."""

    tokens: int
    documents: SplitCounts
    split: str


def write_first_experiment(
    model: NamedModel, texts: Sequence[str], path: Path, asked: InitSettings
) -> None:
    """Write the experiment into a new file and print what was found and how to go on.

    Raises BadInput for a file that exists, for a model, a dictionary or texts that cannot be read
    and for texts too few to explain on some and judge on others; Mismatch for a dictionary or a
    site that does not fit.
    """
    if path.exists():
        raise BadInput(f"{path} exists already; give another --output, or remove it first")
    subject = model.load()
    site = choose_site(subject, asked, model.settings)
    length = min(CONTEXT, subject.context or CONTEXT)
    most = asked.tokens or affordable_tokens(subject)
    seen = look_at_texts(subject, model.settings, texts, length, most)
    folder = asked.folder or f"runs/{folder_word(model.settings.model)}"
    facts = ExperimentFacts(subject, model.settings, tuple(texts), seen, site, length, most, folder)
    content = experiment_text(facts, asked)
    Experiment.of(tomllib.loads(content))  # what is written can be read
    try:
        write_bytes(path, content.encode())
    except UnicodeEncodeError as error:
        raise BadInput(
            "a name that is not UTF-8 cannot stand in an experiment; rename it"
        ) from error
    print_first_steps(facts, path)


@dataclass(frozen=True)
class ExperimentFacts:
    """What the experiment is about, and the choices that follow from it."""

    subject: "Subject"
    settings: SubjectSettings
    texts: tuple[str, ...]
    seen: TextsSeen
    site: Site
    context_length: int
    max_tokens: int
    folder: str

    @property
    def parameters(self) -> int:
        return sum(weight.numel() for weight in self.subject.model.parameters())

    @property
    def training_tokens(self) -> int:
        return round_down(int(PASSES * self.seen.tokens))

    @property
    def batch(self) -> int:
        """Tokens a step: enough steps to learn from, and no more tokens than there are."""
        return 2 ** min(11, max(0, int(log2(max(1, self.training_tokens / STEPS)))))

    @property
    def width(self) -> int:
        """Four features for each number at the site, as a power of two."""
        most = 2 ** ceil(log2(4 * self.subject.width_at(self.site)))
        return max(NARROWEST, min(WIDEST, most))

    @property
    def k(self) -> int:
        return max(4, min(32, self.subject.width_at(self.site) // 4))


def affordable_tokens(subject: "Subject") -> int:
    """So much text that collecting takes a laptop some minutes."""
    parameters = sum(weight.numel() for weight in subject.model.parameters())
    return round_down(min(MOST_TOKENS, max(FEWEST_TOKENS, WORK // parameters)))


def round_down(number: int) -> int:
    """To two leading digits, which people can read."""
    digits = max(0, len(str(number)) - 2)
    return number // 10**digits * 10**digits


def choose_site(subject: "Subject", asked: InitSettings, settings: SubjectSettings) -> Site:
    """Where a given dictionary reads; else the site that was asked for; else the residual stream in
    the middle of the model, or what there is instead.
    """
    if asked.dictionary:
        name = asked.dictionary
        dictionary = NamedDictionary.of(name, asked.site).load(subject)
        require_fit(dictionary, subject)
        return dictionary.reads
    if asked.site:
        return subject.site(asked.site)
    for kind in ("resid_post", "resid_pre", "resid_mid", "mlp_out", "attn_out", *KINDS):
        if layers := readable_layers(subject, kind):
            return subject.site(Site(kind, layers[(len(layers) - 1) // 2]))
    raise Mismatch(f"{settings.model} has no site that can be read; try another model")


def readable_layers(subject: "Subject", kind: str) -> tuple[int, ...]:
    """The layers at which a kind of site can be read."""
    return tuple(layer for layer in range(subject.layers) if subject.anatomy.has(Site(kind, layer)))


def look_at_texts(
    subject: "Subject", settings: SubjectSettings, texts: Sequence[str], length: int, most: int
) -> TextsSeen:
    """Tokenise as much text as will be read, cut into documents in the first way that gives enough
    of them for both sides of the split.

    Raises BadInput where no way does.
    """
    found: list[TextsSeen] = []
    for split in SPLITS:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "corpus"
            opened = with_chat_template(open_texts(texts, split=split), settings)
            read_texts(subject, opened, folder, length, most, SPECIAL)
            corpus, documents = Corpus.open(folder), SplitCounts.of(folder)
        found.append(TextsSeen(len(corpus), documents, split))
        if min(documents.train, documents.held_out) >= DOCUMENTS:
            return found[-1]
    best = max(found, key=lambda one: min(one.documents.train, one.documents.held_out))
    best.documents.require_both()
    return best


def folder_word(model: str) -> str:
    """A model's name as the name of a folder."""
    name = model.rstrip("/").rpartition("/")[2].removesuffix(".gguf")
    kept = "".join(each if each.isalnum() or each in "-_." else "-" for each in name)
    return kept.strip(".-") or "experiment"


def toml_string(text: str) -> str:
    """A basic string of TOML."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def experiment_text(facts: ExperimentFacts, asked: InitSettings) -> str:
    """The file: each setting that is worth knowing, with what it means."""
    return "\n".join(
        (
            *run_lines(facts, asked),
            *subject_lines(facts),
            *collect_lines(facts),
            *decompose_lines(facts, asked),
            *method_lines(facts),
        )
    )


def run_lines(facts: ExperimentFacts, asked: InitSettings) -> list[str]:
    return [
        "# What the features of a language model mean, and how far that can be trusted.",
        "# Each table is a verb and a page of the documentation; what is left out has a default.",
        "",
        "[run]",
        f"folder = {toml_string(facts.folder)}  # everything is kept here; a killed run goes on",
        f"features = {asked.features}  # explained, drawn at random from those that fire; 0: all",
        "seed = 0  # the same seed, text and weights give the same results",
        "",
    ]


def subject_lines(facts: ExperimentFacts) -> list[str]:
    """The model: what it is, and how its texts begin."""
    subject = facts.subject
    size = f"{facts.parameters:,} parameters, {subject.layers} layers"
    start = subject.start_token
    token = "none" if start is None else f"{subject.vocabulary().text([start])!r} ({start})"
    lines = [
        f"# The model that is read: {size}.",
        "[subject]",
        f"model = {toml_string(facts.settings.model)}",
    ]
    plain = asdict(SubjectSettings())
    for name, value in asdict(facts.settings).items():
        if name != "model" and value != plain[name]:
            lines.append(f"{name} = {toml_string(value) if isinstance(value, str) else value}")
    if facts.settings.start_token == plain["start_token"]:
        lines.append(f'start_token = "auto"  # begins every sequence; here: {token}')
    if facts.settings.model != EMBEDDED and subject_chat_template(facts.settings):
        lines.append(
            "# Its chat template puts texts that are dialogues, as in a column of messages."
        )
    return [*lines, ""]


def collect_lines(facts: ExperimentFacts) -> list[str]:
    """The text, and how much of it."""
    lines = [
        f"# The text that it reads: {facts.seen.documents}.",
        "# Explanations are made from the train documents and judged on the held-out ones.",
        "[collect]",
        "texts = [  # files, folders, rows.jsonl#column, datasets:NAME, stdlib",
        *(f"    {toml_string(name)}," for name in facts.texts),
        "]",
        f"max_tokens = {facts.max_tokens}  # more text: rarer features, surer scores, longer runs",
        f"context_length = {facts.context_length}  # tokens that the model reads at a time",
    ]
    if facts.seen.split != AUTO_SPLIT:
        what = "blank lines" if facts.seen.split == "\n\n" else "lines"
        lines.append(f"split = {toml_string(facts.seen.split)}  # {what} separate documents")
    if facts.texts == ("stdlib",) and facts.settings.model != EMBEDDED:
        lines.append("# stdlib is Python's own source: name text like that the model was made for.")
    return [*lines, ""]


def decompose_lines(facts: ExperimentFacts, asked: InitSettings) -> list[str]:
    """The dictionary: given, or trained on the same text."""
    if asked.dictionary:
        given = NamedDictionary.of(asked.dictionary, asked.site)
        name = str(given.folder) if given.run else given.name
        return [
            "# The dictionary of features, which was trained elsewhere.",
            "[decompose]",
            f"dictionary = {toml_string(name)}",
            *([f"site = {toml_string(given.site)}  # where it reads"] if given.site else []),
            "",
        ]
    kinds = [kind for kind in KINDS if readable_layers(facts.subject, kind)]
    numbers = facts.subject.width_at(facts.site)
    last = facts.subject.layers - 1
    return [
        "# The dictionary of features: a sparse autoencoder, trained here.",
        f"# It reads one site of a layer, 0 to {last}. Sites of this model:",
        f"# {', '.join(kinds[:5])},",
        f"# {', '.join(kinds[5:])}.",
        "[decompose]",
        'method = "topk"  # or dictionary = "FOLDER", or a published name, for one of others',
        f"site = {toml_string(str(facts.site))}  # {numbers} numbers a token",
        f"width = {facts.width}  # features; wider dictionaries split features finer",
        f"k = {facts.k}  # features that are active at each token",
        f"tokens = {facts.training_tokens}  # to train on; several times as many make better ones",
        f"batch = {facts.batch}  # tokens a step",
        f"dead_after_tokens = {max(1, facts.training_tokens // 5)}  # then a feature is revived",
        "",
    ]


def method_lines(facts: ExperimentFacts) -> list[str]:
    """Contexts, words and scores, and how a language model joins in."""
    contexts = [
        "# The contexts that show each feature.",
        "[contexts]",
        f"context_length = {min(WINDOW, facts.context_length)}  # tokens",
        "minimum = 10  # a feature that fires in fewer contexts of a side is not explained",
        "",
    ]
    return [
        *contexts,
        "# The words: rule finds the shortest rule that predicts where a feature fires.",
        "[explain]",
        'method = "rule"  # asks no language model',
        "",
        "# How far to trust them: execution runs each rule on all held-out text.",
        "[score]",
        'method = "execution"',
        "",
        "# A language model can write the words and judge them. Replace the two tables above by:",
        "# [[explain]]",
        '# method = "max_activating"',
        "# [[score]]",
        '# method = "detection"',
        "# [chat]",
        '# base_url = "http://localhost:8000/v1"',
        '# model = "NAME"',
        "# `gloss cost` says what that would ask, before anything is spent; `gloss methods` lists",
        "# every method with its settings.",
        "",
    ]


def print_first_steps(facts: ExperimentFacts, path: Path) -> None:
    """What was found and chosen, and the command that comes next."""
    rows = (
        f"model: {facts.parameters:,} parameters, {facts.subject.layers} layers, site {facts.site}",
        f"texts: {facts.seen.tokens:,} tokens, {facts.seen.documents}",
        f"wrote {path}; now run: gloss run {path}",
    )
    for row in rows:
        out.print(row, highlight=False, markup=False, soft_wrap=True)
