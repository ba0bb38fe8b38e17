"""Every block of code in README.md and docs/, and every example of a docstring, does what it says.

A page's Python runs from top to bottom in one namespace, beside a small finished run in
`runs/demo`; commands are run, tables are read. A block of commands behind `<!-- not run: WHY -->`
is held against the command line's arguments and options alone. Examples of docstrings may use what
the reference says that they use: `run`, `feature`, `model`, `dictionary` and `rng`.
"""

import doctest
import inspect
import re
import shlex
import shutil
import tomllib
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from markdown_it import MarkdownIt
from small import SMALL
from typer.main import get_command

import gloss
from gloss.attribute.game import Game
from gloss.cli import app
from gloss.explain import Explainer
from gloss.intervene.edits import Intervention
from gloss.models.dictionary import Dictionary, SparseCoder
from gloss.models.subject import Subject
from gloss.rules import parse_rule
from gloss.run.commands.query import print_query_answer
from gloss.run.experiment import VARY
from gloss.run.variants import varied_tables
from gloss.sample import Sampler
from gloss.score import Scorer
from models.servers import serve

ROOT = Path(__file__).parents[2]
EMBEDDED = ROOT / "src" / "gloss" / "models" / "embedded"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
ENDPOINT = "http://localhost:8000/v1"  # of the docs
# what the docs call things that the reader has
PLACEHOLDERS = {
    "MODEL": "embedded",
    "DICTIONARY": "embedded",
    "DICTIONARY...": "embedded",
    "RUN": "runs/demo",
    "RUN@FEATURE": "runs/demo@100",
    "RUN...": "runs/stories",
    "FEATURE": "100",
    "EXPERIMENT.toml": "experiment.toml",
    "LABELS": "labels.csv",
    "LABELS...": "labels.csv",
}
COMMAND_LINE = get_command(app)  # once: type checks take the options out of a function that has run
NOT_RUN = re.compile(r"<!-- not run: (.+) -->")
MOST_NOT_RUN = 14  # blocks


@dataclass(frozen=True)
class Block:
    """A block of code, where it begins, and why it is not run."""

    page: Path
    line: int
    language: str
    text: str
    not_run: str | None = None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    found, before = [], None
    for token in MarkdownIt().parse(page.read_text()):
        if token.type == "fence":
            reason = NOT_RUN.search(before.content) if before else None
            line = token.map[0] + 1
            found.append(Block(page, line, token.info.strip(), token.content, reason and reason[1]))
        before = token if token.type == "html_block" else None
    return found


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def blocks_in(language: str) -> list[Block]:
    return [block for block in BLOCKS if block.language == language]


def commands(block: Block) -> list[list[str]]:
    """The words of each command, with what a reader has in place of what stands for it."""
    lines = block.text.replace("\\\n", " ").splitlines()
    found = [shlex.split(re.sub(r"(^|\s+)# .*$", "", line)) for line in lines]
    for words in found:
        if {">", "|"} & {*words}:
            del words[min(words.index(mark) for mark in (">", "|") if mark in words) :]
    return [[PLACEHOLDERS.get(word, word) for word in words] for words in found if words]


@pytest.fixture(scope="module")
def desk(small_run, tmp_path_factory) -> Path:
    """Where a reader sits: a folder with a finished run and its experiment."""
    folder = tmp_path_factory.mktemp("desk")
    for name in ("demo", "stories"):
        shutil.copytree(small_run / "out", folder / "runs" / name)
    [collected] = (small_run / "out" / "collect").iterdir()
    shutil.copytree(collected, folder / "out")
    (folder / "path" / "to").mkdir(parents=True)
    (folder / "path" / "to" / "model").symlink_to(EMBEDDED / "subject")
    (folder / "path" / "to" / "dictionary").symlink_to(EMBEDDED / "dictionary")
    (folder / "labels.csv").write_text("feature,text\n7,the word raise\n")
    (folder / "experiment.toml").write_text(SMALL.replace('"out"', '"runs/demo"'))
    return folder


@pytest.fixture(scope="module")
def endpoint():
    with serve(answer="parrot") as server:
        yield server.base_url


def test_each_block_says_its_language_and_what_is_not_run_says_why():
    known = {"python", "bash", "toml", "sql", "rule", "text"}
    assert [f"{block} {block.language}" for block in BLOCKS if block.language not in known] == []
    spared = [block for block in BLOCKS if block.not_run]
    assert len(spared) <= MOST_NOT_RUN
    assert [str(block) for block in spared if block.language != "bash"] == []


