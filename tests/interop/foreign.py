"""Small dictionaries of every kind that is read, made by SAELens and sparsify themselves."""

from collections.abc import Callable
from typing import Any

import torch
from sae_lens.saes.abstopk_sae import AbsTopKSAE, AbsTopKSAEConfig
from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
from sae_lens.saes.gated_sae import GatedSAE, GatedSAEConfig
from sae_lens.saes.jumprelu_sae import JumpReLUSAE, JumpReLUSAEConfig
from sae_lens.saes.matching_pursuit_sae import MatchingPursuitSAE, MatchingPursuitSAEConfig
from sae_lens.saes.sae import SAEMetadata
from sae_lens.saes.standard_sae import StandardSAE, StandardSAEConfig
from sae_lens.saes.topk_sae import TopKSAE, TopKSAEConfig
from sae_lens.saes.transcoder import (
    JumpReLUSkipTranscoder,
    JumpReLUSkipTranscoderConfig,
    JumpReLUTranscoder,
    JumpReLUTranscoderConfig,
    SkipTranscoder,
    SkipTranscoderConfig,
    Transcoder,
    TranscoderConfig,
)
from sparsify import SparseCoder, SparseCoderConfig

D_IN, WIDTH, D_OUT, TOKENS = 6, 16, 5, 12
SAE_SITE = {"hook_name": "blocks.1.hook_resid_post", "model_name": "tiny"}
TRANSCODER_SITES = {
    "hook_name": "blocks.1.mlp.hook_in",
    "hook_name_out": "blocks.1.hook_mlp_out",
    "model_name": "tiny",
}


def filled(coder: Any, generator: torch.Generator) -> Any:
    """The same with every parameter drawn anew: biases, thresholds and skip paths begin at 0, where
    faults do not show.
    """
    with torch.no_grad():
        for name, parameter in coder.named_parameters():
            drawn = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(drawn.abs() * 0.5 if name == "threshold" else drawn)
    return coder


def sae(kind: Any, configuration: Any, **settings: Any) -> Callable[[torch.Generator], Any]:
    return lambda generator: filled(
        kind(configuration(d_in=D_IN, d_sae=WIDTH, metadata=SAEMetadata(**SAE_SITE), **settings)),
        generator,
    )


def transcoder(kind: Any, configuration: Any) -> Callable[[torch.Generator], Any]:
    stated = {"d_in": D_IN, "d_sae": WIDTH, "d_out": D_OUT, "apply_b_dec_to_input": False}
    return lambda generator: filled(
        kind(configuration(metadata=SAEMetadata(**TRANSCODER_SITES), **stated)), generator
    )


def sparse_coder(**settings: Any) -> Callable[[torch.Generator], Any]:
    stated = {"num_latents": WIDTH, "k": 4} | settings
    return lambda generator: filled(SparseCoder(D_IN, SparseCoderConfig(**stated)), generator)


SAE_LENS_KINDS = {
    "standard": sae(StandardSAE, StandardSAEConfig),
    "standard_bias_kept": sae(StandardSAE, StandardSAEConfig, apply_b_dec_to_input=False),
    "standard_layer_norm": sae(StandardSAE, StandardSAEConfig, normalize_activations="layer_norm"),
    "standard_constant_norm": sae(
        StandardSAE, StandardSAEConfig, normalize_activations="constant_norm_rescale"
    ),
    "topk": sae(TopKSAE, TopKSAEConfig, k=4),
    "topk_rescaled": sae(TopKSAE, TopKSAEConfig, k=4, rescale_acts_by_decoder_norm=True),
    "jumprelu": sae(JumpReLUSAE, JumpReLUSAEConfig),
    "gated": sae(GatedSAE, GatedSAEConfig),
    "transcoder": transcoder(Transcoder, TranscoderConfig),
    "skip_transcoder": transcoder(SkipTranscoder, SkipTranscoderConfig),
    "jumprelu_transcoder": transcoder(JumpReLUTranscoder, JumpReLUTranscoderConfig),
    "jumprelu_skip_transcoder": transcoder(JumpReLUSkipTranscoder, JumpReLUSkipTranscoderConfig),
}

# What is read here and cannot be written back, or only as another kind.
READ_ALONE = {
    "abstopk": sae(AbsTopKSAE, AbsTopKSAEConfig, k=4),
    "abstopk_rescaled": sae(AbsTopKSAE, AbsTopKSAEConfig, k=4, rescale_acts_by_decoder_norm=True),
    "matching_pursuit": sae(
        MatchingPursuitSAE, MatchingPursuitSAEConfig, residual_threshold=0.5, max_iterations=5
    ),
    "matching_pursuit_repeats": sae(
        MatchingPursuitSAE,
        MatchingPursuitSAEConfig,
        residual_threshold=0.0,
        max_iterations=3,
        stop_on_duplicate_support=False,
    ),
}


def trained_batch_topk(generator: torch.Generator) -> Any:
    """A checkpoint of training, whose threshold is still that of training."""
    configuration = BatchTopKTrainingSAEConfig(
        d_in=D_IN, d_sae=WIDTH, metadata=SAEMetadata(**SAE_SITE), k=4
    )
    coder = filled(BatchTopKTrainingSAE(configuration), generator)
    coder.topk_threshold.fill_(0.7)
    return coder


SPARSIFY_KINDS = {
    "topk": sparse_coder(),
    "topk_by_expansion": sparse_coder(num_latents=0, expansion_factor=3),
    "groupmax": sparse_coder(activation="groupmax"),
    "transcoder": sparse_coder(transcode=True),
    "skip_transcoder": sparse_coder(transcode=True, skip_connection=True),
}


@torch.no_grad()
def expectations(coder: Any) -> dict[str, torch.Tensor]:
    """An input, and what the library makes of it: the dense encoding and the reconstruction."""
    x = 2 * torch.randn(TOKENS, D_IN, generator=torch.Generator().manual_seed(1)) + 0.5
    if isinstance(coder, SparseCoder):
        acts, indices, _ = coder.encode(x)
        dense = torch.zeros(TOKENS, coder.num_latents).scatter_(1, indices, acts)
        return {"x": x, "encoded": dense, "reconstructed": coder(x).sae_out}
    return {"x": x, "encoded": coder.encode(x), "reconstructed": coder(x)}
