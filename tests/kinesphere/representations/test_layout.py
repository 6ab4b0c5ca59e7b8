import numpy as np
import pytest

from kinesphere.errors import InputError
from kinesphere.representations import hml263, interhuman262, primitive276
from kinesphere.representations.layout import Layout


def test_slices_follow_from_sizes() -> None:
    layout = Layout(6, root=2, height=1, contacts=3)
    assert list(layout) == ["root", "height", "contacts"]
    assert (layout["root"], layout["height"], layout["contacts"]) == (slice(0, 2), slice(2, 3), slice(3, 6))
    assert (len(layout), layout.size("contacts")) == (6, 3)


@pytest.mark.parametrize("sizes", [{"a": 2}, {"a": 2, "b": 2}, {"a": 4, "b": -1}])
def test_sizes_that_do_not_make_the_total_are_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="not 3|add up"):
        Layout(3, **sizes)


@pytest.mark.parametrize("shape", [(3,), (2, 4), (1, 2, 3)])
def test_check_names_the_field(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError) as caught:
        Layout(3, a=3).check("motion.features", np.zeros(shape))
    assert caught.value.field == "motion.features"
    assert "[T, 3]" in caught.value.reason


def test_check_refuses_what_is_not_finite() -> None:
    with pytest.raises(InputError, match="NaN"):
        Layout(2, a=2).check("features", np.array([[1.0, np.inf]]))


def test_published_places() -> None:
    assert hml263.LAYOUT["root_height"] == slice(3, 4)
    assert hml263.LAYOUT["joint_rotations"] == slice(67, 193)
    assert hml263.LAYOUT["contacts"] == slice(259, 263)
    assert primitive276.LAYOUT["orientation_delta"] == slice(138, 144)
    assert interhuman262.LAYOUT["rotations"] == slice(132, 258)
