"""Dialogues as the text that a model reads: by the chat template of its tokenizer."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from gloss.collect.columns import Dialogue, Ids
from gloss.collect.texts import Document, Said, Texts
from gloss.errors import BadInput, BadSettings
from gloss.models.prompts import Message

Template = Callable[[Sequence[Message]], str]


@dataclass(frozen=True)
class Spoken:
    """Texts with every dialogue put as text. Each stays one document, whatever tokens its template writes."""

    texts: Texts
    template: Callable[[], Template | None]  # asked for when a dialogue comes

    def __iter__(self) -> Iterator[Document]:
        """Raises BadInput at a dialogue where there is no template."""
        for document in self.texts:
            yield Document(document.name, self.put(document))

    def put(self, document: Document) -> Iterator[str | Ids | Dialogue | Said]:
        for piece in document.pieces:
            if not isinstance(piece, Dialogue):
                yield piece
                continue
            template = self.template()
            if template is None:
                raise BadInput(
                    f"{document.name} is a dialogue, and this model's tokenizer has no chat template to put it as text; "
                    "read dialogues with a chat model, or give texts"
                )
            try:
                yield Said(template([Message(role, said) for role, said in piece.turns]))
            except BadSettings as error:
                raise BadInput(f"{document.name}: {error}, or leave out the row") from error
