"""Another implementation's endpoint: llama.cpp's own server, in a process of its own, around the
weights of a Llama folder.

`serve_llama(folder)` starts it; its weights are written in its own format first. Grammar-forced
JSON and log-probabilities of what it generates work there; log-probabilities of a prompt's own text
do not. Nothing of transformers or of gloss runs in it.
"""

import json
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

# a name that llama.cpp knows to end a text; it takes `<|start|>` for text, whatever the file says
END = "<|endoftext|>"
TEMPLATE = "{% for message in messages %}# {{ message.content }}\n{% endfor %}"


@contextmanager
def serve_llama(folder: Path, context: int = 4096):
    """The address of the server, without `/v1`; it ends with the block.

    Skips the test where the server is not installed.
    """
    for package in ("xllamacpp", "gguf"):
        pytest.importorskip(
            package, reason=f"{package} is not installed; pip install 'gloss-lm[llama-cpp]'"
        )
    with tempfile.TemporaryDirectory() as scratch:
        write_gguf(folder, Path(scratch) / "model.gguf", context)
        with serve_file(Path(scratch) / "model.gguf", context) as address:
            yield address


@contextmanager
def serve_file(file: Path, context: int):
    """The same of a file in llama.cpp's format."""
    pytest.importorskip(
        "xllamacpp", reason="xllamacpp is not installed; pip install 'gloss-lm[llama-cpp]'"
    )
    command = [sys.executable, __file__, str(file), str(context)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            yield ready(process.stdout.readline().strip())
        finally:
            process.kill()


def ready(address):
    """The address, once the model is loaded."""
    for _ in range(200):
        try:
            with urlopen(f"{address}/health", timeout=5):
                return address
        except URLError:
            time.sleep(0.05)
    raise TimeoutError(f"{address} does not get ready")


def post(address, body):
    """What the server answers to a request of its own kind."""
    request = Request(address, json.dumps(body).encode(), {"content-type": "application/json"})
    with urlopen(request, timeout=30) as reply:
        return json.load(reply)


def write_gguf(folder: Path, target: Path, context: int) -> None:
    """Write a Llama model's folder, byte-level tokenizer included, as one file in llama.cpp's
    format, in 32 bits.

    `context` is what the file says that the model can read; the server takes no longer prompts.
    """
    import gguf
    from safetensors.numpy import load_file

    config = json.loads((folder / "config.json").read_text())
    writer = gguf.GGUFWriter(target, "llama")
    writer.add_context_length(context)
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    add_tokenizer(writer, folder, config["bos_token_id"])
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    for name, weight in load_file(folder / "model.safetensors").items():
        found = names.get_name(name, try_suffixes=(".weight",))
        number = heads.get(name.split(".")[-2])
        writer.add_tensor(
            found, (weight if number is None else interleaved(weight, number)).astype("float32")
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_tokenizer(writer, folder: Path, start: int) -> None:
    """Byte-level pairs, cut before merging as GPT-2 cuts."""
    import gguf

    described = json.loads((folder / "tokenizer.json").read_text())
    special = {token["content"] for token in described["added_tokens"]}
    names = sorted(described["model"]["vocab"], key=described["model"]["vocab"].get)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([END if name in special else name for name in names])
    writer.add_token_types(
        [gguf.TokenType.CONTROL if name in special else gguf.TokenType.NORMAL for name in names]
    )
    writer.add_token_merges(
        [pair if isinstance(pair, str) else " ".join(pair) for pair in described["model"]["merges"]]
    )
    writer.add_bos_token_id(start)
    writer.add_eos_token_id(start)
    writer.add_add_bos_token(True)
    writer.add_chat_template(TEMPLATE)


def interleaved(weight, heads: int):
    """Rows of queries or keys in llama.cpp's order: it rotates neighbouring pairs, transformers the
    two halves of a head.
    """
    return weight.reshape(heads, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def run(model: str, context: int) -> None:
    """Serve until killed; the address is the first thing that is printed."""
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = model
    parameters.model_alias = {"m"}
    parameters.n_ctx = context
    parameters.n_parallel = 1
    parameters.cpuparams.n_threads = 1
    parameters.warmup = False
    # it rounds, up to 0.01 nats
    parameters.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    parameters.cache_type_k = parameters.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    server = xllamacpp.Server(parameters)
    print(server.listening_address, flush=True)
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]))
