"""Stored examples of the comparison: a scene, and what each paper made of it.

A paper's results stand apart from the scene and from the other papers', each with the weights that
they come from: a paper that is switched off, or whose networks have changed, is left out.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from types import SimpleNamespace
from typing import Any

from demos.comparison import cards
from demos.comparison.method import CHANGES
from demos.comparison.session import WHOLE, Answer, Edited, Entrant, Inverted, Subject
from demos.comparison.session import edited as edit_by
from demos.comparison.session import inverted as invert_by
from demos.kit.outputs import Values
from demos.kit.runs import mark
from demos.kit.shelf import Scene
from demos.papers import PAPERS
from examples.stored import Stored, StoredResults, alike

FOLDER, SCENE = "comparison", "scene"
EXAMPLE = "truth"  # the picture of a scene that stands beside it where examples are chosen


def results_of(entrant: Entrant, kinds: Iterable[str]) -> StoredResults:
    """Where a paper's part of the comparison is stored, with the weights that it comes from."""
    return StoredResults(FOLDER, tuple(kinds), entrant.paper.networks)


def scenes(kinds: Iterable[str]) -> StoredResults:
    """Where the scenes are stored, which no network made."""
    return StoredResults(FOLDER, tuple(kinds), ())


# ---- made -------------------------------------------------------------------------------------


def staged(scene: Scene, name: str, change: str) -> Stored:
    """A scene with the true answers to all of CHANGES; change: the one that is shown first."""
    subject = Subject(scene.image, scene)
    pictures = {cards.PICTURE: scene.image}
    pictures |= {f"truth-{asked}": subject.truth(CHANGES[asked]) for asked in CHANGES}
    values = {
        "seed": scene.seed, "thing": scene.thing, "look": scene.look, "shift": scene.shift,
        "focus": scene.focus, "change": change,
    }  # fmt: skip
    return Stored(name, values, pictures | {EXAMPLE: pictures[f"truth-{change}"]})


def made(entrant: Entrant, scene: Scene, name: str) -> Stored:
    """What a paper makes of a scene: its inversion, and all the changes that it can make.

    Its seconds are not those in which other programs kept the processor: at most what it took of
    the processor itself.
    """
    entrant.load()
    subject, begun = Subject(scene.image, scene), time.process_time()
    found = invert_by(entrant, subject.picture)
    seconds = min(found.seconds, time.process_time() - begun)
    subject = subject.with_inverted(entrant.paper.slug, found)
    pictures, values = {"inverted": found.image}, alike(found.measures)
    values |= {"seconds": seconds, "edited": {}}
    for asked in (asked for asked in CHANGES if asked in entrant.method.ways):
        edit = edit_by(entrant, subject, asked, subject.truth(CHANGES[asked]))
        pictures[f"edited-{asked}"] = edit.image
        values["edited"][asked] = {
            "measures": alike(edit.measures), "unedited": alike(edit.unedited),
        }  # fmt: skip
    return Stored(name, values, pictures)


@dataclass(frozen=True)
class Computed:
    """A scene as it is stored, and what each paper made of it, by slug."""

    scene: Stored
    made: Mapping[str, Stored]

    @property
    def gain(self) -> float:
        """By how much edits come nearer to the true answers than what they are edits of: LPIPS,
        the mean of all edits of all papers."""
        edits = [e for part in self.made.values() for e in part.values["edited"].values()]
        return fmean(e["unedited"]["lpips"] - e["measures"]["lpips"] for e in edits)


def computed(all_of: Sequence[Entrant], scene: Scene, name: str, change: str) -> Computed:
    """What is stored of a scene; name: for visitors; change: the one that is shown first."""
    parts = {entrant.paper.slug: made(entrant, scene, name) for entrant in all_of}
    return Computed(staged(scene, name, change), parts)


def write(all_of: Sequence[Entrant], found: Sequence[Computed]) -> None:
    """Write scenes in place of what is stored; of a paper that takes no part now nothing is lost,
    and it is shown again where the scenes are still the same."""
    kinds = _kinds(all_of)
    scenes(kinds).write({SCENE: [each.scene for each in found]})
    for entrant in all_of:
        slug = entrant.paper.slug
        results_of(entrant, kinds).write({slug: [each.made[slug] for each in found]})


def renew(entrant: Entrant) -> None:
    """Compute and write what one paper makes of the scenes that are stored."""
    slug, found = entrant.paper.slug, scenes([SCENE]).read(SCENE)
    parts = [made(entrant, scene_of(entry), entry.name) for entry in found]
    results_of(entrant, _kinds([entrant])).write({slug: parts})


def _kinds(all_of: Sequence[Entrant]) -> tuple[str, ...]:
    """All that may be stored: scenes, and a part of every paper."""
    slugs = [paper.slug for paper in PAPERS] + [entrant.paper.slug for entrant in all_of]
    return (SCENE, *dict.fromkeys(slugs))


def scene_of(entry: Stored) -> Scene:
    """The scene of a stored example."""
    return Scene(*(entry.values[key] for key in ("seed", "thing", "look", "shift", "focus")))


# ---- read -------------------------------------------------------------------------------------


def read(all_of: Sequence[Entrant]) -> list[Stored]:
    """The scenes of which a paper's results come from its present networks, with all of these.

    A paper's pictures stand under "slug/name", its numbers in the value `made` by its slug.
    """
    parts = {
        slug: {part.name: part for part in results_of(entrant, [slug]).read(slug)}
        for entrant in all_of
        for slug in [entrant.paper.slug]
    }
    found = []
    for scene in scenes([SCENE]).read(SCENE):
        here = {slug: named[scene.name] for slug, named in parts.items() if scene.name in named}
        pictures = {
            f"{slug}/{name}": picture
            for slug, part in here.items()
            for name, picture in part.pictures.items()
        }
        values = {**scene.values, "made": {slug: part.values for slug, part in here.items()}}
        if here:
            found.append(replace(scene, values=values, pictures={**scene.pictures, **pictures}))
    return found


def opened(entry: Stored) -> Subject:
    """A stored example as if the visitor had run it; its inversions cannot be edited further."""
    v, p = entry.values, entry.pictures
    inverted = {
        slug: Inverted(p[f"{slug}/inverted"], _measures(numbers), numbers["seconds"])
        for slug, numbers in v["made"].items()
    }
    answers = {}
    for name in (name for name in CHANGES if f"truth-{name}" in p):
        told = {slug: numbers["edited"].get(name) for slug, numbers in v["made"].items()}
        edited = {
            slug: Edited(p[f"{slug}/edited-{name}"], *map(_measures, numbers.values()))
            for slug, numbers in told.items()
            if numbers is not None
        }
        answers[name] = Answer(p[f"truth-{name}"], edited)
    return Subject(p[cards.PICTURE], scene_of(entry), WHOLE, inverted, {}, answers)


def page(handlers: Any, entry: Stored) -> Values:
    """Everything that a stored example puts on the page."""
    subject, v = opened(entry), entry.values
    shelf = {key: v[key] for key in ("seed", "thing", "look", "shift", "focus", "change")}
    return shelf | handlers.shown(subject, v["change"]) | {
        "given": subject.picture, "subject": subject, "words": "", "state": "",
        "of": mark(subject.picture, *WHOLE),
    }  # fmt: skip


def _measures(numbers: Mapping[str, Any]) -> Any:
    return SimpleNamespace(**{key: numbers[key] for key in ("psnr", "lpips", "identity")})
