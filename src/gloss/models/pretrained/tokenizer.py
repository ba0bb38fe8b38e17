"""The subject's tokenizer: text to token numbers, and what each token says, as bytes."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from importlib import metadata
from pathlib import Path
from typing import Any

from tokenizers import Encoding, Tokenizer

from gloss.errors import BadInput
from gloss.models.pretrained.special_tokens import ROLES, SpecialTokens, token_text
from gloss.store.vocabulary import Vocabulary

# of tokenizers without tokenizer.json
OTHER_FILES = ("vocab*", "*.model", "*.tiktoken", "merges.txt", "tokenizer_config.json")
SENTENCEPIECE = ("sentencepiece", "protobuf")  # what its models are read with
# of a vocabulary; what says more holds a slip of a digit, and would take memory for every number
# below it
MOST_TOKENS = 2**24


class PlainTokenizer:
    """A tokenizer that never adds, cuts or pads, and the token that starts each sequence, where
    there is one.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        start_token: int | None = None,
        special: SpecialTokens | None = None,
    ) -> None:
        self.tokenizer = Tokenizer.from_str(tokenizer.to_str())  # a copy: what follows changes it
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.start_token = start_token
        self.special = special or SpecialTokens.of(tokenizer, {})

    def reads_as(self, other: "PlainTokenizer") -> bool:
        """Whether the other gives every text the same tokens: by its vocabulary, which one of them
        may have more of, by merges and by how texts are cut.
        """
        mine, theirs = (json.loads(each.tokenizer.to_str()) for each in (self, other))
        for each in (mine, theirs):
            each["added_tokens"] = each["post_processor"] = None
        return mine == theirs and self.start_token == other.start_token

    @cached_property
    def unknown_token(self) -> int | None:
        """The token for characters that the tokenizer does not know, where it has one."""
        model: dict[str, Any] = json.loads(self.tokenizer.to_str())["model"]
        name = model.get("unk_token")
        return model.get("unk_id") if name is None else self.tokenizer.token_to_id(name)

    def encode(self, text: str) -> list[int]:
        """The text's tokens, without a start token."""
        return self._encoding(text).ids

    def encode_with_spans(self, text: str) -> list[tuple[int, tuple[int, int]]]:
        """The text's tokens, and where each stands in the text, in characters.

        Tokens that share a character have the same span there. Whether the space before a word
        counts differs between tokenizers.
        """
        found = self._encoding(text)
        return list(zip(found.ids, found.offsets, strict=True))

    def _encoding(self, text: str) -> Encoding:
        try:
            return self.tokenizer.encode(text, add_special_tokens=False)
        # a lone surrogate, as the shell makes of a byte that is not UTF-8
        except TypeError as problem:
            raise BadInput(
                f"the text {text[:40]!r} holds bytes that are not UTF-8; give it in UTF-8"
            ) from problem

    def vocabulary(self, size: int) -> Vocabulary:
        """The bytes of tokens 0 to `size` or the tokenizer's last.

        A number without a token is called `<unused_7>`. For byte-level tokenizers the pieces of
        `encode(text)` spell `text` exactly, where the tokenizer does not normalise it.
        Sentencepiece-like ones put a space before the first word, and it is kept.
        """
        described: dict[str, Any] = json.loads(self.tokenizer.to_str())
        names = {
            number: name
            for name, number in self.tokenizer.get_vocab(with_added_tokens=True).items()
        }
        added = {
            number: token.content
            for number, token in self.tokenizer.get_added_tokens_decoder().items()
        }
        spell = token_speller(described)
        pieces: list[bytes] = []
        for number in range(max(size, max(names, default=-1) + 1)):
            if number in added:
                pieces.append(added[number].encode())
            else:
                pieces.append(
                    spell(names[number]) if number in names else f"<unused_{number}>".encode()
                )
        return Vocabulary(tuple(pieces))


def load_tokenizer(folder: Path, start_of_model: int | None) -> PlainTokenizer:
    """The tokenizer of a model's folder; a bare `tokenizer.json` will do.

    Raises BadInput where there is none that can be read. The start token is the one that the
    tokenizer's files name. Where they name nothing, it is `start_of_model`, if that is one of the
    tokenizer's special tokens.
    """
    tokenizer = read_tokenizer(folder)
    files = [folder / name for name in ("special_tokens_map.json", "tokenizer_config.json")]
    named = {
        name: value for file in files if file.is_file() for name, value in read_json(file).items()
    }
    for role in ROLES:
        text = named[role].get("content") if isinstance(named.get(role), dict) else named.get(role)
        if not isinstance(text, str) and named.get(role) is not None:
            raise BadInput(
                f"{folder} names {named[role]!r} as {role}: wanted a token's text, or null for none"
            )
    special = SpecialTokens.of(tokenizer, named, find_chat_template(folder, named))
    if "bos_token" in named:
        start = named["bos_token"]
        return PlainTokenizer(
            tokenizer, None if start is None else tokenizer.token_to_id(token_text(start)), special
        )
    marked = [
        number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special
    ]
    return PlainTokenizer(tokenizer, start_of_model if start_of_model in marked else None, special)


def find_chat_template(folder: Path, named: Mapping[str, Any]) -> str | None:
    """The template by which the model's chats are put as text: from its own file, or from the
    tokenizer's configuration.
    """
    if (file := folder / "chat_template.jinja").is_file():
        return file.read_text("utf-8")
    stated = named.get("chat_template")
    if isinstance(stated, list):  # several by name, as old files have them
        stated = next(
            (each.get("template") for each in stated if each.get("name") == "default"), None
        )
    return stated if isinstance(stated, str) else None


