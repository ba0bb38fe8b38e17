"""What a model says once it has thought: thoughts come in tags, in channels, or in a field of their
own, and are no answer.
"""

import re
from dataclasses import dataclass

NAMES = (
    "think|thinking|thought|thoughts|reason|reasoning|reflection|analysis|scratchpad"
    "|chain_of_thought|cot|thought_process|thinking_process|(?:inner_|internal_)?monologue"
)
OPENS = (
    rf"<(?:\w+:)?(?:{NAMES})(?:\s[^<>]*)?>",
    rf"\[(?:{NAMES})\]",  # Magistral
    r"◁think▷",  # Kimi
    rf"<\|(?:begin_of_|start_)?(?:{NAMES})\|>",  # OpenThinker, Command
    r"<\|channel>thought\b",  # Gemma 4
    r"<unused94>thought\b",  # Gemma 3
)
CLOSES = (
    rf"</(?:\w+:)?(?:{NAMES})\s*>",
    rf"\[/(?:{NAMES})\]",
    r"◁/think▷",
    rf"<\|(?:/|end_of_|end_)(?:{NAMES})\|>",
    r"<channel\|>",
    r"<unused95>",
)
QUOTED = r"[`\"'“”‘’]"  # a tag between quotes is spoken of, and opens nothing
MARK = re.compile(
    rf"(?<!{QUOTED})(?:(?P<opens>{'|'.join(OPENS)})|(?:{'|'.join(CLOSES)}))(?!{QUOTED})",
    re.IGNORECASE,
)
CHANNEL = re.compile(  # gpt-oss
    r"<\|channel\|>\s*(analysis|commentary|final)(?:[^<\n]*(?:<\|constrain\|>[^<\n]*)?<\|message\|>)?",
    re.IGNORECASE,
)
TURN = re.compile(r"<\|(?:end|return|start|call|eot_id|im_end)\|>.*", re.DOTALL)
# gpt-oss without its special tokens
BARE_CHANNELS = re.compile(r"\A\s*analysis.*assistant\s*final", re.DOTALL)
FINAL = "final"


@dataclass(frozen=True, slots=True)
class AnswerWithoutThoughts:
    """An answer without thoughts, empty where there is nothing else, and whether there were any."""

    text: str
    thought: bool


def strip_thoughts(text: str) -> AnswerWithoutThoughts:
    """What is said beside the thoughts.

    A thought that is not closed reaches to the end; one that is not opened, from the start.
    Applied to its own result this changes nothing.
    """
    channels = list(CHANNEL.finditer(text))
    if channels:
        finals = [found for found in channels if found[1].lower() == FINAL]
        said = TURN.sub("", text[finals[-1].end() :]) if finals else ""
        return AnswerWithoutThoughts(strip_thoughts(said).text, thought=len(channels) > len(finals))
    if bare := BARE_CHANNELS.match(text):
        return AnswerWithoutThoughts(text[bare.end() :].strip(), thought=True)
    kept: list[str] = []
    inside, seen, at = False, False, 0
    for mark in MARK.finditer(text):
        seen = True
        if mark["opens"] and not inside:
            kept.append(text[at : mark.start()])
            inside = True
        elif not mark["opens"]:
            if not inside:
                kept.clear()
            inside = False
        at = mark.end()
    if not inside:
        kept.append(text[at:])
    return AnswerWithoutThoughts("".join(kept).strip() if seen else text.strip(), seen)
