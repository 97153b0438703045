"""What every training recipe shares: a loop with a time budget that survives interruption.

A recipe keeps its networks and optimisers in a `Loop`, zips it with its batches, and steps:

    loop = Loop(out, minutes=6, device="auto")
    loop.keep(network=network, average=average.network, optimizer=optimizer)
    loop.resume()
    batches = prefetch(map(load, shuffled(len(data), 64, seed=loop.step)))
    for fraction, batch in zip(loop, batches):
        loop.anneal(optimizer)
        with loop.autocast():
            loss = ...
        loss.backward(); optimizer.step(); optimizer.zero_grad()
        average.update(network, loop.step)
        if loop.due(20):
            loop.log(loss=loss)

Training stops after so many minutes, not steps, because that is what differs between a laptop and
a GPU; the schedule is a function of the fraction of the budget spent. Minutes count across
interruptions: a resumed loop trains what is left. Under `accelerate launch` every process takes its
rows of each batch, the gradients of kept optimisers are averaged before their steps, and the first
process keeps the time, the log and the checkpoints: see `sharding`.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import csv
import json
import math
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from tqdm import tqdm

from examples.clay.dataset import ClaySet
from pipelines.runtime import choose_device
from pipelines.training import checkpoints
from pipelines.training.sharding import here
from pipelines.training.threads import use_threads

Item = TypeVar("Item")


class Loop:
    """Yield the fraction of the time budget spent, in [0, 1), once per optimisation step.

    out: folder for `log.csv` and the checkpoint; minutes: the budget over all runs in that folder;
    device: "auto", "cpu", "cuda:0"; save_every: seconds between checkpoints; bfloat16: whether
    `autocast` computes in bfloat16; progress: whether to draw a bar; steps: the budget in
    optimisation steps in place of minutes, where runs are compared at equal pictures.
    """

    def __init__(
        self,
        out: str | Path,
        minutes: float,
        device: str = "auto",
        *,
        save_every: float = 120.0,
        bfloat16: bool = True,
        progress: bool = True,
        steps: int | None = None,
    ) -> None:
        if minutes <= 0:
            raise ValueError(f"minutes must be positive; got {minutes}. Give e.g. --minutes 6.")
        self.out = Path(out)
        self.out.mkdir(parents=True, exist_ok=True)
        self.budget = 60.0 * minutes
        self.device = choose_device(device)
        self.shard = here(self.device)
        self.save_every, self.bfloat16 = save_every, bfloat16
        self.progress = progress and self.shard.first
        self.steps = steps
        self.step = 0  # optimisation steps begun, over all runs
        self.elapsed = 0.0  # seconds of training, over all runs
        self._kept: dict[str, nn.Module | torch.optim.Optimizer] = {}
        self._bar: tqdm | None = None

    @property
    def fraction(self) -> float:
        """Share of the budget spent, 0 to 1."""
        spent = self.step / self.steps if self.steps else self.elapsed / self.budget
        return min(spent, 1.0)

    def __iter__(self) -> Iterator[float]:
        saved = self.elapsed
        for member in self._kept.values():
            if isinstance(member, nn.Module):
                self.shard.alike(member)
        with tqdm(total=round(self.budget), unit="s", disable=not self.progress) as self._bar:
            self._bar.update(round(self.elapsed))
            while self.fraction < 1:
                start, fraction = time.monotonic(), self.fraction
                self.step += 1
                yield fraction
                # One clock for all: a process that stopped before the others would strand them.
                self.elapsed = self.shard.agree(self.elapsed + time.monotonic() - start)
                self._bar.update(max(round(self.elapsed) - self._bar.n, 0))
                if self.elapsed - saved >= self.save_every or self.fraction >= 1:
                    self.save()
                    saved = self.elapsed

    def autocast(self) -> torch.autocast:
        """The precision of forward passes: bfloat16 where that is safe and saves time."""
        return autocast(self.device, self.bfloat16)

    def anneal(self, *optimizers: torch.optim.Optimizer, warmup: float = 0.03) -> None:
        """Set learning rates to their initial value times `cosine(fraction)`."""
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group.setdefault("initial_lr", group["lr"])
                group["lr"] = group["initial_lr"] * cosine(self.fraction, warmup)

    def due(self, every: int) -> bool:
        """Whether this step is the first or a multiple of `every`."""
        return self.step == 1 or self.step % every == 0

    def keep(self, **members: nn.Module | torch.optim.Optimizer) -> None:
        """Name the modules and optimisers that a checkpoint holds; all that train are here."""
        self._kept.update(members)
        for member in members.values() if self.shard.count > 1 else ():
            if isinstance(member, torch.optim.Optimizer):
                member.register_step_pre_hook(lambda stepped, *_: self.average_gradients(stepped))

    def average_gradients(self, optimizer: torch.optim.Optimizer) -> None:
        """Average an optimiser's gradients over the processes; before they are clipped, say."""
        groups = optimizer.param_groups
        self.shard.average([p for group in groups for p in group["params"]])

    def save(self) -> None:
        """Write everything kept and the progress; the checkpoint before stays."""
        if not self.shard.first:
            return
        tensors, others = {}, {}
        for name, member in self._kept.items():
            if isinstance(member, nn.Module):
                state = member.state_dict()
                tensors |= {f"{name}/{k}": v.detach().contiguous() for k, v in state.items()}
            else:
                others[name] = member.state_dict()
        progress = {"step": self.step, "elapsed": self.elapsed}
        state = {"progress": progress, "optimizers": others}
        checkpoints.write(self.out, self.step, tensors, state)

    def facts(self) -> dict[str, object]:
        """Minutes, steps and device of the training, for the model card."""
        minutes = round(self.elapsed / 60, 2)
        facts = {"minutes": minutes, "steps": self.step, "device": self.device.type}
        return facts | ({"processes": self.shard.count} if self.shard.count > 1 else {})

    def resume(self) -> bool:
        """Load the newest checkpoint of `out` into everything kept; whether there was one."""
        found = checkpoints.newest(self.out)
        if found is None:
            return False
        tensors, state = found
        for name, member in self._kept.items():
            if isinstance(member, nn.Module):
                prefix = f"{name}/"
                own = {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}
                member.load_state_dict(own)
            else:
                member.load_state_dict(state["optimizers"][name])
        self.step, self.elapsed = state["progress"]["step"], state["progress"]["elapsed"]
        return True

    def log(self, **numbers: float | Tensor) -> None:
        """Append a row of step, seconds and `numbers` to `log.csv`, and show it on the bar.

        Raises ValueError where the names differ from the file's first row.
        """
        if not self.shard.first:
            return
        values = {name: float(torch.as_tensor(v).detach()) for name, v in numbers.items()}
        row = {"step": self.step, "seconds": round(self.elapsed, 1)}
        row |= {name: float(f"{value:.6g}") for name, value in values.items()}
        path = self.out / "log.csv"
        fresh = not path.exists()
        if not fresh:
            with path.open() as file:
                header = next(csv.reader(file))
            if header != list(row):
                raise ValueError(
                    f"{path} has columns {header}; got {list(row)}. Use another --out."
                )
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if fresh:
                writer.writeheader()
            writer.writerow(row)
        if self._bar is not None:
            shown = {name: f"{value:.3g}" for name, value in values.items()}
            self._bar.set_postfix(step=self.step, **shown, refresh=False)