def read_tokenizer(folder: Path) -> Tokenizer:
    """`tokenizer.json` as it stands.

    Failing that, what transformers makes of the folder's other files.
    """
    file = folder / "tokenizer.json"
    if file.is_file():
        model = read_json(file).get("model")
        if not isinstance(model, dict) or model.get("type") not in (
            "BPE",
            "Unigram",
            "WordLevel",
            "WordPiece",
        ):
            raise BadInput(
                f"{file} is no tokenizer: it describes no model of type BPE, Unigram, WordLevel or"
                " WordPiece"
            )
        try:
            tokenizer = Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises nothing narrower
            raise BadInput(f"{file} is no tokenizer: {str(error)[:200]}") from error
        if (
            last := max(tokenizer.get_vocab(with_added_tokens=True).values(), default=0)
        ) >= MOST_TOKENS:
            raise BadInput(
                f"{file} is no tokenizer: it numbers a token {last}, and numbers go to"
                f" {MOST_TOKENS - 1} at most"
            )
        return tokenizer
    if not any(path for pattern in OTHER_FILES for path in folder.glob(pattern)):
        raise BadInput(
            f"{folder} holds no tokenizer: wanted a file tokenizer.json, or others that"
            " transformers can read"
        )
    settings = folder / "tokenizer_config.json"
    if settings.is_file() and "auto_map" in read_json(settings):
        raise BadInput(
            f"{folder} holds no tokenizer.json, and its tokenizer is code of its own, which is not"
            " run; save it as one"
        )
    for file in folder.glob("*.model"):
        if file.read_bytes()[:1] == b"\n" and (
            absent := [name for name in SENTENCEPIECE if not is_installed(name)]
        ):
            raise BadInput(
                f"{file} is of SentencePiece, which is not installed whole; run: pip install"
                f" {' '.join(absent)}"
            )
    from transformers import AutoTokenizer

    from gloss.models.pretrained.quiet import silence_libraries

    with silence_libraries(
        f"{folder} holds no tokenizer.json, and no tokenizer can be made from its other files"
    ):
        return tokenizer_backend(
            AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        )


def is_installed(package: str) -> bool:
    """Whether a package is here."""
    return any(True for _ in metadata.distributions(name=package))


def tokenizer_backend(tokenizer: Any) -> Tokenizer:
    """What the tokenizers library runs of a tokenizer of transformers.

    Raises BadInput for one that is all Python.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if not isinstance(backend, Tokenizer):
        raise BadInput(
            f"a tokenizer of class {type(tokenizer).__name__}: wanted one that the tokenizers"
            " library runs"
        )
    return backend


def read_json(file: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises BadInput where there is none."""
    try:
        content = json.loads(file.read_text("utf-8"))
    # a ValueError also for a number of thousands of digits
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"{file} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise BadInput(f"{file} holds {type(content).__name__}, wanted a JSON object")
    return content


def token_speller(described: dict[str, Any]) -> Callable[[str], bytes]:
    """How a token's name becomes its bytes, from the tokenizer's own description."""
    parts = [
        *tokenizer_components(described["decoder"]),
        *tokenizer_components(described["pre_tokenizer"]),
        *tokenizer_components(described["normalizer"]),
    ]
    kinds = {part["type"]: part for part in parts}
    if "ByteLevel" in kinds:
        return byte_level_bytes
    if "WordPiece" in kinds:
        prefix: str = kinds["WordPiece"]["prefix"]
        return lambda name: (
            name.removeprefix(prefix) if name.startswith(prefix) else f" {name}"
        ).encode()
    if "BPEDecoder" in kinds:
        suffix: str = kinds["BPEDecoder"]["suffix"]
        return lambda name: (
            f"{name.removesuffix(suffix)} " if name.endswith(suffix) else name
        ).encode()
    spaces = [part["replacement"] for part in parts if part["type"] == "Metaspace"]
    spaces += [
        part["content"]
        for part in tokenizer_components(described["normalizer"])
        if replaces_exactly(part, " ")
    ]
    byte_fallback = bool(described["model"].get("byte_fallback"))
    return partial(sentencepiece_bytes, spaces[0] if spaces else None, byte_fallback)


def tokenizer_components(description: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """The parts of a normalizer, pre-tokenizer or decoder, out of any nesting."""
    if description is None:
        return
    if description["type"] != "Sequence":
        yield description
    for key in ("normalizers", "pretokenizers", "decoders"):
        for part in description.get(key, ()):
            yield from tokenizer_components(part)


def replaces_exactly(part: dict[str, Any], text: str) -> bool:
    """Whether a normalizer's part replaces exactly this text by something."""
    return part["type"] == "Replace" and part["pattern"].get("String") == text


def sentencepiece_bytes(space: str | None, byte_fallback: bool, name: str) -> bytes:
    """The replacement character for the space is a space; `<0xE4>` is that byte.

    Anything else says itself.
    """
    if byte_fallback and (byte := re.fullmatch(r"<0x([0-9A-Fa-f]{2})>", name)):
        return bytes.fromhex(byte[1])
    return (name if space is None else name.replace(space, " ")).encode()


def byte_level_bytes(name: str) -> bytes:
    """Byte-level tokenizers write each byte as one printable character (Radford et al., 2019)."""
    try:
        return bytes(BYTES_OF_CHARACTERS[character] for character in name)
    except KeyError:  # a token that was not learned from bytes
        return name.encode()


PRINTABLE = (
    *range(ord("!"), ord("~") + 1),
    *range(ord("¡"), ord("¬") + 1),
    *range(ord("®"), ord("ÿ") + 1),
)
OTHERS = [byte for byte in range(256) if byte not in PRINTABLE]
BYTES_OF_CHARACTERS = {chr(byte): byte for byte in PRINTABLE} | {
    chr(256 + n): byte for n, byte in enumerate(OTHERS)
}
