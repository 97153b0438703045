"""CLIP written twice, once over each of its two published layouts.

Source: Radford et al., "Learning Transferable Visual Models", ICML 2021, Sec. 2.4. `openai_*` reads
the names of the first release, with packed attention weights and projections applied from the
right; `transformers_*` reads the names of transformers' `CLIPModel`, one head at a time. Both give
embeddings that are not normalised. Layer normalisation has eps 1e-5; GELU is x sigmoid(1.702 x).
"""

from __future__ import annotations

import math

import torch

HEAD_DIM = 64


def layer_norm(x, weight, bias):
    centred = x - x.mean(dim=-1, keepdim=True)
    return centred / (centred.square().mean(dim=-1, keepdim=True) + 1e-5).sqrt() * weight + bias


def quick_gelu(x):
    return x / (1 + torch.exp(-1.702 * x))


def future(length):
    """-inf where a word would look at a later one."""
    return torch.full((length, length), -math.inf).triu(1)


# OpenAI's layout ---------------------------------------------------------------------------------


def openai_block(w, name, x, mask):
    b, n, width = x.shape
    y = layer_norm(x, w[f"{name}.ln_1.weight"], w[f"{name}.ln_1.bias"])
    packed = y @ w[f"{name}.attn.in_proj_weight"].T + w[f"{name}.attn.in_proj_bias"]
    q, k, v = packed.view(b, n, 3, width // HEAD_DIM, HEAD_DIM).permute(2, 0, 3, 1, 4)
    attention = (q @ k.transpose(2, 3) / math.sqrt(HEAD_DIM) + mask).softmax(dim=-1)
    y = (attention @ v).transpose(1, 2).reshape(b, n, width)
    x = x + y @ w[f"{name}.attn.out_proj.weight"].T + w[f"{name}.attn.out_proj.bias"]
    y = layer_norm(x, w[f"{name}.ln_2.weight"], w[f"{name}.ln_2.bias"])
    y = quick_gelu(y @ w[f"{name}.mlp.c_fc.weight"].T + w[f"{name}.mlp.c_fc.bias"])
    return x + y @ w[f"{name}.mlp.c_proj.weight"].T + w[f"{name}.mlp.c_proj.bias"]


def openai_image(w, pixels, blocks):
    patch = w["visual.conv1.weight"].shape[-1]
    tiles = pixels.unfold(2, patch, patch).unfold(3, patch, patch)
    tiles = tiles.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
    x = tiles @ w["visual.conv1.weight"].flatten(1).T
    x = torch.cat([w["visual.class_embedding"].expand(len(x), 1, -1), x], dim=1)
    x = x + w["visual.positional_embedding"]
    x = layer_norm(x, w["visual.ln_pre.weight"], w["visual.ln_pre.bias"])
    for i in range(blocks):
        x = openai_block(w, f"visual.transformer.resblocks.{i}", x, 0.0)
    x = layer_norm(x[:, 0], w["visual.ln_post.weight"], w["visual.ln_post.bias"])
    return x @ w["visual.proj"]


def openai_text(w, tokens, blocks):
    x = w["token_embedding.weight"][tokens] + w["positional_embedding"]
    for i in range(blocks):
        x = openai_block(w, f"transformer.resblocks.{i}", x, future(tokens.shape[1]))
    x = layer_norm(x, w["ln_final.weight"], w["ln_final.bias"])
    return x[torch.arange(len(x)), tokens.argmax(dim=1)] @ w["text_projection"]


# transformers' layout ----------------------------------------------------------------------------


def linear(w, name, x):
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def normed(w, name, x):
    return layer_norm(x, w[f"{name}.weight"], w[f"{name}.bias"])


def transformers_tower(w, tower, x, config, mask):
    heads = config["num_attention_heads"]
    for i in range(config["num_hidden_layers"]):
        name = f"{tower}.encoder.layers.{i}"
        y = normed(w, f"{name}.layer_norm1", x)
        q, k, v = (linear(w, f"{name}.self_attn.{p}_proj", y).chunk(heads, dim=2) for p in "qkv")
        seen = []
        for head in range(heads):
            scores = q[head] @ k[head].transpose(1, 2) * q[head].shape[-1] ** -0.5 + mask
            seen.append(scores.softmax(dim=-1) @ v[head])
        x = x + linear(w, f"{name}.self_attn.out_proj", torch.cat(seen, dim=2))
        y = quick_gelu(linear(w, f"{name}.mlp.fc1", normed(w, f"{name}.layer_norm2", x)))
        x = x + linear(w, f"{name}.mlp.fc2", y)
    return x


def transformers_image(w, pixels, config):
    config = config["vision_config"]
    kernel = w["vision_model.embeddings.patch_embedding.weight"]
    assert config["image_size"] == pixels.shape[-1]
    x = torch.nn.functional.conv2d(pixels, kernel, stride=config["patch_size"])
    x = x.flatten(2).transpose(1, 2)
    start = w["vision_model.embeddings.class_embedding"].expand(len(x), 1, -1)
    x = torch.cat([start, x], dim=1) + w["vision_model.embeddings.position_embedding.weight"]
    x = normed(w, "vision_model.pre_layrnorm", x)
    x = transformers_tower(w, "vision_model", x, config, 0.0)
    x = normed(w, "vision_model.post_layernorm", x[:, 0])
    return x @ w["visual_projection.weight"].T


def transformers_text(w, tokens, config):
    config = config["text_config"]
    x = w["text_model.embeddings.token_embedding.weight"][tokens]
    x = x + w["text_model.embeddings.position_embedding.weight"]
    x = transformers_tower(w, "text_model", x, config, future(tokens.shape[1]))
    x = normed(w, "text_model.final_layer_norm", x)
    end = (tokens == config["eos_token_id"]).int().argmax(dim=1)
    return x[torch.arange(len(x)), end] @ w["text_projection.weight"].T
