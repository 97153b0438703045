"""FaRL, a CLIP trained on faces: from OpenAI's layout to that of `JointEmbedding`.

Its towers, `texts` and `images`, are transformers' own; the names in them are transformers'.

The file holds `state_dict`: `visual.*` is the picture's ViT, names without prefix the text's
transformer. Attention weights are packed as query, key, value in one matrix, and projections are
stored transposed. What only masked pre-training used (its own transformer, head and mask token) is
left out: no embedding depends on it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from weights.convert import layout
from weights.manifest import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

SOURCE = "a FaRL checkpoint in OpenAI's CLIP layout"
# Of each channel of the pictures that CLIP was trained on; no number in the file says so.
MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
HEAD_DIM = 64  # channels of an attention head in every CLIP ViT
_PRETRAINING = ("visual.lm_transformer.", "visual.ln_lm.", "visual.lm_head.", "visual.mask_token")
_NOT_STORED = ("input_resolution", "context_length", "vocab_size")  # numbers of a traced CLIP
_NAMES = {
    "logit_scale": "logit_scale",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
    "text_projection": "text_projection.weight",
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.ln_pre.weight": "vision_model.pre_layrnorm.weight",  # spelled so in transformers
    "visual.ln_pre.bias": "vision_model.pre_layrnorm.bias",
    "visual.ln_post.weight": "vision_model.post_layernorm.weight",
    "visual.ln_post.bias": "vision_model.post_layernorm.bias",
    "visual.proj": "visual_projection.weight",
}
_TRANSPOSED = ("text_projection", "visual.proj")
_BLOCKS = {"transformer.resblocks.": "text_model", "visual.transformer.resblocks.": "vision_model"}
_LAYERS = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}


def convert(content: object) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Tensors and arguments of `JointEmbedding`, but for the merges, which are another file."""
    tensors = layout.named_tensors(content, SOURCE, "state_dict")
    layout.need(tensors, _NAMES, SOURCE)
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name not in _NOT_STORED and not name.startswith(_PRETRAINING):
            renamed |= _renamed(name, tensor)
    _check_blocks(renamed)
    placed = {_placed(name): tensor for name, tensor in renamed.items()}
    return layout.as_float32(placed), _config(tensors)


def _placed(name: str) -> str:
    """Under the tower that a name of transformers' `CLIPModel` belongs to."""
    if name == "logit_scale":
        return name
    return f"texts.{name}" if name.startswith("text_") else f"images.{name}"


def _renamed(name: str, tensor: Tensor) -> dict[str, Tensor]:
    """One published tensor under its new name, or three if it packs query, key and value."""
    if name in _NAMES:
        return {_NAMES[name]: tensor.T if name in _TRANSPOSED else tensor}
    for prefix, tower in _BLOCKS.items():
        if name.startswith(prefix):
            index, _, layer = name.removeprefix(prefix).partition(".")
            block = f"{tower}.encoder.layers.{index}"
            if layer in ("attn.in_proj_weight", "attn.in_proj_bias"):
                kind = layer.removeprefix("attn.in_proj_")
                thirds = zip("qkv", tensor.chunk(3), strict=True)
                return {f"{block}.self_attn.{q}_proj.{kind}": third for q, third in thirds}
            module, _, kind = layer.rpartition(".")
            if module in _LAYERS:
                return {f"{block}.{_LAYERS[module]}.{kind}": tensor}
    raise WeightsError(
        f"expected {SOURCE}; got a tensor named {name!r}, which it does not have; "
        "check that this is the published file."
    )


def _check_blocks(renamed: Mapping[str, Tensor]) -> None:
    """Both towers have all layers of all blocks."""
    modules = [*_LAYERS.values(), *(f"self_attn.{q}_proj" for q in "qkv")]
    for tower in _BLOCKS.values():
        first = f"{tower}.encoder.layers.{{}}.layer_norm1.weight"
        blocks = range(max(1, layout.count(renamed, first)))
        kinds = ("weight", "bias")
        names = [
            f"{tower}.encoder.layers.{i}.{module}.{kind}"
            for i in blocks
            for module in modules
            for kind in kinds
        ]
        layout.need(renamed, names, SOURCE)


def _config(tensors: Mapping[str, Tensor]) -> dict[str, object]:
    """The arguments, read off the shapes; ViT-B/16 as published."""
    vocabulary, text_width = tensors["token_embedding.weight"].shape
    width, _, patch, _ = tensors["visual.conv1.weight"].shape
    cells = math.isqrt(tensors["visual.positional_embedding"].shape[0] - 1)
    projection = tensors["visual.proj"].shape[1]
    text = _tower(tensors, "transformer.resblocks.", text_width, projection)
    vision = _tower(tensors, "visual.transformer.resblocks.", width, projection)
    text |= {
        "vocab_size": vocabulary,
        "max_position_embeddings": tensors["positional_embedding"].shape[0],
        "bos_token_id": vocabulary - 2,
        "eos_token_id": vocabulary - 1,
    }
    vision |= {"image_size": cells * patch, "patch_size": patch}
    return {
        "projection_dim": projection,
        "text_config": text,
        "vision_config": vision,
        "mean": list(MEAN),
        "deviation": list(DEVIATION),
    }


def _tower(
    tensors: Mapping[str, Tensor], prefix: str, width: int, projection: int
) -> dict[str, object]:
    return {
        "hidden_size": width,
        "intermediate_size": tensors[f"{prefix}0.mlp.c_fc.weight"].shape[0],
        "num_hidden_layers": layout.count(tensors, prefix + "{}.ln_1.weight"),
        "num_attention_heads": width // HEAD_DIM,
        "projection_dim": projection,
        "hidden_act": "quick_gelu",
    }
