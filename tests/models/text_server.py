"""A reference endpoint for plain text: a process of its own that continues texts and says how
likely each token of them is.

`serve_texts(brain, **settings)` starts it. The brain "subject" is a folder's model, run by
transformers alone; "simulator" and "surprised" know their answers and need no weights. The first
part of the address says how the server treats those who ask for log-probabilities of the prompt:
`vllm`, `echo`, `both`; `dropped` (ignored without a word), `refused` (422), `shifted` (each token
under the logits after it, as one server in the wild does), `silent` (no log-probabilities
whatever).
"""

import hashlib
import json
import math
import re
from contextlib import contextmanager

from forking import forking


@contextmanager
def serve_texts(brain, **settings):
    """The address of a server process, without the form: f"{address}/vllm/v1".

    It ends with the block.
    """
    receiving, sending = forking().Pipe(duplex=False)
    process = forking().Process(target=be_server, args=(settings | {"brain": brain}, sending))
    process.start()
    sending.close()
    try:
        with receiving:
            port = receiving.recv()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.join()


class SubjectBrain:
    """Transformers' own forward pass."""

    def __init__(self, settings):
        import torch
        from tokenizers import Tokenizer
        from transformers import AutoModelForCausalLM

        torch.set_num_threads(1)
        folder = settings["folder"]
        self.torch = torch
        self.tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.start = settings.get("start")

    def ids(self, text):
        return [
            *([] if self.start is None else [self.start]),
            *self.tokenizer.encode(text, add_special_tokens=False).ids,
        ]

    def named(self, token):
        return self.tokenizer.decode([token], skip_special_tokens=False)

    def logprobs(self, ids):
        with self.torch.no_grad():
            return self.model(input_ids=self.torch.tensor([ids])).logits[0].log_softmax(-1)

    def scored(self, text, number, *, shifted):
        ids = self.ids(text)
        table = self.logprobs(ids)
        found = [(ids[0], None, [])]
        for place in range(1, len(ids)):
            row = table[place] if shifted else table[place - 1]
            found.append((ids[place], float(row[ids[place]]), self.best(row, number)))
        return [(str(token), self.named(token), value, others) for token, value, others in found]

    def best(self, row, number):
        top = row.topk(max(1, number))
        return [
            (str(t), self.named(t), v)
            for t, v in zip(top.indices.tolist(), top.values.tolist(), strict=True)
        ]

    def continued(self, text, number, wanted):
        ids = self.ids(text)
        found = []
        for _ in range(number):
            row = self.logprobs(ids)[-1]
            token = int(row.argmax())
            found.append(
                (
                    self.named(token),
                    float(row[token]),
                    [(n, v) for _, n, v in self.best(row, wanted)],
                )
            )
            ids.append(token)
        return found


def share(text):
    """A number from 0 to 1 that depends on the text alone."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 16**8


class KnowingBrain:
    """Texts cut into words.

    How likely each is depends on the word, and on what the settings say is true.
    """

    def __init__(self, settings):
        # from 0 to 10, by the text up to and including the token
        self.truth = settings.get("truth", {})
        self.settings = settings

    def words(self, text):
        return re.findall(r"\w+|\s|[^\w\s]", text)

    def usual(self, word):
        return -3.0 - share(word)

    def value(self, explanation, text, piece):
        if "truth" in self.settings:
            return self.truth.get(text, 0.0)
        if self.settings.get("guess"):
            return 10 * share(explanation + text)
        return 10.0 * (piece.strip() == re.search("`(.*?)`", explanation)[1])

    def numbers(self, value):
        low = math.floor(value)
        weights = {low: 1 - (value - low), low + 1: value - low}
        return [(str(n), math.log(w)) for n, w in weights.items() if w > 0] + [("?", -0.01)]

    def continued(self, text, number, wanted):
        return [
            (word, self.usual(word), [])
            for word in [" ", "harbour", " ", "ships", " ", "of", " ", "tin"][:number]
        ]

    def scored(self, text, number, *, shifted):
        words = self.words(text)
        values = [(word, self.usual(word), []) for word in words]
        values = (
            self.simulated(text, values) if "Explanation:" in text else self.surprised(text, values)
        )
        return [(word, word, None if place == 0 else value, [(o, o, v) for o, v in others])
                for place, (word, value, others) in enumerate(values)]  # fmt: skip

    def simulated(self, text, values):
        start = text.rfind("Explanation:")
        head, *lines = text[start:].splitlines()
        so_far, found = "", []
        for line in lines:
            piece = line.removesuffix("\t?").replace("\\n", "\n")
            so_far += piece
            found.append(self.numbers(self.value(head, so_far, piece)))
        at, rest = 0, iter(found)
        changed = []
        for word, value, others in values:
            unknown = at > start and word == "?" and text[at - 1] == "\t"
            changed.append((word, value, next(rest) if unknown else others))
            at += len(word)
        return changed

    def surprised(self, text, values):
        told = re.findall("Description: (.*)", text)
        named = re.search("`(.*?)`", told[-1]) if told else None
        return [(w, -1.0 if named and w == named[1] else v, others) for w, v, others in values]

    def chat(self, prompt):
        """The answer's text, and the alternatives of its first token."""
        explanation = re.search("(?m)^Explanation: (.*)$", prompt)
        if explanation is None:
            return "hello", [("hello", -0.1), ("bye", -3.0)]
        explanation = f"Explanation: {explanation[1]}"
        if last := re.search('(?m)^Text: (".*")\nLast token: (".*")$', prompt):
            value = self.value(explanation, json.loads(last[1]), json.loads(last[2]))
            return str(round(value)), self.numbers(value)
        so_far, answer = "", {}
        for number, piece in re.findall(r'(?m)^(\d+): (".*")$', prompt):
            so_far += json.loads(piece)
            if value := round(self.value(explanation, so_far, json.loads(piece))):
                answer[number] = value
        return json.dumps({"activations": answer}), []


