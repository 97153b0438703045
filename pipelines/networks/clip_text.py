"""The text encoder of Stable Diffusion: CLIP's, with its tokenizer, from the Hub's layout.

Source: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision",
ICML 2021; as Stable Diffusion uses it: states of the last layer at all 77 places, padding included.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


class ClipText(nn.Module):
    """Token states of prompts. texts: transformers' CLIPTextModel; tokenizer: its CLIPTokenizer."""

    def __init__(self, texts: nn.Module, tokenizer: object) -> None:
        super().__init__()
        self.texts, self.tokenizer = texts, tokenizer

    @classmethod
    def from_pretrained(cls, base: str) -> ClipText:
        """Of a Stable Diffusion, by id or by folder."""
        from transformers import CLIPTextModel, CLIPTokenizer  # slow to import

        tokenizer = CLIPTokenizer.from_pretrained(base, subfolder="tokenizer")
        return cls(CLIPTextModel.from_pretrained(base, subfolder="text_encoder"), tokenizer)

    def context(
        self, prompts: Sequence[str]
    ) -> tuple[Float[Tensor, "n tokens d"], Bool[Tensor, "n tokens"]]:
        """States, and which places hold words of the prompt; longer prompts are cut to fit."""
        found = self.tokenizer(
            list(prompts), padding="max_length", truncation=True, return_tensors="pt",
            max_length=self.tokenizer.model_max_length, return_special_tokens_mask=True,
        )  # fmt: skip
        weight = next(self.texts.parameters())
        device = torch.device("cpu") if weight.is_meta else weight.device
        states = self.texts(found.input_ids.to(device))[0]
        return states, ~found.special_tokens_mask.bool().to(states.device)

    def words(self, prompt: str) -> list[str]:
        """The pieces of words that the prompt is read as, one for each true place."""
        found = self.tokenizer(
            prompt, truncation=True, max_length=self.tokenizer.model_max_length,
            add_special_tokens=True, return_special_tokens_mask=True,
        )  # fmt: skip
        special = torch.tensor(found.special_tokens_mask).bool()
        pieces = self.tokenizer.convert_ids_to_tokens(found.input_ids)
        return [
            piece.removesuffix("</w>") for piece, s in zip(pieces, special, strict=True) if not s
        ]
