"""Where networks compute, where they wait and how precisely: decided once, used by every pipeline.

A `Runtime` is the decision. Its `offload` says where networks are between two calls:

- none: on the device, always;
- model: on the CPU; each visits the device from its first call in a stage to the end of the stage,
  so that an optimisation loop uploads it once;
- sequential: on the CPU; each submodule visits for its own forward pass alone, and what autograd
  keeps for the backward pass waits on the CPU too. Every step of a loop uploads again: this is for
  networks that do not fit in any other way.

A pipeline inherits `Placed`, hands over its networks, and marks its public methods with `stage`.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import inspect
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

import weights
from pipelines.components import Components

Offload = Literal["none", "model", "sequential"]
OFFLOADS = ("none", "model", "sequential")  # each leaves more of the device free than the last
# Of a step of optimisation in float32, for each pixel: what the generator, VGG16 and an encoder
# keep for the backward pass. Counted: 5.9 KB at 128 px, 3.2 KB at 1024 px.
BYTES_A_PIXEL = 6000
WHOLE = ("SegmentationBranch",)  # networks that read the weights of layers without calling them


def choose_device(device: str | torch.device | None = None) -> torch.device:
    """The given device; for None and "auto" this process's GPU where there is one, else the CPU."""
    if device is None or str(device) == "auto":
        device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if _has_gpu() else "cpu"
    # "cuda" compares unequal to the "cuda:0" of tensors, which defeats the hooks' early return.
    return torch.device("cuda:0" if str(device) == "cuda" else device)


def _has_gpu() -> bool:
    # ZeroGPU only pretends to have one outside of the calls that borrow it.
    return torch.cuda.is_available() and not os.environ.get("SPACES_ZERO_GPU")


def may_move(device: torch.device, offload: bool | str | None) -> bool:
    """Whether hooks may come to move the networks, which must then belong to one pipeline alone."""
    return device.type == "cuda" if offload is None else offload not in (False, "none")


def room_for(side: int) -> int:
    """Bytes that a step of optimisation needs beside the networks, for one picture of `side` px."""
    return BYTES_A_PIXEL * side * side


def bytes_of(modules: Sequence[nn.Module], away_from: torch.device | None = None) -> int:
    """Bytes of all parameters and buffers, or of those that are not on a device yet."""
    tensors = [t for module in modules for t in (*module.parameters(), *module.buffers())]
    return sum(t.nbytes for t in tensors if t.device != away_from)


@dataclass(frozen=True)
class Step:
    """One moment of a running stage: `index` of `total` steps done, images every few steps.

    loss is None where nothing is minimised.
    """

    stage: str
    index: int
    total: int
    loss: float | None
    images: list[Image.Image] | None = None


OnStep = Callable[[Step], bool | None]  # True stops the stage


