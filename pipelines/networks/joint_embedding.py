"""One space for pictures and texts: CLIP (Radford et al., ICML 2021), at any size.

Two transformers give unit vectors whose cosine says how well a text describes a picture. They are
transformers' own towers, so that FaRL (Zheng et al., CVPR 2022), a CLIP ViT-B/16 trained on
photographs of faces, and a small one trained on renders are the same class with other
configurations. Texts are read as CLIP reads them: lower case, split at spaces and punctuation, then
into pieces of bytes (BPE), so that there are no unknown words. The merges of the pieces are part of
the configuration; the vocabulary follows from them.

transformers takes seconds to import: it is imported when a network is built, not before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub import PyTorchModelHubMixin
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from tokenizers import Tokenizer

START, END = "<|startoftext|>", "<|endoftext|>"
ENDING = "</w>"  # of the last piece of a word
PRINTABLE = (*range(33, 127), *range(161, 173), *range(174, 256))  # of the bytes, in Latin-1
# A printable sign for each of the 256 bytes, in CLIP's order.
SIGNS = {chr(byte): byte for byte in PRINTABLE} | {
    chr(256 + i): byte for i, byte in enumerate(sorted({*range(256)} - {*PRINTABLE}))
}
WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"  # of CLIP


class JointEmbedding(nn.Module, PyTorchModelHubMixin):
    """Pictures and texts as unit vectors; token states for cross-attention.

    text_config, vision_config: arguments of transformers' CLIPTextConfig and CLIPVisionConfig;
    projection_dim: length of the common vectors; merges: pairs of pieces, "a b", in their order
    (without them pictures alone can be embedded); mean, deviation: of each colour channel in
    [0, 1], by which pictures are normalised. `logit_scale` is the logarithm of the factor that
    makes logits of cosines.

    The towers are modules to be called, and to be placed, by themselves: `images` and `texts`.
    """

    def __init__(
        self,
        text_config: Mapping[str, Any],
        vision_config: Mapping[str, Any],
        projection_dim: int = 512,
        merges: Sequence[str] = (),
        mean: Sequence[float] = (0.5, 0.5, 0.5),
        deviation: Sequence[float] = (0.5, 0.5, 0.5),
    ) -> None:
        super().__init__()
        text_config, vision_config = _plain(text_config), _plain(vision_config)
        from transformers import (  # here: it takes seconds
            CLIPTextConfig,
            CLIPTextModelWithProjection,
            CLIPVisionConfig,
            CLIPVisionModelWithProjection,
        )

        text = CLIPTextConfig(**{**text_config, "projection_dim": projection_dim})
        vision = CLIPVisionConfig(**{**vision_config, "projection_dim": projection_dim})
        self.texts = CLIPTextModelWithProjection(text)
        self.images = CLIPVisionModelWithProjection(vision)
        self.logit_scale = nn.Parameter(torch.tensor(2.6592))  # of CLIP: ln(1 / 0.07)
        self.length, self.side = text.max_position_embeddings, vision.image_size
        self.start, self.end = text.bos_token_id, text.eos_token_id
        self.mean, self.deviation = tuple(mean), tuple(deviation)
        self._tokenizer = None
        if merges:
            self.read_with(merges)

    @classmethod
    def small(cls, merges: Sequence[str]) -> JointEmbedding:
        """The untrained network for clay portraits: 128 px, 4.6 M weights, with 512-d vectors."""
        vocabulary = len(vocabulary_of(merges))
        text = {
            "vocab_size": vocabulary,
            "hidden_size": 192,
            "intermediate_size": 768,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "max_position_embeddings": 96,
            "bos_token_id": vocabulary - 2,
            "eos_token_id": vocabulary - 1,
        }
        vision = {
            "hidden_size": 192,
            "intermediate_size": 768,
            "num_hidden_layers": 6,
            "num_attention_heads": 4,
            "image_size": 128,
            "patch_size": 16,
        }
        network = cls(text, vision, merges=list(merges))
        # A class token that starts at zero holds nothing but what it gathers from patches. As
        # transformers draws it, all pictures' vectors are one (mean norm 0.95; so 0.56), and after
        # 127 steps of training still were.
        embeddings = network.images.vision_model.embeddings
        with torch.no_grad():
            embeddings.class_embedding.zero_()
            embeddings.position_embedding.weight[0].zero_()
        return network

    def read_with(self, merges: Sequence[str]) -> None:
        """Read texts by these merges; for FaRL those of CLIP's published vocabulary.

        They are the lines of its merges.txt but for the first, `text.splitlines()[1:]`.
        Raises ValueError where they give another vocabulary than the network was trained with.
        """
        expected, got = self.texts.config.vocab_size, len(vocabulary_of(merges))
        if got != expected:
            raise ValueError(
                f"merges must make a vocabulary of {expected} pieces; got {got}. Pass the "
                "merges that the network was trained with."
            )
        self._tokenizer = tokenizer_of(merges)

    def forward(
        self, images: Float[Tensor, "n 3 h w"], prompts: Sequence[str]
    ) -> Float[Tensor, "n m"]:
        """Logits of each picture with each text: the scaled cosines."""
        cosines = self.embed_images(images) @ self.embed_texts(prompts).T
        return self.logit_scale.exp() * cosines

    def embed_images(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 512"]:
        """Unit vectors of RGB pictures in [-1, 1], of any size; differentiable."""
        if images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(
                f"images must be RGB pictures (n, 3, h, w); got {tuple(images.shape)}. "
                "Add a batch axis?"
            )
        if images.shape[-2:] != (self.side, self.side):
            images = F.interpolate(
                images, (self.side, self.side), mode="bicubic", antialias=True
            ).clamp(-1, 1)
        mean, deviation = (
            images.new_tensor(channels)[:, None, None] for channels in (self.mean, self.deviation)
        )
        pixels = ((images + 1) / 2 - mean) / deviation
        return F.normalize(self.images(pixel_values=pixels).image_embeds.float(), dim=1)

    def embed_texts(self, prompts: Sequence[str]) -> Float[Tensor, "n 512"]:
        """Unit vectors of texts in any language; what is too long is cut, see `left_out`."""
        return F.normalize(self._read(prompts)[0].text_embeds.float(), dim=1)

    def token_states(
        self, prompts: Sequence[str]
    ) -> tuple[Float[Tensor, "n t d"], Bool[Tensor, "n t"]]:
        """The last layer's state of each token, and which of them are the text's own.

        t is that of the longest text, start and end included; `tokens` names them.
        """
        output, own = self._read(prompts)
        return output.last_hidden_state, own

    def tokens(self, prompt: str) -> list[str]:
        """The pieces of a text as the network reads them, one for each of its token states."""
        pieces = [_readable(piece) for piece in self._pieces(prompt)[0]]
        return [START, *pieces, END]

    def context(
        self, prompts: Sequence[str]
    ) -> tuple[Float[Tensor, "n length d"], Bool[Tensor, "n length"]]:
        """`token_states` for cross-attention, and which of them are words of the text.

        As many states whatever the texts: behind the end of each they are zero, which gives a key
        and a value of zero, so that a batch does not change what one of its texts means.
        """
        states, own = self.token_states(prompts)
        behind = (0, self.length - states.shape[1])
        states = F.pad(states * own[..., None], (0, 0, *behind))
        spoken = own & own.roll(-1, 1)  # not the end
        spoken[:, 0] = False  # nor the start
        spoken[:, -1] = False  # at most an end
        return states, F.pad(spoken, behind)

    def words(self, prompt: str) -> list[str]:
        """The pieces of a text, one for each of the places that `context` calls words."""
        return self.tokens(prompt)[1:-1]

    def left_out(self, prompt: str) -> str:
        """What of a text is not read because it is too long; "" where all of it is."""
        pieces, offsets = self._pieces(prompt)
        return _sound(prompt)[offsets[-1][1] :].strip() if len(pieces) == self.length - 2 else ""

    def _pieces(self, prompt: str) -> tuple[list[str], list[tuple[int, int]]]:
        """As many pieces of a text as are read, and where in it each stands."""
        encoding = self._encode(_sound(prompt))
        room = self.length - 2  # of start and end
        return encoding.tokens[:room], encoding.offsets[:room]

    def _encode(self, prompt: str) -> Any:
        if self._tokenizer is None:
            raise ValueError(
                "texts need the merges of the vocabulary; got none. Call read_with(merges) with "
                "those that the network was trained with."
            )
        return self._tokenizer.encode(prompt)

    def _read(self, prompts: Sequence[str]) -> tuple[Any, Bool[Tensor, "n t"]]:
        """What the texts' tower says, and which tokens are the texts' own."""
        if isinstance(prompts, str) or not all(isinstance(prompt, str) for prompt in prompts):
            raise ValueError(
                f"prompts must be a list of texts; got {type(prompts).__name__}. "
                "Pass [prompt] for one text."
            )
        ids, own = self._ids([_sound(prompt) for prompt in prompts])
        # A hook that moves the tower moves its inputs too; without one they must be where it is.
        weight = self.texts.text_projection.weight
        device = torch.device("cpu") if weight.is_meta else weight.device
        return self.texts(input_ids=ids.to(device)), own.to(device)

    def _ids(self, prompts: Sequence[str]) -> tuple[Int[Tensor, "n t"], Bool[Tensor, "n t"]]:
        """Token numbers, filled up with END: no token looks at a later one, so these change none.

        Raises ValueError where there is no text.
        """
        if not prompts:
            raise ValueError('prompts must hold a text; got none. Pass [""] for an empty one.')
        rows = [
            [self.start, *self._encode(prompt).ids[: self.length - 2], self.end]
            for prompt in prompts
        ]
        lengths = torch.tensor([len(row) for row in rows])
        longest = int(lengths.max())
        ids = torch.tensor([row + [self.end] * (longest - len(row)) for row in rows])
        return ids, torch.arange(longest) < lengths[:, None]


def _plain(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """A tower's configuration, which anybody may have written into a file: numbers, and the name of
    the activation. With other settings transformers fetches code and runs it."""
    wrong = [k for k, v in config.items() if k != "hidden_act" and not isinstance(v, int | float)]
    if wrong or not isinstance(config.get("hidden_act", ""), str):
        raise ValueError(
            f"a tower's configuration must hold numbers, and hidden_act as text; got others under "
            f"{', '.join(map(repr, wrong)) or 'hidden_act'}. Remove them."
        )
    return config


def vocabulary_of(merges: Sequence[str]) -> dict[str, int]:
    """Piece -> its number: bytes, bytes that end a word, merged pieces, start, end; as in CLIP."""
    pieces = [*SIGNS, *(sign + ENDING for sign in SIGNS)]
    pieces += [merge.replace(" ", "") for merge in merges]
    return {piece: number for number, piece in enumerate(dict.fromkeys([*pieces, START, END]))}


def tokenizer_of(merges: Sequence[str]) -> Tokenizer:
    """CLIP's reading of a text, without start and end: a text that names them names no token."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    pairs = [tuple(merge.split(" ")) for merge in merges]
    model = models.BPE(vocabulary_of(merges), pairs, end_of_word_suffix=ENDING)
    tokenizer = Tokenizer(model)
    spaces = normalizers.Replace(Regex(r"\s+"), " ")
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), spaces, normalizers.Lowercase()]
    )
    words = pre_tokenizers.Split(Regex(WORDS), behavior="removed", invert=True)
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, to_bytes])
    return tokenizer


def _sound(prompt: str) -> str:
    """The text without halves of surrogate pairs, which no encoding can hold."""
    return prompt.encode("utf-8", "replace").decode("utf-8")


def _readable(piece: str) -> str:
    """A piece in letters; bytes that are no whole letter become a replacement sign."""
    return bytes(SIGNS[sign] for sign in piece.removesuffix(ENDING)).decode("utf-8", "replace")
