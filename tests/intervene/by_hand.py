"""Tiny random models and dictionaries made by hand, whose effects are known beforehand."""

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, PreTrainedConfig

from gloss.models.dictionary import SparseCoder, Weights
from gloss.models.sites import Site
from gloss.models.sparse_codes import LargestK, Selection
from gloss.models.subject import Subject
from gloss.records import FeatureId

D_MODEL, VOCABULARY, LAYERS = 32, 99, 3
LAST = Site("resid_post", LAYERS - 1)
MIDDLE = Site("resid_post", 1)
NAME = FeatureId("by hand", 0)


def make_subject(configuration: PreTrainedConfig) -> Subject:
    """A random model with rows of the unembedding of one length, whose sequences begin with token
    0.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(configuration)
        for parameter in model.parameters():
            parameter.data += torch.randn_like(parameter) * (0.3 if parameter.ndim == 1 else 0.1)
        rows = model.get_output_embeddings().weight.data
        rows *= 4 / rows.norm(dim=1, keepdim=True)
    words = {f"w{n}": n for n in range(VOCABULARY)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="w1"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return Subject(model, tokenizer, start_token=0)


def llama_like() -> PreTrainedConfig:
    return LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=D_MODEL,
        intermediate_size=48,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        max_position_embeddings=48,
        bos_token_id=0,
        eos_token_id=None,
    )


def gpt2_like() -> PreTrainedConfig:
    return GPT2Config(
        vocab_size=VOCABULARY,
        n_embd=D_MODEL,
        n_layer=LAYERS,
        n_head=4,
        n_positions=48,
        bos_token_id=0,
        eos_token_id=None,
        tie_word_embeddings=False,
    )


def dictionary_of(*decoder_directions: Tensor, site: Site = LAST) -> SparseCoder:
    """A dictionary of these decoder directions that never fires by itself."""
    rows = torch.stack(decoder_directions).float()
    inactive = Weights(
        torch.zeros_like(rows), torch.zeros(len(rows)), rows, torch.zeros(rows.shape[1])
    )
    return SparseCoder(site, site, inactive, LargestK(1))


def busy_dictionary(
    site: Site = MIDDLE, selection: Selection | None = None, **others: object
) -> SparseCoder:
    """Twenty random features, four of which fire at each token, with an error and biases."""
    drawn = torch.Generator().manual_seed(2)
    encoder, decoder_directions = (
        torch.randn(20, D_MODEL, generator=drawn),
        torch.randn(20, D_MODEL, generator=drawn),
    )
    weights = Weights(
        encoder,
        torch.randn(20, generator=drawn),
        decoder_directions,
        torch.randn(D_MODEL, generator=drawn),
    )
    return SparseCoder(site, site, weights, selection or LargestK(4), **others)
