"""MM2Latent: Text-to-facial image generation and editing in GANs with multimodal assistance (Meng,
Tzelepis, Patras, Tzimiropoulos; ECCV 2024 workshops).

Stages: `generate` a picture from a prompt and a mask, a sketch or 3DMM numbers, any of the two left
out; `leave_one_out` shows what each contributes; `invert` a picture, or take a generated code
(`source_of`), then `edit` it by text or by a condition. `baseline` generates by other methods.

Symbols: f_text, f_img: unit embeddings of a prompt and of a picture in one space; f_cond, the code
of a mask or sketch (Eq. 3), or 3DMM numbers; Net, the mapping network; w, one code for all layers;
w_src, the layer-wise codes of a picture; beta, the strength of an edit; G, the synthesis network.
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
from examples.clay.parameters import CHOICES
from pipelines.components import PERCEPTUAL, Components
from pipelines.condition_codes import CONDITIONS, ConditionCodes
from pipelines.descent import reporter
from pipelines.embedding_map import EmbeddingMap, Located
from pipelines.images import as_images, as_tensor
from pipelines.latent_space import LatentSpace
from pipelines.latents import fingerprint
from pipelines.measures import Measured, Measures
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
from pipelines.multimodal_inputs import as_prompt
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

KINDS = ("text", *CONDITIONS)  # of edits
PIVOT = "a portrait of a person"  # of edits by text
STRONGEST = 5.0  # of beta
RECIPES = {
    kind: f"python -m pipelines.training.mm_mapping --condition {kind}" for kind in CONDITIONS
}
AUTOENCODED = CONDITIONS[:2]
# What this paper asks of a domain -> the components that can give it, by class.
ENCODER = {"indomain-encoder": LayerwiseEncoder, "e4e-encoder": Encoder4Editing}
EMBEDDING = {"joint-embedding": JointEmbedding, "farl": JointEmbedding}
Numbers = Mapping[str, float] | Sequence[float] | np.ndarray


@dataclass(frozen=True)
class Scores:
    """How well a picture agrees with what was asked.

    text: cosine of its embedding and the prompt's. condition: `ConditionCodes.agreement`.
    attributes: what the judge sees, in words. None where nothing was asked.
    """

    text: float | None = None
    condition: float | None = None
    attributes: Mapping[str, str] | None = None


@dataclass(frozen=True, eq=False)
class Generated:
    """Result of `generate` and `baseline`, detached and on the CPU (safe in gr.State).

    given: the condition as it was read: class numbers, lines, or 3DMM numbers. notes: what a
    visitor should know of how the inputs were read.
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


@dataclass(frozen=True, eq=False)
class Source:
    """A picture to edit: its codes, G of them, and what is read off the picture.

    embedding: f_img; given: the condition of each kind that this domain can read. measures: of
    image beside the picture that was inverted, None for a code that was given.
    """

    w: Float[Tensor, "1 layers dim"]
    image: Image.Image
    embedding: Float[Tensor, "1 d"]
    given: Mapping[str, np.ndarray]
    measures: Measures | None
    seconds: float


@dataclass(frozen=True, eq=False)
class Edited:
    """Result of `edit`: w = w_src + beta direction, and G(w).

    identity: likeness of image and the source's, None where nobody tells people apart; kept: share
    of pixels whose class is the source's still. scores: of image beside the target.
    """

    w: Float[Tensor, "1 layers dim"]
    image: Image.Image
    direction: Float[Tensor, "1 dim"]
    beta: float
    identity: float | None
    kept: float
    scores: Scores
    seconds: float
    notes: tuple[str, ...] = ()


