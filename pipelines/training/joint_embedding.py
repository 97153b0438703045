"""Train the joint embedding of text and pictures on rendered portraits.

    python -m pipelines.training.joint_embedding --data DIR --validation DIR --out DIR --minutes 60

CLIP's symmetric contrast (Radford et al., ICML 2021) with captions written anew at each visit from
what each portrait shows. What is true of a portrait is known, so a caption belongs equally to all
pictures of the batch of which it is true, and none of these counts against it. Half of the patches
are left out until near the end (FLIP, Li et al., CVPR 2023): twice the steps in the time of one.

# Departs from paper: pictures and texts are also read by one linear layer that tells each fact's
# value, and is dropped after training. The contrast alone first draws all vectors to one point,
# where a text and a picture say nothing of each other, and on a CPU it does not leave in time:
# its loss was that of knowing nothing after 100 steps of 64 pictures. Another layer, dropped too,
# tells of each patch how much of it every part of the face takes (token labelling, Jiang et al.,
# NeurIPS 2021): a transformer learns where things are from 64 answers a picture instead of one.

Held out: zero-shot accuracy of each attribute, their mean beside that of always naming the most
frequent value, and how often a caption of twelve facts finds its own picture among 64.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from examples.clay.dataset import ClaySet
from examples.clay.facts import FACTS, NAMES, UNSEEN, facts
from examples.clay.parameters import LATENT, draw
from examples.clay.parts import PROP
from examples.clay.phrases import PHRASES
from examples.clay.wording import Caption, classes, truth, write
from pipelines.networks.joint_embedding import ENDING, JointEmbedding, tokenizer_of
from pipelines.training.augment import degrade, recolour, shift
from pipelines.training.loop import (
    Average,
    Loop,
    command,
    prefetch,
    shuffled,
    to_tensor,
)

KEPT = 0.5  # share of the patches that a picture's tower sees
WHOLE = 0.85  # of the budget, after which it sees all
LARGEST_SCALE = math.log(100)  # of the logits, as in CLIP
GROUPS = 8  # of texts of a batch by length: short ones are not filled up to the longest
NAMED, AMONG = 12, 64  # of retrieval: facts that a caption names, pictures to choose from


def learn_merges(captions: int = 6000, pieces: int = 800) -> list[str]:
    """The merges that make words of bytes, in their order, of captions of drawn portraits.

    Byte pair encoding (Sennrich et al., ACL 2016). The trainer of `tokenizers` breaks ties by
    chance: a training that goes on would read other pieces than it began with.
    """
    random = np.random.default_rng(0)
    rows = facts(draw(random.standard_normal((captions, LATENT))))
    texts = [write(row, random).text for row in rows] + [phrase.words for phrase in PHRASES]
    tokenizer = tokenizer_of(())
    normal, split = tokenizer.normalizer.normalize_str, tokenizer.pre_tokenizer.pre_tokenize_str
    words = Counter(word for text in texts for word, _ in split(normal(text)))
    spelled = {word: [*word[:-1], word[-1] + ENDING] for word in words}
    merges: list[str] = []
    while len(merges) < pieces:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, count in words.items():
            for pair in pairwise(spelled[word]):
                pairs[pair] += count
        if not pairs:
            break
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(" ".join(best))
        spelled = {word: _joined(spelling, best) for word, spelling in spelled.items()}
    return merges


def _joined(spelling: list[str], pair: tuple[str, str]) -> list[str]:
    """A word's pieces with each such pair as one."""
    joined: list[str] = []
    for piece in spelling:
        if joined and (joined[-1], piece) == pair:
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined


def contrast(
    logits: Float[Tensor, "pictures texts"], true: Bool[Tensor, "pictures texts"]
) -> Float[Tensor, ""]:
    """Divergence of both softmaxes from what is known; 0 where the network knows it too.

    A text was written of any picture of which it is true alike: p(i | j) = true_ij / sum_i true_ij,
    and by Bayes, texts being drawn alike, p(j | i) = p(i | j) / sum_j p(i | j). With texts that
    are each true of one picture this is CLIP's loss. Each row and column holds something true.
    """
    of_text = true.float() / true.sum(0)
    of_picture = of_text / of_text.sum(1, keepdim=True)
    by_text = F.kl_div(logits.log_softmax(0), of_text, reduction="sum") / true.shape[1]
    by_picture = F.kl_div(logits.log_softmax(1), of_picture, reduction="sum") / true.shape[0]
    return (by_text + by_picture) / 2