class Average:
    """Exponential moving average of a network's weights and buffers; `.network` is the copy.

    decay: weight of the past, reached after a ramp so that early steps are forgotten.
    """

    def __init__(self, network: nn.Module, decay: float = 0.998) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Move towards `network`; `step` counts from 1 and drives the ramp."""
        decay = min(self.decay, step / (step + 10))
        source = network.state_dict()
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                value.lerp_(source[name].to(value.dtype), 1 - decay)
            else:
                value.copy_(source[name])


def cosine(fraction: float, warmup: float = 0.03) -> float:
    """Linear from 0 to 1 during `warmup`, then half a cosine down to 0; fraction in [0, 1]."""
    if fraction < warmup:
        return (fraction + 1e-3) / (warmup + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * (fraction - warmup) / (1 - warmup)))


def autocast(device: torch.device, wanted: bool = True) -> torch.autocast:
    """bfloat16 where it saves time: on a GPU, and on a CPU with matrix units for it (AMX).

    AVX-512's own instructions for it do not: there a step of the diffusion model takes 0.90 core-
    seconds, 0.62 in float32, an encoder's 0.157, 0.097, the generator's 1.38, 1.14. Without any it
    is emulated, ten times slower.
    """
    units = getattr(torch.cpu, "get_capabilities", dict)()  # what they are, from torch 2.10 on
    fast = device.type != "cpu" or units.get("amx_bf16", False)
    return torch.autocast(device.type, torch.bfloat16, enabled=wanted and fast)


def shuffled(count: int, batch: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Endless batches of indices below `count`, int64 (batch,), each epoch in a new order.

    Indices of a batch are sorted, which reads memory-mapped files front to back. Of several
    processes each gets its rows of every batch.
    """
    if not 0 < batch <= count:
        raise ValueError(f"batch must lie in 1 to {count}, the number of items; got {batch}.")
    random, own = np.random.default_rng(seed), here().rows(batch)
    while True:
        order = random.permutation(count)
        for start in range(0, count - batch + 1, batch):
            yield np.sort(order[start : start + batch])[own]


