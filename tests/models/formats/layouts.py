"""Small checkpoints of every kind that is read, in the layout of the library that publishes them,
each with what that library's formula makes of an input, in plain torch.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

D, WIDTH, TOKENS = 6, 16, 40


@dataclass
class Layout:
    """Where a checkpoint lies, and what is right for the input `x`."""

    place: Path
    x: Tensor
    codes: Tensor
    reconstruction: Tensor
    reads: str
    writes: str
    site: str | None = None  # that must be given
    tails: bool = False  # whether features stand for signs of the library's


class Drawn:
    """Weights of one seed, features first, and what several formulas have in common."""

    def __init__(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)

        def draw(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator)

        self.encoder, self.decoder = draw(WIDTH, D), draw(WIDTH, D)
        self.encoder_bias, self.bias = draw(WIDTH) / 2, draw(D)
        self.thresholds, self.skip = draw(WIDTH).abs(), draw(D, D)
        self.r_mag, self.b_mag = draw(WIDTH) / 2, draw(WIDTH) / 2
        self.x = 2 * draw(TOKENS, D) + 0.5

    def pre(self, *, subtracts: bool = False, x: Tensor | None = None) -> Tensor:
        given = self.x if x is None else x
        return (given - self.bias * subtracts) @ self.encoder.T + self.encoder_bias

    def made(self, codes: Tensor) -> Tensor:
        return codes @ self.decoder + self.bias


def relu(pre: Tensor) -> Tensor:
    return pre.clamp_min(0)


def jump(pre: Tensor, threshold: Tensor | float) -> Tensor:
    return relu(pre) * (pre > threshold)


def topk(pre: Tensor, k: int) -> Tensor:
    kth = pre.sort(dim=1, descending=True).values[:, k - 1 : k]
    return relu(pre) * (pre >= kth)


def write_json(file: Path, content: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


def write_tensors(file: Path, tensors: dict[str, Tensor]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    plain = {name: value.contiguous().clone() for name, value in tensors.items()}
    if file.suffix == ".safetensors":
        save_file(plain, file)
    elif file.suffix == ".npz":
        np.savez(file, **{name: value.numpy() for name, value in plain.items()})
    else:
        torch.save(plain, file)


def matrices(w: Drawn, **more: Tensor) -> dict[str, Tensor]:
    """By the names and orientation of SAELens and of Gemma Scope."""
    return {
        "W_enc": w.encoder.T,
        "b_enc": w.encoder_bias,
        "W_dec": w.decoder,
        "b_dec": w.bias,
        **more,
    }


def layers(w: Drawn, encoder: str = "encoder", decoder: str = "decoder") -> dict[str, Tensor]:
    """Of two linear layers."""
    return {
        f"{encoder}.weight": w.encoder,
        f"{encoder}.bias": w.encoder_bias,
        f"{decoder}.weight": w.decoder.T,
        f"{decoder}.bias": w.bias,
    }


# SAELens


def sae_lens_at(folder: Path, tensors: dict[str, Tensor], **settings: object) -> Path:
    out = {"hook_name_out": "blocks.1.hook_mlp_out"} if "d_out" in settings else {}
    hook = "blocks.1.mlp.hook_in" if out else "blocks.1.hook_resid_post"
    metadata = {"sae_lens_version": "6.12.0", "hook_name": hook, "model_name": "m"} | out
    stated = {"d_in": D, "d_sae": WIDTH, "dtype": "float32", "normalize_activations": "none"}
    write_json(folder / "cfg.json", {**stated, "metadata": metadata, **settings})
    write_tensors(folder / "sae_weights.safetensors", tensors)
    return folder


def sae_lens(architecture: str) -> Callable[[Path, Drawn], Layout]:
    def made(folder: Path, w: Drawn) -> Layout:
        transcodes = "transcoder" in architecture
        pre, out, more = w.pre(subtracts=not transcodes), 0.0, dict[str, Tensor]()
        settings: dict[str, object] = {"d_out": D} if transcodes else {}
        site = ("mlp_in.1", "mlp_out.1") if transcodes else ("resid_post.1", "resid_post.1")
        if "skip" in architecture:
            more["W_skip"], out = w.skip, w.x @ w.skip.T
        if "jumprelu" in architecture:
            more["threshold"], codes = w.thresholds, jump(pre, w.thresholds)
        elif architecture == "topk":
            settings |= {"k": 4, "rescale_acts_by_decoder_norm": False}
            codes = topk(pre, 4)
        elif architecture == "abstopk":
            settings |= {"k": 4, "rescale_acts_by_decoder_norm": False}
            codes = topk(pre.abs(), 4) * pre.sign()
        elif "batchtopk" in architecture:
            settings |= {"k": 4.5, "topk_threshold_lr": 0.01, "rescale_acts_by_decoder_norm": False}
            settings |= {"matryoshka_widths": [8, 16]} if "matryoshka" in architecture else {}
            more["topk_threshold"], codes = torch.tensor(0.7).double(), jump(pre, 0.7)
        else:
            codes = relu(pre)
        settings |= {"architecture": architecture, "apply_b_dec_to_input": not transcodes}
        place = sae_lens_at(folder / "sae", matrices(w, **more), **settings)
        tails = architecture == "abstopk"
        return Layout(place, w.x, codes, w.made(codes) + out, *site, tails=tails)

    return made


def sae_lens_gated(folder: Path, w: Drawn) -> Layout:
    inside = (w.x - w.bias) @ w.encoder.T
    open_ = (inside + w.encoder_bias > 0).float()
    codes = open_ * relu((w.x - w.bias) @ (w.encoder.T * w.r_mag.exp()) + w.b_mag)
    tensors = matrices(w, b_gate=w.encoder_bias, r_mag=w.r_mag, b_mag=w.b_mag)
    del tensors["b_enc"]
    place = sae_lens_at(folder / "sae", tensors, architecture="gated")
    return Layout(place, w.x, codes, w.made(codes), "resid_post.1", "resid_post.1")


def pursued(x: Tensor, directions: Tensor, most: int, enough: float) -> Tensor:
    """One token after the other, as one would by hand."""
    codes = torch.zeros(len(x), len(directions))
    for code, left in zip(codes, x.clone(), strict=True):
        for _ in range(most):
            products = relu(directions @ left)
            best = int(products.argmax())
            again = bool(code[best] != 0) or float(products[best]) == 0
            code[best] += products[best]
            left -= products[best] * directions[best]
            if again or float(left.norm()) < enough:
                break
    return codes


def sae_lens_matching_pursuit(folder: Path, w: Drawn) -> Layout:
    unit = w.decoder / w.decoder.norm(dim=1, keepdim=True)
    codes = pursued(w.x - w.bias, unit, 5, 0.8)
    settings = {"residual_threshold": 0.8, "max_iterations": 5, "stop_on_duplicate_support": True}
    tensors = {"W_dec": unit, "b_dec": w.bias}
    place = sae_lens_at(folder / "sae", tensors, architecture="matching_pursuit", **settings)
    return Layout(place, w.x, codes, codes @ unit + w.bias, "resid_post.1", "resid_post.1")


# sparsify


def sparsify(**settings: object) -> Callable[[Path, Drawn], Layout]:
    def made(folder: Path, w: Drawn) -> Layout:
        transcodes = bool(settings.get("transcode"))
        pre, out = relu(w.pre(subtracts=not transcodes)), 0.0
        if settings.get("activation") == "groupmax":
            groups = pre.unflatten(1, (4, 4))
            codes = (groups * (groups == groups.amax(2, keepdim=True))).flatten(1)
        else:
            codes = topk(pre, 4)
        tensors = layers(w) | {"W_dec": w.decoder, "b_dec": w.bias}
        del tensors["decoder.weight"], tensors["decoder.bias"]
        if settings.get("skip_connection"):
            tensors["W_skip"], out = w.skip, w.x @ w.skip.T
        place = folder / "layers.1.mlp"
        stated = {"activation": "topk", "d_in": D, "k": 4, "num_latents": WIDTH, "signed": False}
        stated |= {"expansion_factor": 32, "normalize_decoder": True, "multi_topk": False}
        write_json(place / "cfg.json", stated | settings)
        write_tensors(place / "sae.safetensors", tensors)
        reads = "mlp_in.1" if transcodes else "mlp_raw.1"
        return Layout(place, w.x, codes, w.made(codes) + out, reads, "mlp_raw.1")

    return made


# Gemma Scope


def gemma_scope(what: str, site: str) -> Callable[[Path, Drawn], Layout]:
    def made(folder: Path, w: Drawn) -> Layout:
        repository = folder / f"models--google--gemma-scope-2b-pt-{what}" / "snapshots" / "0"
        place = repository / "layer_1" / "width_16k" / "average_l0_71"
        write_tensors(place / "params.npz", matrices(w, threshold=w.thresholds))
        codes = jump(w.pre(), w.thresholds)
        return Layout(place, w.x, codes, w.made(codes), site, site)

    return made


def gemma_scope_embedding(folder: Path, w: Drawn) -> Layout:
    place = folder / "gemma-scope-2b-pt-res" / "embedding" / "width_4k" / "average_l0_21"
    write_tensors(place / "params.npz", matrices(w, threshold=w.thresholds))
    codes = jump(w.x @ w.encoder.T / D**0.5 + w.encoder_bias, w.thresholds)
    made = codes @ w.decoder * D**0.5 + w.bias
    return Layout(place, w.x, codes, made, "resid_pre.0", "resid_pre.0")


def gemma_scope_2(
    what: str, reads: str, writes: str, hooks: tuple[str, ...] = ()
) -> Callable[[Path, Drawn], Layout]:
    def made(folder: Path, w: Drawn) -> Layout:
        place = folder / f"{what.partition('_affine')[0]}_all" / "layer_1_width_16k_l0_small"
        affine, codes = what.endswith("affine"), jump(w.pre(), w.thresholds)
        tensors = {name.lower(): value for name, value in matrices(w).items()}
        tensors["threshold"], out = w.thresholds, 0.0
        if affine:
            tensors["affine_skip_connection"], out = w.skip, w.x @ w.skip
        write_tensors(place / "params.safetensors", tensors)
        if hooks:
            names = zip(("hf_hook_point_in", "hf_hook_point_out"), hooks, strict=False)
            stated = {"architecture": "jump_relu", "model_name": "google/gemma-3-4b-pt"}
            stated |= {name: f"model.layers.1.{hook}" for name, hook in names}
            write_json(place / "config.json", stated | {"affine_connection": affine})
        return Layout(place, w.x, codes, w.made(codes) + out, reads, writes)

    return made


# dictionary_learning


def dictionary_learning(name: str) -> Callable[[Path, Drawn], Layout]:
    def made(folder: Path, w: Drawn) -> Layout:
        subtracts = name not in ("AutoEncoderNew", "JumpReluAutoEncoder")
        pre, tensors = w.pre(subtracts=subtracts), layers(w)
        del tensors["decoder.bias"]
        match name:
            case "AutoEncoder":
                tensors["bias"], codes = w.bias, relu(pre)
            case "AutoEncoderNew":
                tensors["decoder.bias"], codes = w.bias, relu(pre)
            case "GatedAutoEncoder":
                del tensors["encoder.bias"]
                tensors |= {"decoder_bias": w.bias, "r_mag": w.r_mag}
                tensors |= {"gate_bias": w.encoder_bias, "mag_bias": w.b_mag}
                inside = (w.x - w.bias) @ w.encoder.T
                codes = (pre > 0) * relu(w.r_mag.exp() * inside + w.b_mag)
            case "JumpReluAutoEncoder":
                tensors, codes = matrices(w, threshold=w.thresholds), jump(pre, w.thresholds)
            case "AutoEncoderTopK":
                tensors |= {"b_dec": w.bias, "k": torch.tensor(4), "threshold": torch.tensor(0.3)}
                codes = topk(pre, 4)
            case "BatchTopKSAE":
                tensors |= {"b_dec": w.bias, "k": torch.tensor(4), "threshold": torch.tensor(0.7)}
                codes = jump(pre, 0.7)
            case _:
                groups = {"group_sizes": torch.tensor([4, 12]), "k": torch.tensor(4)}
                tensors = matrices(w, threshold=torch.tensor(0.7), **groups)
                codes = jump(pre, 0.7)
        place = folder / "resid_post_layer_1" / "trainer_0"
        trainer = {"dict_class": name, "trainer_class": "T", "activation_dim": D, "layer": 1}
        trainer |= {"dict_size": WIDTH, "lm_name": "m", "submodule_name": "resid_post_layer_1"}
        trainer |= {"k": 4} if "k" in tensors else {}
        write_json(place / "config.json", {"trainer": trainer, "buffer": {"ctx_len": 128}})
        write_tensors(place / "ae.pt", tensors)
        return Layout(place, w.x, codes, w.made(codes), "resid_post.1", "resid_post.1")

    return made


# circuit-tracer


def circuit_tracer(kind: str) -> Callable[[Path, Drawn], Layout]:
    def made(folder: Path, w: Drawn) -> Layout:
        settings = {"model_name": "m", "model_kind": "transcoder_set", "scan": "m"}
        settings |= {"feature_input_hook": "mlp.hook_in", "feature_output_hook": "mlp.hook_out"}
        tensors, pre, out = matrices(w, W_enc=w.encoder), w.pre(), 0.0
        codes = relu(pre)
        if kind == "JumpReLU":
            tensors["activation_function.threshold"] = w.thresholds
            codes = jump(pre, w.thresholds)
        elif kind == "TopK":
            settings |= {"activation": "topk", "k": 4}
            codes = topk(pre, 4)
        elif kind == "skip":
            tensors["W_skip"], out = w.skip, w.x @ w.skip.T
        place = folder / "transcoders"
        for layer in (0, 1):
            write_tensors(place / f"layer_{layer}.safetensors", tensors)
        (place / "config.yaml").write_text(yaml.safe_dump(settings))
        place = place / "layer_1.safetensors"
        return Layout(place, w.x, codes, w.made(codes) + out, "mlp_in.1", "mlp_raw.1")

    return made


def circuit_tracer_layers(kind: str) -> Callable[[Path, Drawn], Layout]:
    """Two layers of 8 features, whose vectors have 3 numbers."""

    def made(folder: Path, w: Drawn) -> Layout:
        place, encoder, decoder = folder / "clt", w.encoder[:, :3], w.decoder.clone()
        decoder[8:, :3] = 0
        pre = torch.cat([w.x[:, :3] @ encoder[:8].T, w.x[:, 3:] @ encoder[8:].T], dim=1)
        pre = pre + w.encoder_bias
        for layer, own in enumerate((slice(0, 8), slice(8, 16))):
            tensors = {"W_enc": encoder[own], "b_enc": w.encoder_bias[own]}
            tensors["b_dec"] = w.bias[3 * layer : 3 * layer + 3]
            if kind == "JumpReLU":
                tensors["threshold"] = w.thresholds[own]
            named = {f"{name}_{layer}": tensor for name, tensor in tensors.items()}
            write_tensors(place / f"W_enc_{layer}.safetensors", named)
            later = decoder[own, 3 * layer :].reshape(8, 2 - layer, 3)
            write_tensors(place / f"W_dec_{layer}.safetensors", {f"W_dec_{layer}": later})
        settings = {"model_name": "m", "model_kind": "cross_layer_transcoder", "scan": "m"}
        settings |= {"feature_input_hook": "hook_resid_mid", "feature_output_hook": "hook_mlp_out"}
        (place / "config.yaml").write_text(yaml.safe_dump(settings))
        codes = relu(pre) if kind == "ReLU" else jump(pre, w.thresholds)
        sites = ("resid_mid.0+resid_mid.1", "mlp_out.0+mlp_out.1")
        return Layout(place, w.x, codes, codes @ decoder + w.bias, *sites)

    return made


def crosscoder(folder: Path, w: Drawn) -> Layout:
    """Of two sites of 3 numbers each."""
    place, site = folder / "crosscoder", "resid_post.1+resid_post.2"
    tensors = {"encoder.weight": w.encoder.T.reshape(2, 3, WIDTH), "encoder.bias": w.encoder_bias}
    tensors["decoder.weight"] = torch.stack([w.decoder[:, :3], w.decoder[:, 3:]])
    tensors |= {"decoder.bias": w.bias.reshape(2, 3), "code_normalization_id": torch.tensor(1)}
    write_tensors(place / "model.safetensors", tensors)
    write_json(
        place / "config.json",
        {"activation_dim": 3, "dict_size": WIDTH, "num_layers": 2, "norm_init_scale": 1.0},
    )
    codes = relu(w.pre())
    return Layout(place, w.x, codes, w.made(codes), site, site, site=site)


# gloss' own


def hyperdimensional(folder: Path, w: Drawn) -> Layout:
    """Two roles of eight fillers, and hypervectors of 16 numbers from 16 hidden units."""
    place, generator = folder / "probe", torch.Generator().manual_seed(3)
    signs = torch.randn(10, WIDTH, generator=generator).sign()
    second = torch.randn(WIDTH, WIDTH, generator=generator)
    tensors = {"centre": w.bias, "scale": torch.tensor(2.0), "first": w.encoder}
    tensors |= {"first_bias": w.encoder_bias, "second": second, "second_bias": w.r_mag}
    tensors |= {"roles": signs[:2], "fillers": signs[2:]}
    tensors |= {"decoder_directions": w.decoder, "bias": w.bias}
    write_tensors(place / "probe.safetensors", tensors)
    names = {"roles": ["who", "where"], "fillers": list("abcdefgh")}
    write_json(place / "cfg.json", {"site": "resid_post.1", **names})
    given = (w.x - w.bias) / 2 @ w.encoder.T + w.encoder_bias
    made = torch.nn.functional.gelu(given) @ second.T + w.r_mag
    codes = torch.zeros(TOKENS, 2, 8)
    for role in range(2):
        cosine = torch.nn.functional.cosine_similarity
        likeness = cosine((made * signs[role])[:, None], signs[None, 2:], dim=2) * 2**0.5
        best = likeness.max(1)
        codes[torch.arange(TOKENS), role, best.indices] = best.values * (best.values > 0.5)
    codes = codes.flatten(1)
    return Layout(place, w.x, codes, w.made(codes), "resid_post.1", "resid_post.1")


def joint(name: str, kind: str) -> Callable[[Path, Drawn], Layout]:
    """Two sites of three numbers each; the cross-layer ones with 8 features a layer."""

    def made(folder: Path, w: Drawn) -> Layout:
        place, crosses = folder / "joint", name == "cross-layer transcoder"
        encoder, decoder = w.encoder.clone(), w.decoder.clone()
        if crosses:
            encoder[:8, 3:], encoder[8:, :3], decoder[8:, :3] = 0, 0, 0
        pre = w.x @ encoder.T + w.encoder_bias
        stated = {"scales": [2.0, 0.5], "by_site": crosses, "activation": "relu"}
        tensors = {"encoder": torch.cat([encoder[:8, :3], encoder[8:, 3:]]) if crosses else encoder}
        tensors |= {"encoder_bias": w.encoder_bias, "decoder_directions": decoder}
        tensors |= {"bias.0": w.bias[:3], "bias.1": w.bias[3:]}
        codes = relu(pre)
        if kind == "TopK":
            stated, codes = stated | {"activation": "topk", "k": 4}, topk(pre, 4)
        elif kind == "JumpReLU":
            stated, codes = stated | {"activation": "threshold"}, jump(pre, w.thresholds)
            tensors["thresholds"] = w.thresholds
        writes = "mlp_out.0+mlp_out.1"
        reads = "mlp_in.0+mlp_in.1" if crosses else writes
        write_tensors(place / "joint.safetensors", tensors)
        write_json(place / "cfg.json", stated | {"reads": reads, "writes": writes})
        return Layout(place, w.x, codes, codes @ decoder + w.bias, reads, writes)

    return made


# Llama Scope


def llama_scope(kind: str) -> Callable[[Path, Drawn], Layout]:
    def made(folder: Path, w: Drawn) -> Layout:
        place, transcodes = folder / "Llama3_1-8B-Base-L1R-8x", kind == "transcoder"
        norms = {"in": 5.0, "out": 4.0 if transcodes else 5.0}
        ins, outs = (D**0.5 / norm for norm in norms.values())
        hooks = ("blocks.1.hook_resid_post",) * 2
        hooks = ("blocks.1.ln2.hook_in", "blocks.1.hook_mlp_out") if transcodes else hooks
        stated = {"d_model": D, "d_sae": WIDTH, "norm_activation": "dataset-wise", "top_k": 4}
        stated |= {"hook_point_in": hooks[0], "hook_point_out": hooks[1], "act_fn": "topk"}
        stated |= {"sparsity_include_decoder_norm": True, "dataset_average_activation_norm": norms}
        stated |= {"jump_relu_threshold": None if kind == "TopK" else 3.0}
        decoder = w.decoder * (ins / outs)
        lengths = decoder.norm(dim=1)
        pre = (w.x @ w.encoder.T + w.encoder_bias / ins) * lengths
        codes = topk(pre, 4) if kind == "TopK" else jump(pre, 3.0)
        made = codes @ (decoder / lengths[:, None]) + w.bias / outs
        write_json(place / "hyperparams.json", stated)
        write_tensors(place / "checkpoints" / "final.safetensors", layers(w))
        sites = ("resid_mid.1", "mlp_out.1") if transcodes else ("resid_post.1", "resid_post.1")
        return Layout(place, w.x, codes, made, *sites)

    return made


def llama_scope_r1(folder: Path, w: Drawn) -> Layout:
    place = folder / "L1R"
    stated = {"d_model": 6, "expansion_factor": 1, "hook_point_in": "blocks.1.hook_resid_post"}
    stated |= {"dataset_average_activation_norm": {"in": 5.0, "out": 5.0}, "d_sae": WIDTH}
    write_json(place / "config.json", stated)
    tensors = layers(w) | {"log_jumprelu_threshold": w.thresholds.log()}
    write_tensors(place / "sae_weights.safetensors", tensors)
    scale = D**0.5 / 5
    codes = jump(w.pre(x=w.x * scale), w.thresholds)
    return Layout(place, w.x, codes, w.made(codes) / scale, "resid_post.1", "resid_post.1")


# Files by themselves


def qwen_scope(folder: Path, w: Drawn) -> Layout:
    place = folder / "SAE-Res-Qwen3-1.7B-Base-W32K-L0_4" / "layer1.sae.pt"
    write_tensors(place, matrices(w, W_enc=w.encoder, W_dec=w.decoder.T))
    codes = topk(w.pre(), 4)
    return Layout(place, w.x, codes, w.made(codes), "resid_post.1", "resid_post.1")


def openai(kind: str) -> Callable[[Path, Drawn], Layout]:
    def made(folder: Path, w: Drawn) -> Layout:
        place = folder / "resid_post_attn_v5_32k" / "autoencoders" / "1.pt"
        place.parent.mkdir(parents=True)
        tensors: dict[str, object] = {"pre_bias": w.bias, "latent_bias": w.encoder_bias}
        tensors |= {"encoder.weight": w.encoder, "decoder.weight": w.decoder.T.contiguous()}
        tensors |= {"stats_last_nonzero": torch.zeros(WIDTH, dtype=torch.int64)}
        tensors["activation"] = kind
        if kind == "ReLU":
            codes = relu(w.pre(subtracts=True))
            made = w.made(codes)
        else:
            tensors["activation_state_dict"] = {"k": 4, "postact_fn": "ReLU"}
            mean, spread = w.x.mean(1, keepdim=True), w.x.std(1, keepdim=True)
            codes = topk(w.pre(subtracts=True, x=(w.x - mean) / (spread + 1e-5)), 4)
            made = w.made(codes) * spread + mean
        torch.save(tensors, place)
        return Layout(place, w.x, codes, made, "resid_mid.1", "resid_mid.1")

    return made


def goodfire(name: str, *prefixes: str) -> Callable[[Path, Drawn], Layout]:
    def made(folder: Path, w: Drawn) -> Layout:
        write_tensors(folder / name, layers(w, *prefixes))
        codes = relu(w.pre())
        return Layout(folder / name, w.x, codes, w.made(codes), "resid_post.19", "resid_post.19")

    return made


def kissane(folder: Path, w: Drawn) -> Layout:
    write_tensors(folder / "gpt2-small_L1.pt", matrices(w))
    stated = {"act_size": D, "dict_size": WIDTH, "act_name": "blocks.1.attn.hook_z"}
    write_json(folder / "gpt2-small_L1_cfg.json", stated)
    codes = relu(w.pre(subtracts=True))
    return Layout(folder / "gpt2-small_L1.pt", w.x, codes, w.made(codes), "z.1", "z.1")


POST, GATE = "output", "pre_feedforward_layernorm.output"
LAYOUTS: dict[tuple[str, str], Callable[[Path, Drawn], Layout]] = {
    ("hyperdimensional", "MLP, roles and fillers"): hyperdimensional,
    ("circuit_tracer_layers", "ReLU"): circuit_tracer_layers("ReLU"),
    ("circuit_tracer_layers", "JumpReLU"): circuit_tracer_layers("JumpReLU"),
    ("crosscoders", "CrossCoder"): crosscoder,
    **{
        ("joint", f"{name}, {kind}"): joint(name, kind)
        for name in ("crosscoder", "cross-layer transcoder")
        for kind in ("TopK", "JumpReLU", "ReLU")
    },
    **{
        ("sae_lens", kind): sae_lens(kind)
        for kind in (
            *("standard", "topk", "jumprelu", "abstopk", "batchtopk", "matryoshka_batchtopk"),
            *("transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder"),
        )
    },
    ("sae_lens", "gated"): sae_lens_gated,
    ("sae_lens", "matching_pursuit"): sae_lens_matching_pursuit,
    ("sparsify", "TopK"): sparsify(),
    ("sparsify", "GroupMax"): sparsify(activation="groupmax"),
    ("sparsify", "transcoder"): sparsify(transcode=True),
    ("sparsify", "transcoder, skip"): sparsify(transcode=True, skip_connection=True),
    ("gemma_scope", "resid_post"): gemma_scope("res", "resid_post.1"),
    ("gemma_scope", "mlp_out"): gemma_scope("mlp", "mlp_out.1"),
    ("gemma_scope", "z"): gemma_scope("att", "z.1"),
    ("gemma_scope", "embedding"): gemma_scope_embedding,
    ("gemma_scope_2", "resid_post"): gemma_scope_2(
        "resid_post", "resid_post.1", "resid_post.1", (POST,)
    ),
    ("gemma_scope_2", "mlp_out"): gemma_scope_2("mlp_out", "mlp_out.1", "mlp_out.1"),
    ("gemma_scope_2", "z"): gemma_scope_2("attn_out", "z.1", "z.1", ("self_attn.o_proj.input",)),
    ("gemma_scope_2", "transcoder"): gemma_scope_2("transcoder", "mlp_in.1", "mlp_out.1"),
    ("gemma_scope_2", "transcoder, affine"): gemma_scope_2(
        "transcoder_affine", "mlp_in.1", "mlp_out.1", (GATE, GATE.replace("pre", "post"))
    ),
    **{
        ("dictionary_learning", name): dictionary_learning(name)
        for name in (
            *("AutoEncoder", "AutoEncoderNew", "GatedAutoEncoder", "JumpReluAutoEncoder"),
            *("AutoEncoderTopK", "BatchTopKSAE", "MatryoshkaBatchTopKSAE"),
        )
    },
    **{
        ("circuit_tracer", f"transcoder, {kind}"): circuit_tracer(kind)
        for kind in ("ReLU", "JumpReLU", "TopK", "skip")
    },
    **{("llama_scope", kind): llama_scope(kind) for kind in ("JumpReLU", "TopK", "transcoder")},
    ("llama_scope_r1", "JumpReLU"): llama_scope_r1,
    ("qwen_scope", "TopK"): qwen_scope,
    ("openai", "ReLU"): openai("ReLU"),
    ("openai", "TopK"): openai("TopK"),
    ("goodfire", "ReLU"): goodfire(
        "Llama-3.1-8B-Instruct-SAE-l19.pth", "encoder_linear", "decoder_linear"
    ),
    ("goodfire", "ReLU of qresearch"): goodfire("DeepSeek-R1-Distill-Llama-8B-SAE-l19.pt"),
    ("kissane_attention", "ReLU"): kissane,
}