class FactReader(nn.Module):
    """Each fact's value from a unit vector, alike for pictures and texts: logits by fact."""

    def __init__(self, width: int, scale: float = 20.0) -> None:
        super().__init__()
        self.sizes = [len(values) for values in FACTS.values()]
        self.scale, self.layer = scale, nn.Linear(width, sum(self.sizes))

    def forward(self, vectors: Float[Tensor, "n d"]) -> tuple[Float[Tensor, "n values"], ...]:
        return self.layer(self.scale * vectors).split(self.sizes, dim=1)

    def loss_of(
        self, vectors: Float[Tensor, "n d"], possible: Bool[Tensor, "n all"]
    ) -> Float[Tensor, ""]:
        """Mean of -log p(one of the possible values) over the facts of which any is excluded.

        A picture has one possible value of what is seen, a text those that its words leave.
        """
        losses = []
        for logits, own in zip(self(vectors), possible.split(self.sizes, dim=1), strict=True):
            named = ~own.all(dim=1)
            kept = logits[named].masked_fill(~own[named], -math.inf)
            losses.append(logits[named].logsumexp(1) - kept.logsumexp(1))
        return torch.cat(losses).mean()


def shown(rows: UInt8[np.ndarray, "n facts"]) -> Bool[Tensor, "n all"]:
    """Which values each portrait leaves possible: its own, or all of a fact that is unseen."""
    columns = [
        (rows[:, [i]] == UNSEEN) | (rows[:, [i]] == np.arange(1, len(values) + 1))
        for i, values in enumerate(FACTS.values())
    ]
    return torch.from_numpy(np.concatenate(columns, axis=1))


def stated(captions: Sequence[Caption]) -> Bool[Tensor, "n all"]:
    """Which values each caption leaves possible: those of its phrases, all of other facts."""
    rows = []
    for caption in captions:
        said = {phrase.fact: phrase.values for phrase in caption.phrases}
        rows.append([v in said.get(fact, values) for fact, values in FACTS.items() for v in values])
    return torch.tensor(rows)