def prefetch(items: Iterable[Item], depth: int = 2) -> Iterator[Item]:
    """The same items, read `depth` ahead by a thread; its errors are raised here."""
    ready: queue.Queue = queue.Queue(depth)
    stop, end = threading.Event(), object()

    def put(value: object) -> None:
        while not stop.is_set():
            with contextlib.suppress(queue.Full):
                ready.put(value, timeout=0.2)
                return

    def work() -> None:
        last: object = end
        try:
            for item in items:
                put(item)
                if stop.is_set():
                    return
        except BaseException as error:  # handed to the consumer, which raises it
            last = error
        put(last)

    threading.Thread(target=work, daemon=True).start()
    try:
        while (item := ready.get()) is not end:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()


def to_tensor(
    images: UInt8[np.ndarray, "b h w 3"], device: torch.device | str = "cpu"
) -> Float[Tensor, "b 3 h w"]:
    """RGB bytes as float32 in [-1, 1], channels last in memory, which CPUs prefer."""
    # What a memory map gives is read-only, which torch.from_numpy warns of: that is copied.
    pictures = torch.from_numpy(np.require(images, requirements=["C", "W"])).to(device)
    return pictures.permute(0, 3, 1, 2).float().div(127.5).sub(1)


def arguments(description: str, minutes: float, batch: int) -> argparse.ArgumentParser:
    """The command line that all recipes share; add your own options to it."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, required=True, help="rendered split, or photographs")
    parser.add_argument("--validation", type=Path, help="rendered validation split")
    parser.add_argument("--out", type=Path, required=True, help="log, checkpoint, metrics")
    parser.add_argument("--minutes", type=float, default=minutes, help="budget over all runs")
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda:0")
    parser.add_argument("--threads", type=int, help="CPU threads; all by default")
    parser.add_argument(
        "--start", type=Path, help="trained weights of the same network to go on from"
    )
    parser.add_argument("--weights", type=Path, help="write the trained weights here, in fp16")
    return parser


def finish(
    out: Path,
    metrics: Mapping[str, object],
    network: nn.Module,
    weights: Path | None = None,
    config: Mapping[str, object] | None = None,
    **card: object,
) -> None:
    """Print the held-out numbers, write `metrics.json`, and the weights with their model card.

    config: the network's constructor arguments, where it does not know them itself. card: further
    facts such as recipe, minutes, device. Of several processes the first one does so.
    """
    if not here().first:
        return
    text = json.dumps(metrics, indent=2)
    print(text)
    (Path(out) / "metrics.json").write_text(text + "\n")
    if weights is not None:
        from weights import save  # only here: a recipe without --weights runs without the package

        save(network, weights, {**card, "held_out": dict(metrics)}, config)


def command(
    recipe: str,
    doc: str,
    build: Callable[[], nn.Module],
    train: Callable[[ClaySet, Loop, nn.Module, int], nn.Module],
    evaluate: Callable[[nn.Module, ClaySet, torch.device], dict[str, float]],
    *,
    minutes: float,
    batch: int,
) -> None:
    """Run a recipe that needs nothing but pictures: read the command line, train, measure, write.

    recipe: name of its module; doc: what --help begins with; minutes, batch: defaults.
    """
    import weights  # only here, as in `finish`

    options = arguments(doc.splitlines()[0], minutes, batch).parse_args()
    use_threads(options.threads)
    loop = Loop(options.out, options.minutes, options.device)
    network = build()
    if options.start:
        network = weights.load_file(type(network), options.start).requires_grad_(True)
    data = ClaySet(options.data)
    network = train(data, loop, network, options.batch)
    held_out: dict[str, float] = {}
    if options.validation:
        held_out = evaluate(network, ClaySet(options.validation), loop.device)
    facts = {
        "recipe": f"python -m pipelines.training.{recipe}",
        "seeds": f"train {data.seeds.min()} to {data.seeds.max()}",
        "goes on from": options.start.name if options.start else "nothing",
        **loop.facts(),
    }
    finish(options.out, held_out, network, options.weights, **facts)
