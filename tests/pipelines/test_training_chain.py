"""The chain of recipes: each gets options that it has, and nothing before what it needs."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from pipelines.training import __main__ as chain

IDS = [recipe.module for recipe in chain.RECIPES]


@pytest.mark.parametrize("recipe", chain.RECIPES, ids=IDS)
def test_every_option_is_one_of_the_recipe(recipe, monkeypatch, capsys) -> None:
    module = importlib.import_module(f"pipelines.training.{recipe.module}")
    monkeypatch.setattr("sys.argv", [recipe.module, "--help"])
    with pytest.raises(SystemExit):
        module.main()
    known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    line = chain.command(recipe, Path("runs"), 10, "cpu", batch=64)
    assert ("--batch" in line) is recipe.through
    assert {word for word in line if word.startswith("--")} <= known


def test_needs_are_trained_before_and_shares_make_a_whole() -> None:
    done: set[str] = set()
    for recipe in chain.RECIPES:
        assert set(recipe.needs.values()) <= done, recipe.module
        done.add(recipe.component)
    assert sum(recipe.share for recipe in chain.RECIPES) == pytest.approx(1)


def test_an_unknown_recipe_is_named(monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.argv", ["training", "--out", "runs", "--only", "sharpener"])
    with pytest.raises(SystemExit):
        chain.parse()
    assert "got ['sharpener']" in capsys.readouterr().err
