"""The chain of recipes: each gets options that it has, and goes on, ends or begins anew rightly."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path

import pytest

from pipelines.training import __main__ as main
from pipelines.training import chain

IDS = [recipe.name for recipe in chain.RECIPES]
BY_NAME = {recipe.name: recipe for recipe in chain.RECIPES}


@pytest.mark.parametrize("recipe", chain.RECIPES, ids=IDS)
def test_every_option_is_one_of_the_recipe(recipe, monkeypatch, capsys) -> None:
    module = importlib.import_module(f"pipelines.training.{recipe.module}")
    monkeypatch.setattr("sys.argv", [recipe.module, "--help"])
    with pytest.raises(SystemExit):
        module.main()
    known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    line = chain.command(recipe, chain.Budget(Path("runs"), 10, "cpu", batch=64, threads=1))
    assert ("--batch" in line) is recipe.through
    assert {word for word in line if word.startswith("--")} <= known


def test_needs_are_trained_before_and_minutes_make_a_whole() -> None:
    done: set[str] = set()
    for recipe in chain.RECIPES:
        assert set(recipe.needs.values()) <= done, recipe.name
        done.add(recipe.component)
    budget = chain.Budget(Path("runs"), 600.0)
    trained = [recipe for recipe in chain.RECIPES if recipe.share]
    assert sum(map(budget.minutes_of, trained)) == pytest.approx(600)
    assert len(set(IDS)) == len(IDS)
    assert all(recipe.share > 0 or recipe.solves > 0 for recipe in chain.RECIPES)


def test_who_goes_on_from_weights_does_not_write_over_them() -> None:
    out = Path("runs")
    products = [chain.product(out, recipe) for recipe in chain.RECIPES]
    assert len(set(products)) == len(products)
    assert chain.reads(BY_NAME["sharpen"], out)["start"] == products[IDS.index("generator")]
    final = chain.reads(BY_NAME["boundaries"], out)["generator"]
    assert final == products[IDS.index("sharpen")] == chain.weight(out / "weights", "generator")


@pytest.fixture
def budget(tmp_path) -> chain.Budget:
    """A folder in which the perceptual network and the generator's inputs lie."""
    (tmp_path / "train").mkdir()
    progress = {"done": 3, "recipe": {"count": 8, "split": "train"}}
    (tmp_path / "train" / "progress.json").write_text(json.dumps(progress))
    (tmp_path / "weights").mkdir()
    chain.weight(tmp_path / "weights", "perceptual").write_bytes(b"trained")
    return chain.Budget(tmp_path, 100.0)


def train(recipe: chain.Recipe, budget: chain.Budget, minutes: float) -> None:
    """What a recipe leaves behind after so many minutes."""
    chain.begin(recipe, budget)
    folder = budget.out / recipe.name / "stage"
    folder.mkdir(exist_ok=True)
    (folder / "log.csv").write_text(f"step,seconds\n1,0.0\n9,{60 * minutes}\n")


def test_a_recipe_is_to_do_then_runs_on_then_is_done(budget) -> None:
    recipe = BY_NAME["generator"]
    whole = budget.minutes_of(recipe)
    assert chain.status(recipe, budget) == chain.Status("to do", whole)
    train(recipe, budget, whole / 4)
    assert chain.status(recipe, budget).state == "runs on"
    assert chain.status(recipe, budget).left == pytest.approx(0.75 * whole)
    train(recipe, budget, whole)
    chain.product(budget.out, recipe).write_bytes(b"weights")
    chain.end(recipe, budget)
    assert chain.status(recipe, budget) == chain.Status("done", 0.0)
    more = chain.Budget(budget.out, 2 * budget.minutes)
    assert chain.status(recipe, more).state == "runs on"
    assert chain.status(recipe, more).left == pytest.approx(whole)


def test_a_recipe_whose_weights_were_lost_runs_on(budget) -> None:
    recipe = BY_NAME["generator"]
    train(recipe, budget, budget.minutes_of(recipe))
    chain.end(recipe, budget)
    assert chain.status(recipe, budget).state == "runs on"


@pytest.mark.parametrize("change", ["weights", "set"])
def test_changed_inputs_begin_anew_and_empty_the_folder(budget, change) -> None:
    recipe = BY_NAME["generator"]
    train(recipe, budget, 5)
    old = budget.out / recipe.name / "stage" / "log.csv"
    if change == "weights":
        chain.weight(budget.out / "weights", "perceptual").write_bytes(b"trained longer")
    else:
        progress = {"done": 8, "recipe": {"count": 8, "split": "test"}}
        (budget.out / "train" / "progress.json").write_text(json.dumps(progress))
    assert chain.status(recipe, budget).state == "anew"
    chain.begin(recipe, budget)
    assert not old.exists() and chain.status(recipe, budget).state == "runs on"


def test_a_set_that_is_rendered_further_is_the_same_set(budget) -> None:
    recipe = BY_NAME["generator"]
    train(recipe, budget, 5)
    progress = {"done": 16, "recipe": {"count": 16, "split": "train"}}
    (budget.out / "train" / "progress.json").write_text(json.dumps(progress))
    assert chain.status(recipe, budget).state == "runs on"


def test_the_chain_runs_what_is_left_in_order(budget, monkeypatch, capsys) -> None:
    ran: list[str] = []

    def run(line: list[str], threads: int | None) -> None:
        ran.append(line[2].removeprefix("pipelines.training."))
        if "--weights" in line:
            Path(line[line.index("--weights") + 1]).write_bytes(b"weights")

    monkeypatch.setattr(main, "run", run)
    monkeypatch.setattr("os.nice", lambda by: by, raising=False)
    words = ["training", "--out", str(budget.out), "--minutes", "100"]
    monkeypatch.setattr("sys.argv", [*words, "--only", "generator", "sharpen"])
    main.main()
    assert ran == ["examples.clay", "examples.clay", "generator", "sharpen"]
    ran.clear()
    monkeypatch.setattr("sys.argv", [*words, "--after", "parser"])
    main.main()
    after = [recipe.module for recipe in chain.RECIPES[IDS.index("parser") + 1 :]]
    left = [module for module in after if module not in ("generator", "sharpen")]  # they are done
    assert ran == ["examples.clay", "examples.clay", *left]
    capsys.readouterr()
    monkeypatch.setattr("sys.argv", [*words, "--plan"])
    ran.clear()
    main.main()
    said = capsys.readouterr().out
    assert not ran and re.search(r"generator +done +0 min", said)
    minutes = chain.Budget(budget.out, 100.0).minutes_of(BY_NAME["identity"])
    assert re.search(rf"identity +to do +{minutes:.0f} min", said)


@pytest.mark.parametrize("option", ["--only", "--after"])
def test_an_unknown_recipe_is_named(monkeypatch, capsys, option) -> None:
    monkeypatch.setattr("sys.argv", ["training", "--out", "runs", option, "sharpener"])
    with pytest.raises(SystemExit):
        main.parse()
    assert "got ['sharpener']" in capsys.readouterr().err