@dataclass(frozen=True)
class Runtime:
    """device: where networks compute; offload: where they are between calls; dtype: the precision
    of pictures made without a gradient (optimisation is always in float32)."""

    device: torch.device
    offload: Offload = "none"
    dtype: torch.dtype = torch.float32

    @classmethod
    def decide(
        cls,
        device: str | torch.device | None = None,
        offload: bool | str | None = None,
        need: int = 0,
        room: int = 0,
        half: bool = False,
    ) -> Runtime:
        """The runtime for networks of `need` bytes and a working room of `room` bytes.

        device: the first GPU where there is one, by default. offload: one of OFFLOADS; True is
        "model", False "none"; None decides by the free memory: "none" where networks and room fit,
        "model" where the networks alone do, else "sequential". half: float16 for pictures made
        without a gradient, on a GPU. Of clay portraits it changes 2 % of the bytes, by 1 (counted
        on the CPU); bfloat16 changes 17 %, by up to 3, and is not offered.
        """
        device = choose_device(device)
        if offload is None:
            offload = _by_memory(device, need, room)
        offload = {True: "model", False: "none"}.get(offload, offload)
        if offload not in OFFLOADS:
            raise ValueError(
                f"offload must be one of {', '.join(OFFLOADS)}, a bool or None; got {offload!r}."
            )
        halved = half and device.type == "cuda"
        return cls(device, offload, torch.float16 if halved else torch.float32)

    @property
    def more(self) -> Runtime | None:
        """The same with the next kind of offload; None after the last."""
        following = OFFLOADS[OFFLOADS.index(self.offload) + 1 :]
        return replace(self, offload=following[0]) if following else None

    def place(self, modules: Sequence[nn.Module]) -> list[Hook]:
        """Put networks where they wait; hooks take them to the device as they are called.

        A module without parameters stays on the device: there is nothing that a hook could look at.
        Hooks fire on the call of a module: what is hooked must be what is called.
        """
        hooks: list[Hook] = []
        for module in modules:
            if self.offload == "none" or next(module.parameters(), None) is None:
                module.to(self.device)
            elif self.offload == "model":
                from accelerate import cpu_offload_with_hook  # needed here alone

                # Without prev_module_hook: a chain would evict and upload at every step of a loop.
                hooks.append(cpu_offload_with_hook(module, self.device)[1])
            else:
                hooks.append(Submodules(module, self.device))
        return hooks

    @contextlib.contextmanager
    def computing(self) -> Iterator[None]:
        """Around a stage: no gradients unless asked for, kept on the CPU with "sequential"."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            if self.offload == "sequential":
                # Otherwise autograd would hold every uploaded weight until the backward pass.
                stack.enter_context(torch.autograd.graph.save_on_cpu())
            yield

    def picture(
        self, synthesis: nn.Module, ws: Float[Tensor, "b layers d"]
    ) -> Float[Tensor, "b 3 h w"]:
        """G(w) without a gradient, in `dtype`; in float32 where a number outgrows that."""
        with torch.no_grad():
            if self.dtype != torch.float32:
                with torch.autocast(self.device.type, self.dtype):
                    x = synthesis(ws).float()
                if x.isfinite().all():
                    return x
            return synthesis(ws)


class Submodules:
    """The hooks of a network whose submodules visit the device one at a time."""

    def __init__(self, module: nn.Module, device: torch.device) -> None:
        from accelerate import cpu_offload

        self.module = cpu_offload(module.to("cpu"), device, preload_module_classes=list(WHOLE))

    def offload(self) -> None:
        """Nothing is left on the device but buffers."""

    def remove(self) -> None:
        """Give the network its weights back, on the CPU."""
        from accelerate.hooks import remove_hook_from_submodules

        remove_hook_from_submodules(self.module)
        self.module.to("cpu")


Hook = Submodules | Any  # or accelerate's UserCpuOffloadHook: offload() and remove()


class Placed:
    """A pipeline whose networks are placed by a `Runtime`; `use` moves them to another one.

    paper: its name in the manifest. A pipeline says in `arguments` what it takes of a domain.
    """

    paper: str
    runtime: Runtime
    _networks: tuple[nn.Module, ...] = ()
    _hooks: Sequence[Hook] = ()
    _side: int = 0
    _alone: threading.RLock  # held by a stage whose networks move

    @classmethod
    def arguments(cls, found: Components) -> dict[str, Any]:
        """What the constructor takes, by name, of a domain's weights."""
        raise NotImplementedError(f"{cls.__name__} must say which networks it takes of a domain.")

    @classmethod
    def from_pretrained(
        cls,
        domain: str = "clay-heads",
        device: str | None = None,
        offload: bool | str | None = None,
    ) -> Self:
        """The method with the weights of a domain.

        Raises `WeightsError` for an unknown domain and for weights that it cannot do without.
        """
        device = choose_device(device)
        # Hooks move networks about: with offload they must be this object's own.
        stay = functools.partial(weights.shared, device=device)
        load = weights.load if may_move(device, offload) else stay
        found = cls.arguments(Components(domain, cls.paper, load))
        return cls(**found, device=device, offload=offload)

    @property
    def device(self) -> torch.device:
        """Where tensors go that meet the networks."""
        return self.runtime.device

    def place(
        self,
        modules: Sequence[nn.Module | None],
        device: str | torch.device | None,
        offload: bool | str | None,
        side: int,
    ) -> None:
        """Freeze the networks that are there and place them; side: of the pictures, in pixels."""
        modules = [module for module in modules if module is not None]
        for module in modules:
            module.eval().requires_grad_(False)
        self._networks, self._side = tuple(modules), side
        self._alone = threading.RLock()
        self.move_to(device, offload)

    def move_to(self, device: str | torch.device | None, offload: bool | str | None = None) -> None:
        """Decide anew, for a device, and move the networks."""
        device = choose_device(device)
        need = bytes_of(self._networks, away_from=device)
        self.use(Runtime.decide(device, offload, need, room_for(self._side)))

    def use(self, runtime: Runtime) -> None:
        """Move the networks to another runtime, with more offload if they do not fit."""
        for hook in self._hooks:
            hook.offload()
            hook.remove()
        self.runtime, self._hooks = runtime, ()
        try:
            self._hooks = runtime.place(self._networks)
        except torch.cuda.OutOfMemoryError:
            pass  # the networks are half-way: they go on below, when the error holds nothing
        else:
            return
        if runtime.more is None:
            raise MemoryError(_too_little(runtime))
        _free()
        self.use(runtime.more)

    def rest(self) -> None:
        """Send offloaded networks back to the CPU."""
        for hook in self._hooks:
            hook.offload()


