"""A recipe or a benchmark over several processes: who does what, and what all of them know then.

    accelerate launch --multi_gpu --num_processes 2 -m pipelines.training.parser --data ...

(--multi_gpu starts several processes on a CPU as well; with --cpu accelerate starts one.) Started
in any other way there is one process, which does everything. Work is shared in whole batches, as
one process would form them, so that the numbers are the very same; a training batch is that of all
processes together, each of which takes its rows of it.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from pipelines.runtime import choose_device

Item = TypeVar("Item")


@dataclass(frozen=True)
class Shard:
    """One of `count` processes, by its number `rank` from 0."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this process speaks and writes for all."""
        return self.rank == 0

    def part(self, items: Sequence[Item]) -> Sequence[Item]:
        """This process's run of items; the runs follow each other and differ by one at most."""
        start, end = (len(items) * rank // self.count for rank in (self.rank, self.rank + 1))
        return items[start:end]

    def rows(self, batch: int) -> slice:
        """This process's rows of a batch; raises ValueError unless all have as many."""
        if batch % self.count:
            raise ValueError(
                f"batch must be a multiple of {self.count}, the number of processes; got {batch}. "
                f"Give --batch {max(1, round(batch / self.count)) * self.count}."
            )
        size = batch // self.count
        return slice(self.rank * size, (self.rank + 1) * size)

    def gather(self, items: Iterable[Item]) -> list[Item]:
        """All processes' items, in order of rank; tensors among them should be on the CPU."""
        items = list(items)
        if self.count == 1:
            return items
        from accelerate.utils import gather_object  # only where there are several

        return gather_object(items)

    def agree(self, number: float) -> float:
        """The first process's number."""
        return self.gather([number])[0]

    @torch.no_grad()
    def average(self, parameters: Iterable[Tensor]) -> None:
        """Give every parameter that has a gradient the mean gradient of all processes."""
        if self.count == 1:
            return
        from accelerate.utils import reduce

        gradients = [p.grad for p in parameters if p.grad is not None]
        if gradients:
            together = reduce(torch.cat([g.flatten() for g in gradients]), reduction="mean")
            means = together.split([g.numel() for g in gradients])
            for g, mean in zip(gradients, means, strict=True):
                g.copy_(mean.view_as(g))

    @torch.no_grad()
    def alike(self, module: nn.Module) -> None:
        """Give a module the numbers that it has in the first process."""
        if self.count == 1:
            return
        from accelerate.utils import broadcast

        for value in module.state_dict().values():
            value.copy_(broadcast(value.clone(memory_format=torch.contiguous_format)))

    @contextlib.contextmanager
    def speaking(self) -> Iterator[None]:
        """Around what is printed once for all: the other processes are silent."""
        with contextlib.nullcontext() if self.first else contextlib.redirect_stdout(io.StringIO()):
            yield


@functools.cache
def here(device: str | torch.device | None = None) -> Shard:
    """This process's share; the first call says on which device processes talk to each other."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return Shard()
    from accelerate import PartialState

    state = PartialState(cpu=choose_device(device).type == "cpu")
    # Threads that still wait for the other processes would end this one by SIGABRT.
    atexit.register(state.destroy_process_group)
    return Shard(state.process_index, state.num_processes)
