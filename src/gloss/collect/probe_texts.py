"""English prose out of the labelled sets of `sae-probes`: news, reviews, questions, essays and
passages of books, law and medicine, each text once, in two parts that share none.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from gloss.collect.texts import Document, text_pieces
from gloss.errors import BadInput
from gloss.store.probe_sets import INSTALL, installed_probe_sets, read_probe_set

SOURCE = "sae-probes"
Part = Literal["train", "held_out"]
HELD_OUT = 10  # of so many texts, one is held out
MOST_CHARACTERS = 4_000_000  # of one set, so that none rules
SHORTEST = 40  # characters; what is shorter is a name or a number, and shows no word in use
ALIKE = 60  # texts whose first letters and digits are the same, so many of them, count as one
# Left out: sets of names, sums and programs; text without punctuation; what was written to hurt.
PROSE = (
    *("21_headline_istrump", "22_headline_isobama", "23_headline_ischina", "24_headline_isiran"),
    *("25_headline_year", "26_headline_isfrontpage", "36_sciq_tf", "41_truthqa_tf"),
    *("42_temp_sense", "44_phys_tf", "45_context_ans", "46_context_type", "48_cm_correct"),
    *("49_cm_isshort", "50_deon_isvalid", "51_just_is", "52_virtue_is", "54_cs_tf", "55_open_qa"),
    *("56_wikidatasex_or_gender", "57_wikidatais_alive", "58_wikidatapolitical_party"),
    *("59_wikidata_occupation_isjournalist", "60_wikidata_occupation_isathlete"),
    *("61_wikidata_occupation_isactor", "62_wikidata_occupation_ispolitician"),
    *("63_wikidata_occupation_issinger", "64_wikidata_occupation_isresearcher"),
    *("65_high-school", "66_living-room", "67_social-security", "68_credit-card"),
    *("69_blood-pressure", "71_social-media", "72_gene-expression", "73_control-group"),
    *("74_magnetic-field", "75_cell-lines", "76_trial-court", "78_north-america"),
    *("79_human-rights", "80_side-effects", "81_public-health", "82_federal-government"),
    *("83_third-party", "84_clinical-trials", "85_mental-health", "86_social_iqa", "87_glue_cola"),
    *("88_glue_mnli", "89_glue_mrpc", "90_glue_qnli", "91_glue_qqp", "92_glue_sst2"),
    *("93_glue_stsb", "97_news_class", "99_sci_cat", "100_news_fake", "101_disease_class"),
    *("102_twt_emotion", "105_click_bait", "110_aimade_humangpt3", "111_yelp_data"),
    *("113_movie_sent", "157_amazon_5star"),
)


@dataclass(frozen=True)
class ProbeTexts:
    """The texts of one part, or of both, in an order that mixes the sets: any beginning is a fair
    sample.
    """

    part: Part | None

    @staticmethod
    def named(source: str) -> "ProbeTexts":
        """Understand `sae-probes`, `sae-probes:train` and `sae-probes:held_out`."""
        parts: dict[str, Part | None] = {SOURCE: None}
        parts |= {f"{SOURCE}:{part}": part for part in get_args(Part)}
        if source not in parts:
            raise BadInput(
                f"{source} names no part of the texts of sae-probes; wanted {' or '.join(parts)}"
            )
        return ProbeTexts(parts[source])

    def __iter__(self) -> Iterator[Document]:
        found = installed_probe_sets()
        if not found:
            raise BadInput(f"the texts of {SOURCE} are not installed; {INSTALL}")
        if missing := [name for name in PROSE if name not in found]:
            raise BadInput(
                f"the sae-probes that is installed lacks {', '.join(missing[:3])}; wanted 0.4.2"
            )
        drawn: dict[bytes, tuple[str, str]] = {}  # in this order, by a hash of how a text begins
        for name in PROSE:
            characters = 0
            for row, text in enumerate(read_probe_set(found[name])["prompt"].to_pylist()):
                if not isinstance(text, str) or len(text) < SHORTEST:
                    continue
                if characters + len(text) > MOST_CHARACTERS:
                    break
                key = _key(text)
                if key not in drawn:
                    drawn[key] = (f"{name}:{row + 1}", text)
                    characters += len(text)
        for key in sorted(drawn):
            held_out = int.from_bytes(key) % HELD_OUT == 0
            if self.part is None or held_out == (self.part == "held_out"):
                name, text = drawn[key]
                yield Document(name, text_pieces(text))


def _key(text: str) -> bytes:
    """What says whether two texts are one, and in which part it is."""
    begin = "".join(letter for letter in text[: 4 * ALIKE].casefold() if letter.isalnum())
    return hashlib.sha256(begin[:ALIKE].encode(errors="surrogatepass")).digest()