def fails(settings, text):
    """Whether the settings have this prompt fail."""
    return (
        "Say hello" not in text
        and "keeper of the old lighthouse" not in text
        and share(text) < settings.get("fails", 0)
    )


def completion(brain, settings, form, body):
    """The response to a completions request, and its status."""
    text = body["prompt"]
    if fails(settings, text):
        return {"error": {"message": "this one fails"}}, 400
    asks_vllm, asks_echo = "prompt_logprobs" in body, body.get("echo")
    if form == "refused" and (asks_vllm or asks_echo):
        return {"error": {"message": "extra fields not permitted"}}, 422
    new = brain.continued(text, body["max_tokens"], body.get("logprobs") or 1)
    choice = {"index": 0, "text": "".join(token for token, *_ in new), "finish_reason": "length"}
    entries = [
        (None, token, value, [(None, o, v) for o, v in others]) for token, value, others in new
    ]
    shifted = form == "shifted"
    if asks_echo and form in ("echo", "both", "shifted"):
        choice["text"] = text + choice["text"]
        entries = brain.scored(text, body["logprobs"], shifted=shifted) + entries
    if body.get("logprobs") is not None and form != "silent":
        choice["logprobs"] = {
            "tokens": [token for _, token, _, _ in entries],
            "token_logprobs": [value for _, _, value, _ in entries],
            "top_logprobs": [{o: v for _, o, v in others} or None for *_, others in entries],
        }
    if asks_vllm and form in ("vllm", "both"):
        choice["prompt_logprobs"] = [
            (
                None
                if value is None
                else vllm_entry(key, token, value, others[: body["prompt_logprobs"]])
            )
            for key, token, value, others in brain.scored(
                text, body["prompt_logprobs"], shifted=False
            )
        ]
    return {
        "id": "x",
        "object": "text_completion",
        "created": 0,
        "model": "m",
        "choices": [choice],
    }, 200


def vllm_entry(key, token, value, others):
    """One position as vLLM gives it: the prompt's token first, then the likeliest ones."""
    entry = {key: {"logprob": value, "rank": 1, "decoded_token": token}}
    for rank, (other, name, logprob) in enumerate(others, start=1):
        entry.setdefault(other, {"logprob": logprob, "rank": rank, "decoded_token": name})
    return entry


def chat_completion(brain, settings, form, body):
    """The response to a chat request, and its status."""
    prompt = body["messages"][-1]["content"]
    if fails(settings, prompt):
        return {"error": {"message": "this one fails"}}, 400
    if not hasattr(brain, "chat"):
        return {"error": {"message": "no chat template"}}, settings.get("status", 400)
    text, alternatives = brain.chat(prompt)
    if "response_format" in body and form == "both":
        answers = body["response_format"]["json_schema"]["schema"]["properties"]["answers"]
        text = json.dumps({"answers": answers["items"]["enum"][:1] * answers["minItems"]})
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": "stop",
    }
    if body.get("logprobs") and form not in ("silent", "dropped"):
        top = [{"token": token, "logprob": value} for token, value in alternatives]
        choice["logprobs"] = {"content": [{"token": text, "logprob": -0.1, "top_logprobs": top}]}
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [choice],
    }, 200


def application(settings):
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    brain = SubjectBrain(settings) if settings["brain"] == "subject" else KnowingBrain(settings)

    def answering(respond):
        async def endpoint(request):
            content, status = respond(
                brain, settings, request.path_params["form"], await request.json()
            )
            return JSONResponse(content, status)

        return endpoint

    return Starlette(
        routes=[
            Route("/{form}/v1/completions", answering(completion), methods=["POST"]),
            Route("/{form}/v1/chat/completions", answering(chat_completion), methods=["POST"]),
        ]
    )


def be_server(settings, sending):
    """Serves on a port that it tells first, until it is killed."""
    import socket

    import uvicorn

    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    app = application(settings)
    with sending:
        sending.send(listening.getsockname()[1])
    uvicorn.Server(uvicorn.Config(app, log_level="critical")).run(sockets=[listening])
