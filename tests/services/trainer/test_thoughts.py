"""Thoughts say what is done, not where it was recorded; rare actions are drawn more often."""

from services.trainer.thoughts import rarity, thought_of


def test_the_topic_of_a_session_is_left_out() -> None:
    assert thought_of("Salsa dance: stand and kick.") == "Stand and kick."
    assert thought_of("Walk forward 2 m, then stop.") == "Walk forward 2 m, then stop."


def test_rare_actions_weigh_more_and_long_takes_less() -> None:
    readings = ["Walk forward."] * 940 + ["Kick."] * 30 + ["Walk forward, then kick. Then walk forward."] * 30
    weights = rarity(readings)
    walk, kick, both = weights[0], weights[940], weights[970]
    assert 1.0 < kick / walk < 10.0
    assert both < kick
