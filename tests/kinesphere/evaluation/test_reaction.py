"""The reaction tables: on a made-up data set, with graphs whose weights are random."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from kinesphere.datasets.reactions.dataset import ReactionDataset
from kinesphere.errors import InputError
from kinesphere.evaluation import reaction_report as report
from kinesphere.evaluation.answers import Answer
from kinesphere.evaluation.reacting import MOST, joints_of, shuffled, trial
from kinesphere.evaluation.reaction import Options, Result, run_reaction
from kinesphere.evaluation.reaction_pictures import draw
from kinesphere.evaluation.reaction_scores import PAIRS, POOL, SCENES, pools_of, summary
from kinesphere.metrics.reaction import facing_error
from tests.kinesphere.evaluation.reacting_bodies import Plain, sentences, write_reactions

OPTIONS = Options(per_situation=4, repeats=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ReactionDataset:
    return ReactionDataset(write_reactions(tmp_path_factory.mktemp("reactions")))


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch")
    from services.trainer.reactor_graphs import export_untrained

    folder = tmp_path_factory.mktemp("models")
    export_untrained(folder)
    return folder


@pytest.fixture(scope="module")
def result(data: ReactionDataset, untrained: Path) -> Result:
    return run_reaction(data, untrained, Plain(), sentences, OPTIONS, {"other": untrained})


def test_people_and_things_recorded_and_composed_have_tables_of_their_own(result: Result) -> None:
    assert [(table.name, table.counts) for table in result.tables] == [
        ("people, composed", {"wave_back": 4}),
        ("people, recorded", {"salsa": 4}),
        ("things, composed", {"walk_to": 4}),
    ]
    people, things = result.tables[0], result.tables[2]
    systems = ["segment+FWSR", "segment", "slide", "prior only", "other (segment)"]
    assert [row.name for row in people.rows] == ["real", "shuffled", *systems]
    assert [row.name for row in things.rows] == [
        "real",
        "shuffled",
        "segment+FWSR",
        "segment",
        "prior only",
        "no goal",
    ]
    assert people.columns == PAIRS
    assert things.columns == SCENES


def test_the_real_agents_are_the_ceiling(result: Result) -> None:
    people, _, things = result.tables
    real = people.row("real").values
    assert real["accuracy"] == [1.0, 1.0]
    assert real["early"] == [0.0, 0.0]
    # The hand is up 0.6 to 0.8 s after the partner's began to rise, and sooner where the answer comes sooner.
    assert 500 < real["delay"][0] < 1100
    np.testing.assert_allclose(real["fid"], 0, atol=1e-6)
    assert real["distance"] == [0.0, 0.0]
    assert real["facing"][0] < 5
    assert real["latency"] == []
    walked = things.row("real").values
    assert walked["goal_distance"][0] == pytest.approx(0.0, abs=1e-5)
    assert walked["reached"] == [1.0, 1.0]
    assert walked["collision"] == [0.0, 0.0]


def test_a_network_that_knows_nothing_does_not_answer(result: Result) -> None:
    people, dancers, things = result.tables
    for name in ("segment+FWSR", "segment", "prior only"):
        row = people.row(name).values
        assert row["accuracy"] == [0.0, 0.0]
        assert row["delay"] == []
        assert row["fid"][0] > 0
        assert len(row["latency"]) == 1
        assert row["latency"][0] > 0
        assert things.row(name).values["reached"] == [0.0, 0.0]  # it stands where it began
    assert dancers.row("segment").values["accuracy"] == []  # nothing definite is asked of dancers
    assert (
        people.row("segment").values["fid"] == people.row("other (segment)").values["fid"]
    )  # the same graph
    assert people.row("segment").values["fid"] != people.row("prior only").values["fid"]
    assert things.row("segment+FWSR").values["jerk"] != things.row("no goal").values["jerk"]


def test_slide_is_run_once_and_the_table_says_so(result: Result) -> None:
    people = result.tables[0]
    assert len(people.row("slide").values["jerk"]) == 1
    assert len(people.row("segment").values["jerk"]) == 2
    assert "slide: 1 repeat" in people.notes


def test_too_few_texts_leave_r_precision_out(result: Result) -> None:
    found = report.as_json(result)
    for table in found["tables"]:
        assert table["rows"][0]["metrics"]["r_precision_3"] is None
        assert any(
            note.startswith("no R-precision: fewer than 32 different texts") for note in table["notes"]
        )


def test_the_same_seed_gives_the_same_figures(data: ReactionDataset, untrained: Path, result: Result) -> None:
    options = replace(OPTIONS, repeats=1, wanted=("segment",))
    again = run_reaction(data, untrained, Plain(), sentences, options)
    row, before = again.tables[0].row("segment").values, result.tables[0].row("segment").values
    assert [each.name for each in again.tables[0].rows] == ["real", "shuffled", "segment"]
    for metric in PAIRS:
        if metric != "latency":
            assert row[metric] == before[metric][:1], metric


def test_a_trial_begins_before_the_cue_or_ends_at_the_goal(data: ReactionDataset) -> None:
    for item in data.split("test"):
        found = trial(data, item)
        agent = data.agent(item).positions
        assert found.frames <= MOST
        if item.situation == "wave_back":
            assert found.onset == 10
            np.testing.assert_allclose(joints_of(found.rows)[0], agent[6], atol=1e-5)
            assert found.partner is not None
            assert len(found.partner) == found.frames
        if item.situation == "walk_to":
            np.testing.assert_allclose(joints_of(found.rows)[-1], agent[-1], atol=1e-5)


def test_shuffled_agents_begin_where_the_real_one_stands(data: ReactionDataset) -> None:
    trials = [trial(data, item) for item in data.split("test") if item.rows[1] >= 0]
    made = shuffled(trials, 0)
    for each, other in zip(trials, made, strict=True):
        assert len(other) == each.frames
        assert each.partner is not None
        np.testing.assert_allclose(other[0, [0, 2]], each.rows[0, [0, 2]], atol=1e-4)
        own, turned = (facing_error(joints_of(rows), each.partner)[0] for rows in (each.rows, other))
        assert turned == pytest.approx(own, abs=15)
    assert (
        sum(np.allclose(a.rows, b, atol=1e-3) for a, b in zip(trials, made, strict=True)) <= len(trials) // 2
    )


def test_pools_hold_different_texts() -> None:
    rng = np.random.default_rng(0)
    texts = [f"text {number % 40}" for number in range(100)]
    pools = pools_of(texts, rng)
    assert len(pools) == 3  # 40 texts, two or three of each: 96 of the 100 fill pools
    used = [index for pool in pools for index in pool]
    assert len(set(used)) == len(used) == 3 * POOL
    assert all(len({texts[index] for index in pool}) == POOL for pool in pools)
    assert pools_of(texts[:31], rng) == []
    assert pools_of(["the same"] * 64, rng) == []


def test_delays_are_of_those_who_answer() -> None:
    assert summary([]) == {}
    given = [Answer(True, 400.0, False), Answer(True, 900.0, False), Answer(True, 500.0, False)]
    missed = [Answer(False, None, False), Answer(False, None, True)]
    assert summary([*given, *missed]) == {"accuracy": 0.6, "early": 0.2, "delay": 500.0}
    assert summary(missed) == {"accuracy": 0.0, "early": 0.5}


def test_tables_are_saved_and_shown(result: Result, tmp_path: Path) -> None:
    data, text, picture = report.save(result, tmp_path / "new")
    assert [path.name for path in (data, text, picture)] == ["reaction.json", "reaction.md", "reaction.png"]
    found = json.loads(data.read_text())
    assert found["settings"]["per_situation"] == 4
    wave = found["tables"][0]["situations"]["wave_back"]
    assert wave["real"]["accuracy"] == 1.0
    assert wave["segment"] == {"answers": 8, "accuracy": 0.0, "early": 0.0}
    with Image.open(picture) as image:
        assert image.width > 1000
    stream = io.StringIO()
    report.show(result, Console(file=stream, width=200))
    for words in (stream.getvalue(), text.read_text()):
        for expected in (
            "segment+FWSR",
            "no goal",
            "other (segment)",
            "People, recorded: 4 reactions",
            "jerk at borders",
        ):
            assert expected in words
    cells = [line.count("|") for line in text.read_text().splitlines() if line.startswith("| answered")]
    assert cells == [9]  # dancers have no line for what nobody asks of them


def test_pictures_show_the_real_agent_above_the_other(result: Result, tmp_path: Path) -> None:
    drawn = draw(result, tmp_path)
    assert sorted(path.name for path in drawn) == ["salsa.png", "walk_to.png", "wave_back.png"]
    with Image.open(tmp_path / "wave_back.png") as picture:
        half = picture.height // 2
        above, below = (np.asarray(picture.crop((0, top, picture.width, top + half))) for top in (0, half))
    assert above.shape == below.shape
    assert (above != below).any()


@pytest.mark.parametrize(
    ("options", "field"),
    [(replace(OPTIONS, split="val"), "split"), (replace(OPTIONS, wanted=("segments",)), "systems")],
)
def test_what_cannot_be_run_is_refused(
    data: ReactionDataset, untrained: Path, options: Options, field: str
) -> None:
    with pytest.raises(InputError) as caught:
        run_reaction(data, untrained, Plain(), sentences, options)
    assert caught.value.field == field


def test_missing_graphs_are_named(data: ReactionDataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="reactor_segment has no VERSION/model.onnx"):
        run_reaction(data, tmp_path, Plain(), sentences, OPTIONS)
