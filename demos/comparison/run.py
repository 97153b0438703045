"""A run of the comparison: every method rebuilds the picture, then all make the same change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from demos.comparison import cards
from demos.comparison.method import CHANGES
from demos.comparison.session import Answer, Entrant, Subject, edited, inverted
from demos.kit.bridge import Done, Stop, spoken_errors, stoppable, stream
from demos.kit.imaging import refuse
from demos.kit.inputs import aligned
from demos.kit.outputs import Values
from demos.kit.shelf import meant, scene_of
from demos.kit.words import running, said, strangers

AGAIN = "Press the button to see it"


@dataclass(frozen=True)
class Handlers:
    """What the button, the changes and the stored examples do; entrants: who takes part."""

    entrants: tuple[Entrant, ...]

    @stoppable
    def run(
        self, picture, x: float, y: float, zoom: float, seed: int | None, thing: str, look: float,
        shift: float, focus: float, name: str, stop: Stop,
    ) -> Iterator[Values]:  # fmt: skip
        """Rebuild a picture by every method, then make one change of it by each.

        name: of CHANGES. The true answer is known when the picture is the portrait of `seed` with
        the thing before the face. Yields the cards of methods as they come, and words at the end.
        """
        staged = (thing, look, shift, focus)
        picture = meant(picture, seed, *staged)
        image, crop = aligned(picture, x, y, zoom), (x, y, zoom)
        with spoken_errors():
            subject = Subject(image, scene_of(picture, seed, *staged), crop)
            truth = subject.truth(CHANGES[_known(name)])
        empty = cards.waiting_cards(self.entrants, name) | {"words": "", "subject": None}
        yield empty | cards.given_cards(subject, name, truth)
        for place, entrant in enumerate(self.entrants):
            subject = yield from self._invert(entrant, place, subject, stop)
            if stop.pressed:
                break
        yield cards.inverted_cards(self.entrants, subject, cards.NOT_REACHED)
        subject = yield from self._answer(subject, name)
        outside = subject.inside is False
        words = strangers({"the picture": False}) if outside else ""
        yield {"subject": subject, "words": words}

    def change(self, subject: Subject | None, name: str) -> Iterator[Values]:
        """Make another change by the inversions that are there; nothing is inverted again."""
        if subject is None:  # what is chosen counts for the next run
            yield {}
        elif _known(name) in subject.answers:
            yield self._answered(subject, name)
        else:
            subject = yield from self._answer(subject, name)
            yield {"subject": subject}

    def looked_at(self, picture: Any, x: float, y: float, zoom: float) -> Values:
        """The card of the picture as the networks see it."""
        return {cards.PICTURE: cards.picture_card(picture and aligned(picture, x, y, zoom))}

    def shown(self, subject: Subject, name: str) -> Values:
        """All cards of a subject that is finished, such as a stored one."""
        return cards.inverted_cards(self.entrants, subject, AGAIN) | self._answered(subject, name)

    def _answered(self, subject: Subject, name: str) -> Values:
        return cards.edited_cards(self.entrants, subject, name, subject.answers[name], AGAIN)

    def cleared(self) -> Values:
        """The page without results; the picture's own card follows the picture by itself."""
        first = next(iter(CHANGES))
        empty = cards.waiting_cards(self.entrants, first, cards.ASK)
        for entrant in self.entrants:  # whatever change is chosen by then
            slug = entrant.paper.slug
            empty[cards.edit_of(slug)] = cards.blank(cards.link(entrant), cards.ASK)
        return empty | {"words": "", "subject": None}

    def _invert(
        self, entrant: Entrant, place: int, subject: Subject, stop: Stop
    ) -> Iterator[Values]:
        """Yields a running method's card; returns the subject with its inversion, or why not."""
        slug, name = entrant.paper.slug, said(f"<b>{entrant.paper.name}</b>")
        yield {slug: cards.running_card(entrant), "state": name}
        try:
            for news in stream(lambda on_step: inverted(entrant, subject.picture, on_step), stop):
                if isinstance(news, Done):
                    after = subject.with_inverted(slug, news.result)
                    yield {slug: cards.inverted_card(entrant, news.result)}
                    return after
                state = name + running(news, place, len(self.entrants))
                yield {slug: cards.running_card(entrant, news), "state": state}
        except gr.Error as error:  # the others go on
            after = subject.with_inverted(slug, str(error.message))
            yield {slug: cards.inverted_cards([entrant], after)[slug]}
            return after

    def _answer(self, subject: Subject, name: str) -> Iterator[Values]:
        """Yields the true answer and each method's edit; returns the subject with all of it."""
        with spoken_errors():
            truth = subject.truth(CHANGES[name])
        answer = Answer(truth)
        yield {cards.TRUTH: cards.truth_card(subject, name, truth)}
        for entrant in self.entrants:
            slug = entrant.paper.slug
            if slug not in subject.inverted or name not in entrant.method.ways:
                continue
            answer = self._edited(entrant, subject, name, answer)
            yield {cards.edit_of(slug): cards.edited_cards(
                [entrant], subject, name, answer)[cards.edit_of(slug)]}  # fmt: skip
        yield cards.edited_cards(self.entrants, subject, name, answer, cards.NOT_REACHED)
        return subject.with_answer(name, answer)

    def _edited(self, entrant: Entrant, subject: Subject, name: str, answer: Answer) -> Answer:
        slug = entrant.paper.slug
        if subject.inverted[slug].result is None:  # a stored one, without this change
            return replace(answer, failed={**answer.failed, slug: AGAIN})
        try:
            with spoken_errors():
                found = edited(entrant, subject, name, answer.truth)
        except gr.Error as error:
            return replace(answer, failed={**answer.failed, slug: str(error.message)})
        return replace(answer, edited={**answer.edited, slug: found})


def _known(name: str) -> str:
    if name not in CHANGES:
        raise refuse(f"The change must be one of {', '.join(CHANGES)}; got {name!r}.")
    return name
