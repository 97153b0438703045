"""MM2Latent: Text-to-facial image generation and editing in GANs with multimodal assistance (Meng,
Tzelepis, Patras, Tzimiropoulos; ECCV 2024 workshops).

Stages: `generate` a picture from a prompt and a mask, a sketch or 3DMM numbers, any of the two left
out, or `vary` it; `leave_one_out` shows what each contributes, `ablate` what the network's fusion
of the two does. Editing (Sec. 3.4), with `invert` and `edit`, stands in `multimodal_editor`, what
reads prompts and conditions in `multimodal_reader`, what fills in the rest in `multimodal_unsaid`.
`baseline` generates by other methods.

Symbols: f_text, f_img: unit embeddings of a prompt and of a picture in one space; f_cond, the code
of a mask or sketch (Eq. 3), or 3DMM numbers; Net, the mapping network; w, one code for all layers;
G, the synthesis network.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

import weights
from pipelines.components import PERCEPTUAL, Components
from pipelines.condition_codes import CONDITIONS, ConditionCodes
from pipelines.descent import reporter
from pipelines.embedding_map import EmbeddingMap, Located
from pipelines.images import as_images, as_tensor
from pipelines.latent_space import LatentSpace
from pipelines.latents import fingerprint
from pipelines.morphable import DECA, LAYOUTS, Layout
from pipelines.multimodal_baselines import (
    METHODS,
    Bank,
    Embedding,
    MultimodalBaselines,
    read_mask,
    read_morphable,
    read_sketch,
)
from pipelines.multimodal_editor import MultimodalEditor, Numbers
from pipelines.multimodal_reader import RECIPES, Request, Scores
from pipelines.multimodal_unsaid import Unsaid
from pipelines.networks.bisenet import BiSeNet
from pipelines.networks.condition_autoencoder import ConditionAutoencoder
from pipelines.networks.encoders import LayerwiseEncoder
from pipelines.networks.irse import FaceJudge
from pipelines.networks.joint_embedding import JointEmbedding
from pipelines.networks.judge import PortraitJudge
from pipelines.networks.mm_mapping import MultimodalMapping, pseudo_text
from pipelines.networks.morphable import MorphableNet
from pipelines.networks.parser import FaceParser
from pipelines.networks.perceptual import PerceptualDistance
from pipelines.networks.psp import AtItsSize, Encoder4Editing
from pipelines.networks.stylegan2 import Generator
from pipelines.runtime import OnStep, stage

AUTOENCODED = CONDITIONS[:2]
AT_ONCE = 8  # pictures of a batch
FUSIONS = ("layers", "mean", "picture")  # of `ablate`
# What this paper asks of a domain -> the components that can give it, by class.
ENCODER = {"indomain-encoder": LayerwiseEncoder, "e4e-encoder": Encoder4Editing}
EMBEDDING = {"joint-embedding": JointEmbedding, "farl": JointEmbedding}


@dataclass(frozen=True, eq=False)
class Generated:
    """Result of `generate` and its like, detached and on the CPU (safe in gr.State).

    given: the condition as it was read: class numbers, lines, or 3DMM numbers. seconds: of this
    picture, of a batch its share. notes: what a visitor should know of how the inputs were read.
    """

    w: Float[Tensor, "1 layers dim"]
    image: Image.Image
    prompt: str | None
    condition: str | None
    given: np.ndarray | None
    scores: Scores
    seconds: float
    notes: tuple[str, ...] = ()
    method: str = "mm2latent"


class MM2Latent(MultimodalEditor):
    """Generates and edits portraits from words and spatial conditions.

    generator, encoder (w_src), embedding, parser, perceptual and judge are ready modules; mappings:
    Net by kind of condition; autoencoders: by kind; morphable: reads 3DMM numbers in the order of
    layout. What a domain lacks of conditions is left out of `conditions`. All are frozen and placed
    as `Runtime.decide` says. missing: why a component is not here, a sentence each.
    """

    paper = "mm2latent"

    def __init__(
        self,
        generator: Generator,
        encoder: LayerwiseEncoder | AtItsSize,
        embedding: Embedding,
        mappings: Mapping[str, MultimodalMapping],
        autoencoders: Mapping[str, ConditionAutoencoder],
        parser: FaceParser | BiSeNet,
        perceptual: PerceptualDistance,
        judge: PortraitJudge | FaceJudge | None = None,
        morphable: MorphableNet | None = None,
        layout: Layout = DECA,
        device: str | torch.device | None = None,
        offload: bool | str | None = None,
        missing: Mapping[str, str] | None = None,
    ):
        self.generator, self.encoder, self.embedding = generator, encoder, embedding
        self.mappings, self.missing = dict(mappings), dict(missing or {})
        self.parser, self.perceptual, self.judge = parser, perceptual, judge
        self.size, self.layout = generator.resolution, layout
        self.fingerprint = fingerprint(generator.synthesis)
        self.codes = ConditionCodes(parser, dict(autoencoders), morphable, layout, self.size)
        self.conditions = tuple(k for k in self.codes.kinds if k in self.mappings)
        _check_fit(self)
        # Not the wholes of which methods are called: a hook on those would be passed by.
        distance = (perceptual.lpips.scaling_layer, perceptual.lpips.net)
        towers = (embedding.images, embedding.texts)
        networks = (generator.synthesis, generator.mapping, encoder, judge, *self.mappings.values())
        self.place((*networks, *self.codes.modules, *towers, *distance), device, offload, self.size)

    @classmethod
    def arguments(cls, found: Components) -> dict[str, Any]:
        """What the constructor takes of a domain; `WeightsError` names the recipe of what lacks."""
        if found.lacking:
            raise weights.WeightsError(found.lacking)
        clay, encoder = found.domain == "clay-heads", found.network(ENCODER)
        nets = {k: found.network({f"mm2latent-{k}": MultimodalMapping}) for k in CONDITIONS}
        codes = {k: found.network({f"{k}-autoencoder": ConditionAutoencoder}) for k in AUTOENCODED}
        return {
            "generator": found.network({"generator": Generator}),
            "encoder": encoder if clay else AtItsSize(encoder).eval(),
            "embedding": found.network(EMBEDDING),
            "mappings": {k: net for k, net in nets.items() if net is not None},
            "autoencoders": {k: net for k, net in codes.items() if net is not None},
            "parser": found.network({"parser": FaceParser if clay else BiSeNet}),
            "perceptual": found.network(PERCEPTUAL),
            "judge": found.judge(),
            "morphable": found.network({"morphable": MorphableNet}),
            "layout": LAYOUTS.get(found.domain, DECA),
            "missing": found.missing,
        }

    @functools.cached_property
    def space(self) -> LatentSpace:
        """Mean and Gaussian prior of W, from samples."""
        return LatentSpace.explore(self.generator.mapping, self.device)

    @functools.cached_property
    def bank(self) -> Bank:
        """Samples of the generator with their embeddings."""
        return Bank.explore(self.generator, self.embedding, self.device)

    @functools.cached_property
    def unsaid(self) -> Unsaid:
        """What requests leave open, of samples by seed."""
        return Unsaid(self.generator, self.embedding, self.codes, self.project)

    @functools.cached_property
    def map(self) -> EmbeddingMap:
        """The principal axes of the bank's embeddings."""
        return EmbeddingMap.of(self.bank.embedding)

    # ---- stages on pictures ----------------------------------------------------------------------

    @stage
    def generate(
        self,
        prompt: str | None = None,
        *,
        mask: Image.Image | np.ndarray | None = None,
        sketch: Image.Image | np.ndarray | None = None,
        morphable: Numbers | None = None,
        variety: float = 0.0,
        unsaid: float = 0.0,
        seed: int = 0,
    ) -> Generated:
        """I = G(Net(f_text, f_cond)) (Eqs. 1 and 6), in one forward pass.

        Prompt and condition may contradict each other; either may be left out, and one condition
        at most is given. 3DMM numbers that a mapping does not name are the mean. variety: length of
        the noise of Eq. 2 on f_text, 0 to 2, drawn by seed. unsaid: how much of what is left open
        is drawn by seed, 0 (the mean of all that the inputs suit) to 1 (as varied as samples of the
        generator). Both 0: the same inputs, the same picture.
        """
        given = {"mask": mask, "sketch": sketch, "morphable": morphable}
        return self._varied(prompt, given, (variety, unsaid), (seed,))[0]

    @stage
    def vary(
        self,
        prompt: str | None = None,
        *,
        seeds: Sequence[int] = range(4),
        variety: float = 1.0,
        unsaid: float = 0.0,
        **condition: Any,
    ) -> list[Generated]:
        """`generate` for each of some seeds, as one batch whose inputs are read once."""
        return self._varied(prompt, condition, (variety, unsaid), tuple(seeds))

    def leave_one_out(self, prompt: str, **condition: Any) -> dict[str, Generated]:
        """`generate` from both, from the prompt alone and from the condition alone, by name."""
        both = self.generate(prompt, **condition)
        if both.condition is None:
            raise ValueError("a condition must be given; got a prompt alone. Call `generate`.")
        return {
            "both": both,
            "prompt alone": self.generate(prompt),
            f"{both.condition} alone": self.generate(**condition),
        }

    @stage
    def ablate(
        self,
        prompt: str,
        *,
        by: str,
        share: float = 0.5,
        picture: Image.Image | None = None,
        **condition: Any,
    ) -> Generated:
        """The same request without the fusion that Net learnt (Sec. 4.3), or without words.

        by: "layers" and "mean" put the codes Net(f_text, .) and Net(., f_cond) together by hand,
        with the condition's in the first `share` of the layers, as TediGAN does, or with its weight
        `share` in their mean; "picture" takes f_img of `picture` for f_text, as training did, so
        that the way from words to pictures is left out.
        """
        start = time.perf_counter()
        if by not in FUSIONS:
            raise ValueError(f"by must be one of {', '.join(FUSIONS)}; got {by!r}. Choose one.")
        if not 0 <= share <= 1:  # NaN fails this too
            raise ValueError(f"share must lie in 0 to 1; got {share!r}. Try 0.5.")
        asked = self._request(prompt, **condition)
        if asked.f_text is None or asked.kind is None:
            raise ValueError("a prompt and a condition must be given; got one alone. Give both.")
        given = self._tensor(asked.given)
        if by == "picture":
            f_img = self.embedding.embed_images(as_tensor(picture, self.size).to(self.device))
            w = self.project(f_img.float(), asked.kind, given)
        else:
            text, w = self.project(asked.f_text, asked.kind), self.project(None, asked.kind, given)
            first = round(share * self.generator.num_ws)
            mixed = torch.cat([w[:, :first], text[:, first:]], 1)
            w = mixed if by == "layers" else torch.lerp(text, w, share)
        return replace(self._results(w, asked, start)[0], method=by)

    @stage
    def baseline(
        self,
        prompt: str | None = None,
        *,
        method: str,
        mask: Image.Image | np.ndarray | None = None,
        sketch: Image.Image | np.ndarray | None = None,
        morphable: Numbers | None = None,
        steps: int = 50,
        image_every: int = 10,
        on_step: OnStep | None = None,
    ) -> Generated:
        """The same by one of METHODS; "nearest" needs a prompt and takes no steps."""
        if method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method!r}.")
        start = time.perf_counter()
        asked = self._request(prompt, mask=mask, sketch=sketch, morphable=morphable)
        if asked.words is None and (asked.kind is None or method == "nearest"):
            raise ValueError(f"{method} must have a prompt; got none. Describe a portrait.")
        if method == "nearest":
            w = self.bank.nearest(asked.f_text)[:, None].expand(-1, self.generator.num_ws, -1)
        else:
            wanted = None if asked.given is None else self._tensor(asked.given)
            report = reporter(method, on_step, image_every)
            w, _ = self.rivals.tedigan(asked.f_text, asked.kind, wanted, steps=steps, report=report)
        return replace(self._results(w, asked, start)[0], method=method)

    @stage
    def locate(self, result: Generated, *, noisy: int = 16) -> Located:
        """Where a result stands in the joint embedding among samples of the generator.

        noisy: how many pseudo texts of its prompt (Eq. 2, strength 1) are placed with it.
        """
        f_img = self.embedding.embed_images(as_tensor(result.image, self.size).to(self.device))
        if result.prompt is None:
            return self.map.locate(f_img)
        f_text = self._embedded(result.prompt)
        random = torch.Generator().manual_seed(0)
        return self.map.locate(f_img, f_text, pseudo_text(f_text.expand(noisy, -1), random))

    # ---- the method on tensors -------------------------------------------------------------------

    @torch.no_grad()
    def project(
        self,
        f_text: Float[Tensor, "b d"] | None,
        kind: str | None = None,
        given: Tensor | None = None,
    ) -> Float[Tensor, "b layers dim"]:
        """w = Net(f_text, f_cond) for every layer.

        kind: whose Net, the domain's first by default; given: conditions of it as
        `ConditionCodes.read` has them, one for each text or one for all, None for none.
        """
        net = self.mappings[kind or self.conditions[0]]
        f_cond = None if given is None else self.codes.coded(given, kind)
        if f_text is not None and f_cond is not None:
            f_cond = f_cond.expand(len(f_text), -1)
        return net(f_text, f_cond)[:, None].repeat(1, self.generator.num_ws, 1)

    @property
    def rivals(self) -> MultimodalBaselines:
        """What `baseline` optimises with."""
        readings = {"mask": read_mask(self.parser), "sketch": read_sketch}
        if self.codes.morphable is not None:
            readings["morphable"] = read_morphable(self.codes.morphable)
        return MultimodalBaselines(self.generator, self.embedding, self.space, readings)

    # ---- between the two -------------------------------------------------------------------------

    def _varied(
        self, prompt: str | None, condition: Mapping[str, Any], drawn: tuple[float, float],
        seeds: Sequence[int],
    ) -> list[Generated]:  # fmt: skip
        start, (variety, unsaid) = time.perf_counter(), drawn
        if not 0 <= variety <= 2:  # NaN fails this too
            raise ValueError(f"variety must lie in 0 to 2; got {variety!r}. Try 1, as in training.")
        if not 0 <= unsaid <= 1:
            raise ValueError(f"unsaid must lie in 0 to 1; got {unsaid!r}. Try 1.")
        if not seeds:
            raise ValueError("seeds must hold at least one; got none. Give e.g. range(4).")
        asked = self._request(prompt, **condition)
        if asked.words is None and asked.kind is None:
            raise ValueError(
                "prompt or a condition must be given; got neither. Describe a portrait, or give a "
                f"{' or '.join(self.conditions)}."
            )
        f_text, given = asked.f_text, None
        if f_text is not None:
            f_text = torch.cat([_noisy(f_text, variety, seed) for seed in seeds])
        if asked.given is not None:
            given = self._tensor(asked.given)
        w = self.project(f_text, asked.kind, given).expand(len(seeds), -1, -1)
        if unsaid:
            w = w + unsaid * self.unsaid(seeds, asked.kind, worded=f_text is not None)
        return self._results(w, asked, start)

    def _results(
        self, w: Float[Tensor, "b layers dim"], asked: Request, start: float
    ) -> list[Generated]:
        """Pictures of codes that were found for one request, and how well each fits it."""
        parts = w.split(AT_ONCE)
        x = [self.runtime.picture(self.generator.synthesis, part).clamp(-1, 1) for part in parts]
        seconds = (time.perf_counter() - start) / len(w)
        scores = [each for part in x for each in self._scores(part, asked)]
        images = [image for part in x for image in as_images(part)]
        return [
            Generated(
                code.detach().cpu().clone(), image, asked.words, asked.kind, asked.given, score,
                seconds, asked.notes,
            )
            for code, image, score in zip(w.split(1), images, scores, strict=True)
        ]  # fmt: skip


def _noisy(f_text: Float[Tensor, "1 d"], variety: float, seed: int) -> Float[Tensor, "1 d"]:
    random = torch.Generator().manual_seed(seed)
    return pseudo_text(f_text, random, variety) if variety else f_text


def _check_fit(pipeline: MM2Latent) -> None:
    """Raise unless the networks speak of the same conditions and codes."""
    if not pipeline.conditions:
        raise weights.WeightsError(
            "expected a mapping network and what reads its condition; got none that go together; "
            f"train one with {RECIPES['mask']}."
        )
    for kind in pipeline.conditions:
        net = pipeline.mappings[kind]
        size = pipeline.codes.numbers(kind)
        if net.condition != kind or net.sizes[1] != size:
            raise weights.WeightsError(
                f"expected a mapping network for {kind}s of {size} numbers; got one for "
                f"{net.condition}s of {net.sizes[1]}; train it with {RECIPES[kind]}."
            )
    net = pipeline.codes.morphable
    if net is not None and net.names != pipeline.layout.names:
        raise weights.WeightsError(
            f"expected 3DMM numbers {', '.join(pipeline.layout.names[:3])}, ...; got "
            f"{', '.join(net.names[:3])}, ...; train with python -m pipelines.training.morphable."
        )
