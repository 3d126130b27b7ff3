"""What results are reported on and what settings are chosen on, in every world."""

from __future__ import annotations

import pytest
from fresh import loaded_by

from sctd import embedded, suites
from sctd.embedded.world import WORLDS, world_named, world_of
from sctd.embedded.worlds.rich import draw
from sctd.embedded.worlds.rich.grammar import check_prompt
from sctd.embedded.worlds.rich.kinds import KINDS
from sctd.embedded.worlds.rich.subjects import Subject


@pytest.mark.parametrize("name", list(WORLDS))
def test_evaluated_subjects_are_of_every_sort_and_none_is_for_tuning(name: str) -> None:
    world = world_named(name)
    evaluated = world.evaluated()
    assert len({subject.kind for subject in evaluated}) == len(evaluated) >= suites.EVALUATED
    for n in (12, 24):
        fronts = sum(subject.has_front for subject in evaluated[:n])
        assert n / 2 <= fronts <= 0.8 * n
    for subject in (*evaluated, *world.tuning()):
        assert world.check_prompt(str(subject)) == subject
    assert len(world.tuning()) == len(set(world.tuning())) >= 6
    assert not set(world.tuning()) & set(evaluated)


def test_the_rich_world_reports_on_all_that_training_leaves_out_living_and_still_in_turn() -> None:
    evaluated = world_named("rich").evaluated()
    assert set(evaluated) == set(draw.evaluated())
    assert [KINDS[subject.kind].alive for subject in evaluated[:24]] == [True, False] * 12


def test_rich_tuning_looks_like_nothing_that_is_evaluated_or_of_table_1() -> None:
    reported = {draw.look(subject) for subject in draw.evaluated()}
    for subject in world_named("rich").tuning():
        assert isinstance(subject, Subject)
        assert not draw.held_out(subject)
        assert draw.look(subject) not in reported
    assert draw.held_out(check_prompt("a corgi wearing a top hat"))  # so the check can fail


@pytest.mark.parametrize("name", list(WORLDS))
def test_every_kind_is_told(name: str) -> None:
    world = world_named(name)
    told = [kind for names in world.contents().values() for kind in names]
    assert set(world.questions.heads["kind"].names) <= set(told)


def test_the_facts_of_the_weights_name_all_of_their_world() -> None:
    facts = embedded.info()
    assert facts["world"] == world_of().name
    for sort, names in world_of().contents().items():
        assert facts[sort] == ", ".join(names)


def test_prompts_of_every_suite_are_found_without_torch() -> None:
    code = (
        "from sctd import suites; from sctd.embedded.world import WORLDS, world_named;"
        "[suites.prompts(name) for name in suites.names()];"
        "[(world_named(name).evaluated(), world_named(name).tuning()) for name in WORLDS]"
    )
    assert loaded_by(code, "torch") == set()