class PartReader(nn.Module):
    """The share of each part in a patch, from the patch's last state."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, PROP + 1))

    def loss_of(
        self, states: Float[Tensor, "n t d"], shares: Float[Tensor, "n t parts"]
    ) -> Float[Tensor, ""]:
        """Divergence of what is told from what is there, a mean over the patches."""
        told = self.layer(states).float().log_softmax(2)
        return F.kl_div(told, shares, reduction="none").sum(2).mean()


def part_shares(parts: UInt8[Tensor, "n h w"], patch: int) -> Float[Tensor, "n t parts"]:
    """Of each patch of so many px, row after row, the share that every part takes."""
    n, height, width = parts.shape
    rows, columns = torch.arange(height) // patch, torch.arange(width) // patch
    patches = (height // patch) * (width // patch)
    place = torch.arange(n)[:, None, None] * patches + rows[:, None] * (width // patch) + columns
    counts = (place * (PROP + 1) + parts).flatten().bincount(minlength=n * patches * (PROP + 1))
    return counts.view(n, patches, PROP + 1) / patch**2


class DroppedPatches:
    """While it is open, a tower sees its class token and a share `kept` of a picture's patches.

    states: the last states of the patches that were seen; seen: which these were.
    """

    states: Float[Tensor, "n t d"]
    seen: Int[Tensor, "n t"]

    def __init__(self, network: JointEmbedding, kept: float = KEPT) -> None:
        self.kept = kept
        self._tower = network.images.vision_model

    def __enter__(self) -> DroppedPatches:
        self._hooks = (
            self._tower.embeddings.register_forward_hook(self._drop),
            self._tower.encoder.register_forward_hook(self._note),
        )
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _drop(self, _: nn.Module, __: tuple, states: Float[Tensor, "n t d"]) -> Tensor:
        """Which patches are left is drawn for each picture by itself."""
        n, t, d = states.shape
        count = round(self.kept * (t - 1))
        self.seen = torch.rand(n, t - 1, device=states.device).argsort(dim=1)[:, :count]
        first = torch.zeros(n, 1, dtype=self.seen.dtype, device=states.device)
        which = torch.cat([first, self.seen + 1], dim=1)
        return states.gather(1, which[:, :, None].expand(-1, -1, d))

    def _note(self, _: nn.Module, __: tuple, output: Any) -> None:
        self.states = output.last_hidden_state[:, 1:]

    def of_seen(self, values: Float[Tensor, "n t v"]) -> Float[Tensor, "n kept v"]:
        """What belongs to the patches that were seen, of numbers a patch."""
        return values.gather(1, self.seen[:, :, None].expand(-1, -1, values.shape[2]))


def embed_grouped(network: JointEmbedding, prompts: Sequence[str]) -> Float[Tensor, "n 512"]:
    """`embed_texts` in groups of like length."""
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    groups = [group.tolist() for group in np.array_split(order, min(GROUPS, len(order)))]
    embedded = torch.cat([network.embed_texts([prompts[i] for i in group]) for group in groups])
    return embedded[np.argsort(order).tolist()]


def train(data: ClaySet, loop: Loop, network: JointEmbedding, batch: int = 64) -> JointEmbedding:
    """Train until the loop ends; the averaged network, frozen."""
    network.to(loop.device).train()
    average = Average(network)
    for tower in (network.images, network.texts):
        # At so few patches the fused kernel's way back takes twice as long.
        tower.set_attn_implementation("eager")
    reader = FactReader(network.texts.config.projection_dim).to(loop.device)
    vision = network.images.config
    patch, part_reader = vision.patch_size, PartReader(vision.hidden_size).to(loop.device)
    learning = [*network.parameters(), *reader.parameters(), *part_reader.parameters()]
    optimizer = torch.optim.AdamW(learning, lr=1.5e-3, betas=(0.9, 0.98))
    loop.keep(
        network=network, average=average.network, reader=reader,
        part_reader=part_reader, optimizer=optimizer,
    )  # fmt: skip
    loop.resume()
    torch.manual_seed(loop.step)
    rows, random = facts(data.parameters()), np.random.default_rng(loop.step)

    def load(which: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[Caption]]:
        """Pictures, parts, facts and captions: one each, for texts are learned much the sooner."""
        captions = [write(row, random) for row in rows[which]]
        return data.images[which], data.parts[which], rows[which], captions

    batches = prefetch(map(load, shuffled(len(data), batch, seed=loop.step)))
    with DroppedPatches(network) as patches:
        for fraction, (pixels, parts, seen, captions) in zip(loop, batches, strict=False):
            loop.anneal(optimizer, warmup=0.05)
            patches.kept = KEPT if fraction < WHOLE else 1.0
            # What each picture and each text is.
            images, parts = shift(to_tensor(pixels, loop.device), torch.from_numpy(parts))
            images, shares = degrade(recolour(images, 0.08)), part_shares(parts, patch)
            with loop.autocast():
                pictures = network.embed_images(images)
                texts = embed_grouped(network, [caption.text for caption in captions])
                place = part_reader.loss_of(patches.states, patches.of_seen(shares.to(loop.device)))
            # Which belong together, and what each says.
            logits = network.logit_scale.exp() * (pictures @ texts.T).float()
            true = torch.from_numpy(truth(captions, seen)).to(loop.device)
            apart = contrast(logits, true)
            see = reader.loss_of(pictures, shown(seen).to(loop.device))
            read = reader.loss_of(texts, stated(captions).to(loop.device))
            # One step.
            optimizer.zero_grad()
            (apart + see + read + place).backward()
            loop.average_gradients(optimizer)
            torch.nn.utils.clip_grad_norm_(learning, 1.0)
            optimizer.step()
            with torch.no_grad():
                network.logit_scale.clamp_(max=LARGEST_SCALE)
            average.update(network, loop.step)
            if loop.due(10):
                # 1: no better than vectors that are all alike.
                share = apart / contrast(torch.zeros_like(logits), true)
                loop.log(
                    contrast=share, pictures=see, texts=read, parts=place,
                    scale=network.logit_scale.exp(),
                )  # fmt: skip
    return average.network


@torch.no_grad()
def evaluate(
    network: JointEmbedding, data: ClaySet, device: torch.device
) -> dict[str, float | int]:
    """Zero-shot accuracies and retrieval over a whole set, 0 to 1."""
    rows = facts(data.parameters())
    chunks = np.array_split(np.arange(len(data)), max(1, len(data) // 64))
    pictures = torch.cat([network.embed_images(to_tensor(data.images[c], device)) for c in chunks])
    right, common = {}, []
    for fact in NAMES:
        captions = classes(fact)
        true = truth(captions, rows)
        named = true.any(axis=1)
        if len(captions) < 2 or not named.any():
            continue
        found = (pictures @ network.embed_texts([c.text for c in captions]).T).argmax(1).cpu()
        right[f"accuracy {fact}"] = round(float(true[np.arange(len(rows)), found][named].mean()), 4)
        common.append(float(true[named].mean(axis=0).max()))
    return {
        "accuracy": round(float(np.mean(list(right.values()))), 4),
        "accuracy of the most frequent": round(float(np.mean(common)), 4),
        f"retrieval at 1 of {AMONG}": round(retrieval(network, pictures, rows), 4),
        **right,
    }


def retrieval(network: JointEmbedding, pictures: Float[Tensor, "n 512"], rows: np.ndarray) -> float:
    """How often a caption's own picture is the nearest among `AMONG`, or all where fewer are."""
    random = np.random.default_rng(0)
    order = random.permutation(len(rows))
    size = min(AMONG, len(rows))
    found = []
    for start in range(0, len(order) - size + 1, size):
        group = order[start : start + size]
        texts = embed_grouped(network, [write(rows[i], random, NAMED).text for i in group])
        nearest = (texts @ pictures[group].T).argmax(dim=1).cpu()
        found.append((nearest == torch.arange(size)).float().mean().item())
    return float(np.mean(found))


def main() -> None:
    """Run the recipe from the command line."""
    command(
        "joint_embedding",
        __doc__,
        lambda: JointEmbedding.small(learn_merges()),
        train,
        evaluate,
        minutes=60,
        batch=64,
    )


if __name__ == "__main__":
    main()
