"""A small content of a FaRL checkpoint: OpenAI's CLIP names and shapes, random numbers."""

from __future__ import annotations

import torch

IMAGE_BLOCKS, TEXT_BLOCKS = 2, 3
IMAGE_WIDTH, TEXT_WIDTH, JOINT = 128, 64, 24
PATCH, SIDE, WORDS, VOCABULARY = 4, 12, 6, 30


def linear(table, name, outputs, inputs):
    table[f"{name}.weight"] = torch.randn(outputs, inputs) / inputs**0.5
    table[f"{name}.bias"] = 0.2 * torch.randn(outputs)


def layer_norm(table, name, width):
    table[f"{name}.weight"] = 1 + 0.2 * torch.randn(width)
    table[f"{name}.bias"] = 0.2 * torch.randn(width)


def blocks(table, prefix, width, number):
    for i in range(number):
        name = f"{prefix}.resblocks.{i}"
        layer_norm(table, f"{name}.ln_1", width)
        table[f"{name}.attn.in_proj_weight"] = torch.randn(3 * width, width) / width**0.5
        table[f"{name}.attn.in_proj_bias"] = 0.2 * torch.randn(3 * width)
        linear(table, f"{name}.attn.out_proj", width, width)
        layer_norm(table, f"{name}.ln_2", width)
        linear(table, f"{name}.mlp.c_fc", 4 * width, width)
        linear(table, f"{name}.mlp.c_proj", width, 4 * width)


def farl():
    """`state_dict` of a checkpoint that was also trained to fill in masked patches."""
    table = {
        "logit_scale": torch.tensor(4.6),
        "positional_embedding": torch.randn(WORDS, TEXT_WIDTH),
        "text_projection": torch.randn(TEXT_WIDTH, JOINT) / TEXT_WIDTH**0.5,
        "token_embedding.weight": torch.randn(VOCABULARY, TEXT_WIDTH),
        "visual.class_embedding": torch.randn(IMAGE_WIDTH),
        "visual.positional_embedding": torch.randn((SIDE // PATCH) ** 2 + 1, IMAGE_WIDTH),
        "visual.conv1.weight": torch.randn(IMAGE_WIDTH, 3, PATCH, PATCH) / 7,
        "visual.proj": torch.randn(IMAGE_WIDTH, JOINT) / IMAGE_WIDTH**0.5,
        "visual.mask_token": torch.randn(IMAGE_WIDTH),
    }
    layer_norm(table, "ln_final", TEXT_WIDTH)
    layer_norm(table, "visual.ln_pre", IMAGE_WIDTH)
    layer_norm(table, "visual.ln_post", IMAGE_WIDTH)
    blocks(table, "transformer", TEXT_WIDTH, TEXT_BLOCKS)
    blocks(table, "visual.transformer", IMAGE_WIDTH, IMAGE_BLOCKS)
    blocks(table, "visual.lm_transformer", IMAGE_WIDTH, 1)
    layer_norm(table, "visual.ln_lm", IMAGE_WIDTH)
    linear(table, "visual.lm_head", 50, IMAGE_WIDTH)
    return {"state_dict": table}
