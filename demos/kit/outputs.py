"""Outputs by name: a handler says which components it changes; all others stay as they are."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gradio as gr
from gradio.components import Component

Values = Mapping[str, Any]  # what a handler returns or yields: values by the names of outputs


def filling(handler: Callable, outputs: Mapping[str, Component]) -> dict[str, Any]:
    """The listener options `fn` and `outputs` of a handler that returns or yields `Values`."""
    return {"fn": _by_component(handler, outputs), "outputs": list(outputs.values())}


def away(whether: bool) -> list[str]:
    """The classes of a column that is hidden, and not taken away: what is in it stays as it was.

    A component that is not on the page loses what it was made of as soon as a handler leaves it as
    it is, and Gradio shows a column that is `visible="hidden"` from the start.
    """
    return ["away"] if whether else []


def _by_component(handler: Callable, outputs: Mapping[str, Component]) -> Callable:
    def shown(values: Values) -> Any:
        if unknown := values.keys() - outputs.keys():
            raise KeyError(
                f"outputs must be of {', '.join(outputs)}; got {', '.join(sorted(unknown))}; "
                "give the listener that component too."
            )
        # Gradio takes an empty dictionary for a value.
        return {outputs[name]: value for name, value in values.items()} or gr.skip()

    @functools.wraps(handler)
    def once(*inputs: Any) -> Any:
        return shown(handler(*inputs))

    @functools.wraps(handler)
    def live(*inputs: Any) -> Iterator[Any]:
        # Closed with this generator, which Gradio does when a visitor leaves.
        with contextlib.closing(handler(*inputs)) as news:
            for values in news:
                yield shown(values)

    return live if inspect.isgeneratorfunction(inspect.unwrap(handler)) else once