@pytest.mark.parametrize(
    "page",
    sorted({block.page for block in blocks_in("python")}),
    ids=lambda page: page.stem,
)
def test_python_runs(page, desk, endpoint, monkeypatch):
    monkeypatch.chdir(desk)
    names: dict[str, object] = {"__name__": "snippets"}
    for block in blocks_in("python"):
        if block.page == page:
            text = "\n" * block.line + block.text.replace(ENDPOINT, endpoint)
            exec(compile(text, page, "exec"), names)


def parsed(words: list[str]):
    """The command's context, by the command line's own parser."""
    command = COMMAND_LINE.commands[words[1]]
    return command, command.make_context(f"gloss {words[1]}", words[2:])


@pytest.mark.parametrize("block", blocks_in("bash"), ids=str)
def test_commands_run(block, desk, monkeypatch, capsys):
    monkeypatch.chdir(desk)
    for words in commands(block):
        match words:
            case ["gloss", *_]:
                literal = [word for word in words if "\\n" in word and word[0] != "$"]
                assert not literal, f"bash keeps this backslash, write $'...': {literal}"
                command, context = parsed(words)
                if not block.not_run:
                    with context:
                        command.invoke(context)
                    assert capsys.readouterr().out, words
            case ["make", target]:
                assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
            case [python, "-m", module, *_] if python.startswith("python"):
                assert find_spec(module), module
            case ["pip" | "git" | "cd" | "source" | "python", *_]:
                pass  # of a new machine
            case _:
                assert block.not_run, words


@pytest.mark.parametrize("block", blocks_in("toml"), ids=str)
def test_tables_are_those_of_an_experiment(block):
    tables = tomllib.loads(block.text)
    varied = tables.pop(VARY, None)
    found = [tables] if varied is None else list(varied_tables(tables, varied))
    assert all(gloss.Experiment.of(one) for one in found)


@pytest.mark.parametrize("block", blocks_in("sql"), ids=str)
def test_questions_are_answered(block, desk, capsys):
    for question in filter(None, map(str.strip, block.text.split(";"))):
        print_query_answer(desk / "runs" / "demo", question, "table", external=False)
        assert capsys.readouterr().out, question


@pytest.mark.parametrize("block", blocks_in("rule"), ids=str)
def test_rules_are_read(block):
    for line in filter(None, block.text.splitlines()):
        assert parse_rule(line).english()


FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
SHOWN = (gloss.Run, gloss.Feature, gloss.RunTable)  # that users hold, with an example everywhere
INTERFACES = (Subject, Dictionary, SparseCoder, Sampler, Explainer, Scorer, Intervention, Game)


def modules_with_examples() -> list[str]:
    files = [one for one in (ROOT / "src" / "gloss").rglob("*.py") if ">>> " in one.read_text()]
    return sorted(
        ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
        for path in files
    )


@pytest.fixture(scope="module")
def things(desk) -> dict[str, object]:
    """What the examples of docstrings may use."""
    run = gloss.open(desk / "runs" / "demo")
    feature = next(one for one in run if one.explanation)
    model, dictionary = gloss.load_model("embedded"), gloss.load_dictionary("embedded")
    given = {"run": run, "feature": feature, "model": model, "dictionary": dictionary}
    return given | {"gloss": gloss, "np": np, "torch": torch, "Path": Path}


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_of_docstrings_give_what_they_say(name, things, desk, monkeypatch):
    monkeypatch.chdir(desk)
    module = import_module(name)
    runner, said = doctest.DocTestRunner(optionflags=FLAGS), list[str]()
    for test in doctest.DocTestFinder(exclude_empty=True).find(module, globs=vars(module)):
        test.globs.update(things, rng=np.random.default_rng(0))
        runner.run(test, out=said.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(said)


@pytest.mark.parametrize("name", [name for name in gloss.__all__ if name != "__version__"])
def test_every_name_of_the_front_door_has_an_example(name):
    home, _, called = gloss._HOMES[name].partition(":")
    assert ">>> " in inspect.getdoc(getattr(import_module(home), called or name))


@pytest.mark.parametrize("kind", [*SHOWN, *INTERFACES], ids=lambda kind: kind.__name__)
def test_each_public_method_says_what_it_gives(kind):
    wrapped = (staticmethod, classmethod, property, cached_property)
    parts = {
        name: part
        for name, part in vars(kind).items()
        if name[0] != "_" and (inspect.isfunction(part) or isinstance(part, wrapped))
    }
    assert parts
    assert [name for name, part in parts.items() if not inspect.getdoc(part)] == []
    if kind in SHOWN:
        bare = {name for name, part in parts.items() if ">>> " not in inspect.getdoc(part)}
        seen_by_doctest = {n for n, part in parts.items() if not isinstance(part, cached_property)}
        assert bare & seen_by_doctest <= {"rows"}
