"""Two captions as one sentence: what was said of each stays, in order."""

import numpy as np
import pytest

from services.trainer.chaining import chain_captions, prolonged


@pytest.mark.parametrize("seed", range(40))
def test_both_actions_are_said_in_order(seed: int) -> None:
    said = chain_captions(
        "A person walks forward.", "a tired man waves with the left hand", np.random.default_rng(seed)
    )
    assert said.lower().index("walks forward") < said.index("waves with the left hand")
    assert "man" not in said.split("walks forward")[1]


@pytest.mark.parametrize("second", ["Raise the right arm.", "to the left he goes", "human"])
def test_a_caption_without_a_plain_subject_is_kept_whole(second: str) -> None:
    said = chain_captions("he bows", second, np.random.default_rng(0))
    assert said.endswith(second[0].lower() + second[1:].rstrip("."))


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        ("Run forward 8 m at a normal pace.", "Run forward 4.5 m at a normal pace.",
         "Run forward 12.5 m at a normal pace."),
        ("Walk sideways to the left 0.6 m slowly.", "Walk sideways to the left 1.0 m slowly.",
         "Walk sideways to the left 1.6 m slowly."),
        ("Stand still.", "Stand still.", "Stand still."),
        ("Walk sideways to the left 0.6 m slowly.", "Walk sideways to the right 1 m slowly.", None),
        ("Run forward 8 m at a normal pace.", "Run forward 8 m fast.", None),
        ("Walk forward 2 m slowly, turn left 90 degrees, then stop.", "Walk forward 2 m slowly.", None),
        ("Stand and bow.", "Stand and bow.", None),
    ],
)  # fmt: skip
def test_only_what_goes_on_is_prolonged(first: str, second: str, together: str | None) -> None:
    assert prolonged(first, second) == together