class MM2Latent(Measured):
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
        seed: int = 0,
    ) -> Generated:
        """I = G(Net(f_text, f_cond)) (Eqs. 1 and 6), in one forward pass.

        Prompt and condition may contradict each other; either may be left out, and one condition
        at most is given. 3DMM numbers that a mapping does not name are the mean. variety: length of
        the noise of Eq. 2 on f_text, 0 to 2, drawn by seed; 0: the same inputs, the same picture.
        """
        start = time.perf_counter()
        words, notes = (None, ()) if prompt is None else self._words(prompt)
        kind, given = self._given(mask=mask, sketch=sketch, morphable=morphable)
        if words is None and kind is None:
            raise ValueError(
                "prompt or a condition must be given; got neither. Describe a portrait, or give a "
                f"{' or '.join(self.conditions)}."
            )
        f_text = None if words is None else self._embedded(words)
        if f_text is not None:
            f_text = _varied(f_text, variety, seed)
        w = self.project(f_text, kind, None if given is None else self._tensor(given))
        return self._result(w, words, kind, given, notes, start)

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
    def invert(self, image: Image.Image) -> Source:
        """The codes w_src that the domain's encoder gives a picture, and what is read off it."""
        start, x = time.perf_counter(), as_tensor(image, self.size).to(self.device)
        w = self.encoder(x)
        rebuilt = self.generator.synthesis(w)
        (measures,) = self.compare(x, rebuilt)
        return self._source(w, x, rebuilt, measures, start)

    @stage
    def source_of(self, w: Float[Tensor, "1 layers dim"]) -> Source:
        """The source that a code is already, such as that of a `Generated`."""
        start, shape = time.perf_counter(), (1, self.generator.num_ws, self.generator.w_dim)
        if tuple(w.shape) != shape or not torch.isfinite(w).all():
            raise ValueError(f"w must be {shape} finite numbers; got {tuple(w.shape)}.")
        rebuilt = self.generator.synthesis(w.to(self.device))
        return self._source(w, rebuilt.clamp(-1, 1), rebuilt, None, start)

    @stage
    def edit(
        self,
        source: Source,
        target: str | Image.Image | np.ndarray | Numbers,
        *,
        kind: str = "text",
        pivot: Any = None,
        beta: float = 1.0,
        through: str | None = None,
    ) -> Edited:
        """w_edit = w_src + beta w_dir.

        By text: w_dir = Net(f_tar, f_cond) - Net(f_piv, f_cond) (Eq. 8), with the source's own
        condition of the kind `through`, the domain's first by default. By a condition: w_dir =
        Net(f_img, f_tar) - Net(f_img, f_piv) (Eq. 9). pivot: PIVOT, or the source's own condition.
        beta: -5 to 5; 0 gives the source back.
        """
        start = time.perf_counter()
        if not (np.isfinite(beta) and abs(beta) <= STRONGEST):
            raise ValueError(f"beta must lie in [-{STRONGEST:g}, {STRONGEST:g}]; got {beta!r}.")
        if kind == "text":
            direction, notes, wanted = self._by_text(source, target, pivot, through)
        else:
            direction, notes, wanted = self._by_condition(source, target, pivot, kind)
        w_src = source.w.to(self.device)
        w = w_src + beta * direction[:, None]
        before, edited = self.generator.synthesis(torch.cat([w_src, w])).clamp(-1, 1).split(1)
        (measures,) = self.compare(before, edited)
        kept = (self.codes.read(edited, "mask") == self.codes.read(before, "mask")).float().mean()
        text, given = (wanted, None) if kind == "text" else (None, wanted)
        scores = self._scores(edited, text, None if kind == "text" else kind, given)
        return Edited(
            w.cpu(), as_images(edited)[0], direction.cpu(), float(beta), measures.identity,
            kept.item(), scores, time.perf_counter() - start, notes,
        )  # fmt: skip

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
        words, notes = (None, ()) if prompt is None else self._words(prompt)
        kind, given = self._given(mask=mask, sketch=sketch, morphable=morphable)
        if words is None and (kind is None or method == "nearest"):
            raise ValueError(f"{method} must have a prompt; got none. Describe a portrait.")
        f_text = None if words is None else self._embedded(words)
        if method == "nearest":
            w = self.bank.nearest(f_text)[:, None].expand(-1, self.generator.num_ws, -1)
        else:
            wanted = None if given is None else self._tensor(given)
            report = reporter(method, on_step, image_every)
            w, _ = self.rivals.tedigan(f_text, kind, wanted, steps=steps, report=report)
        return replace(self._result(w, words, kind, given, notes, start), method=method)

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
        """w = Net(f_text, f_cond) for every layer; given: conditions as `ConditionCodes.read`."""
        net = self.mappings[kind or self.conditions[0]]
        f_cond = None if kind is None else self.codes.coded(given, kind)
        return net(f_text, f_cond)[:, None].repeat(1, self.generator.num_ws, 1)

    @property
    def rivals(self) -> MultimodalBaselines:
        """What `baseline` optimises with."""
        readings = {"mask": read_mask(self.parser), "sketch": read_sketch}
        if self.codes.morphable is not None:
            readings["morphable"] = read_morphable(self.codes.morphable)
        return MultimodalBaselines(self.generator, self.embedding, self.space, readings)

    # ---- between the two -------------------------------------------------------------------------

    def _known(self, kind: str | None) -> str:
        """A kind of condition that this domain has; its first one for None."""
        kind = self.conditions[0] if kind is None else kind
        if kind not in self.conditions:
            why = self.missing.get(f"mm2latent-{kind}", "")
            cure = f" Train it: {RECIPES[kind]}." if kind in RECIPES else ""
            raise ValueError(
                f"condition must be one of {', '.join(self.conditions)} here; got {kind!r}."
                f"{f' ({why})' if why else ''}{cure}"
            )
        return kind

    def _given(self, **conditions: Any) -> tuple[str | None, np.ndarray | None]:
        """The one condition that was given, and how it is read."""
        found = {kind: value for kind, value in conditions.items() if value is not None}
        if len(found) > 1:
            raise ValueError(
                f"one condition at most must be given; got {' and '.join(found)}. Leave one out."
            )
        for kind, value in found.items():
            rest = self._rest() if self._known(kind) == "morphable" else None
            return kind, self.codes.checked(kind, value, rest)
        return None, None

    def _words(self, prompt: str) -> tuple[str, tuple[str, ...]]:
        """A prompt as it is read, and what of it is not."""
        words = as_prompt(prompt)
        left = self.embedding.left_out(words)
        if not left:
            return words, ()
        return words, (
            f"The prompt is too long: its last {len(left)} of {len(words)} characters, from "
            f"{left[:30]!r} on, were not read.",
        )

    def _rest(self) -> np.ndarray:
        """3DMM numbers where none are named: the mean of training."""
        return self.mappings["morphable"].neutral(1)[0].cpu().numpy()

    def _embedded(self, words: str) -> Float[Tensor, "1 d"]:
        return self.embedding.embed_texts([words]).float().to(self.device)

    def _tensor(self, given: np.ndarray) -> Tensor:
        return torch.from_numpy(given)[None].to(self.device)

    def _by_text(
        self, source: Source, target: str, pivot: str | None, through: str | None
    ) -> tuple[Tensor, tuple[str, ...], str]:
        """Eq. 8, what to say of the words, and the target as it was read."""
        kind = self._known(through)
        words, notes = self._words(target)
        first, more = self._words(PIVOT if pivot is None else pivot)
        f_cond = self.codes.coded(self._tensor(source.given[kind]), kind)
        net = self.mappings[kind]
        away = net(self._embedded(words), f_cond) - net(self._embedded(first), f_cond)
        return away, (*notes, *more), words

    def _by_condition(
        self, source: Source, target: Any, pivot: Any, kind: str
    ) -> tuple[Tensor, tuple[str, ...], np.ndarray]:
        """Eq. 9, and the target as it was read."""
        own = source.given.get(self._known(kind))
        wanted = self.codes.checked(kind, target, own)
        first = own if pivot is None else self.codes.checked(kind, pivot, own)
        f_img, net = source.embedding.to(self.device), self.mappings[kind]
        tar, piv = (self.codes.coded(self._tensor(given), kind) for given in (wanted, first))
        return net(f_img, tar) - net(f_img, piv), (), wanted

    def _source(
        self, w: Tensor, x: Tensor, rebuilt: Tensor, measures: Measures | None, start: float
    ) -> Source:
        given = {kind: self.codes.read(x, kind)[0].cpu().numpy() for kind in self.conditions}
        f_img = self.embedding.embed_images(x).float().cpu()
        seconds = time.perf_counter() - start
        return Source(w.detach().cpu(), as_images(rebuilt)[0], f_img, given, measures, seconds)

    def _result(
        self,
        w: Tensor,
        words: str | None,
        kind: str | None,
        given: np.ndarray | None,
        notes: tuple[str, ...],
        start: float,
    ) -> Generated:
        x = self.runtime.picture(self.generator.synthesis, w).clamp(-1, 1)
        seconds = time.perf_counter() - start
        scores = self._scores(x, words, kind, given)
        return Generated(
            w.detach().cpu().clone(), as_images(x)[0], words, kind, given, scores, seconds, notes
        )

    def _scores(
        self, x: Tensor, words: str | None, kind: str | None, given: np.ndarray | None
    ) -> Scores:
        text = condition = attributes = None
        if words is not None:
            text = (self.embedding.embed_images(x).float() * self._embedded(words)).sum().item()
        if kind is not None:
            condition = self.codes.agreement(x, kind, self._tensor(given)).item()
        if self.judge is not None and (seen := self.judge(x).choices):
            # The judge's options by name, where the renderer names as many.
            names = {n: CHOICES.get(n, ()) for n in seen}
            attributes = {
                n: names[n][best]
                for n, logits in seen.items()
                if (best := int(logits[0].argmax())) < len(names[n])
            }
        return Scores(text, condition, attributes)


def _varied(f_text: Tensor, variety: float, seed: int) -> Tensor:
    if not 0 <= variety <= 2:  # NaN fails this too
        raise ValueError(f"variety must lie in 0 to 2; got {variety!r}. Try 1, as in training.")
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