def stage(method: Callable | None = None, *, times: Callable[[dict], int] | None = None) -> Any:
    """A public stage of a `Placed` pipeline: no gradients; offloaded networks leave at its end.

    `stage.steps(*its arguments)` says how many optimisation steps of one picture a call asks for:
    its argument `steps`, 0 without one, by `times` of all its arguments by name.

    A stage that runs out of the device's memory is begun once more, with more offload; if that does
    not fit either, MemoryError says so in one sentence. The pipeline keeps the greater offload.
    Where networks move, stages of other threads wait: one that a visitor has left is still ending
    its step when the next begins, and would take the networks away from that.
    """

    if method is None:
        return functools.partial(stage, times=times)

    @functools.wraps(method)
    def run(self: Placed, *args, **kwargs):
        with self._alone if self._hooks else contextlib.nullcontext():
            return attempts(self, *args, **kwargs)

    def attempts(self: Placed, *args, **kwargs):
        for runtime in (self.runtime, self.runtime.more):
            if runtime is None:
                break
            if runtime != self.runtime:
                self.use(runtime)
            try:
                with self.runtime.computing():
                    return method(self, *args, **kwargs)
            except torch.cuda.OutOfMemoryError:
                pass  # its frames hold the tensors: they are freed below, when it is gone
            finally:
                self.rest()
            _free()
        raise MemoryError(_too_little(self.runtime))

    run.is_stage, run.steps = True, functools.partial(_steps, inspect.signature(method), times)
    return run


def _steps(signature: inspect.Signature, times: Callable | None, *args, **kwargs) -> int:
    given = signature.bind(None, *args, **kwargs)
    given.apply_defaults()
    return given.arguments.get("steps", 0) * (times(given.arguments) if times else 1)


def _by_memory(device: torch.device, need: int, room: int) -> Offload:
    if device.type != "cuda":
        return "none"
    free, _ = torch.cuda.mem_get_info(device)
    return "none" if need + room <= free else "model" if need <= free else "sequential"


def _free() -> None:
    """Give what nobody holds any more back to the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _too_little(runtime: Runtime) -> str:
    name = str(runtime.device)
    if runtime.device.type == "cuda":
        free, total = (size / 1e9 for size in torch.cuda.mem_get_info(runtime.device))
        name = f"{torch.cuda.get_device_name(runtime.device)} ({free:.1f} of {total:.1f} GB free)"
    return (
        f"this must fit into the memory of {name}; got out of memory, with offload "
        f'"{runtime.offload}" too: take fewer pictures at once or a smaller domain, or close what '
        "else uses the device."
    )
