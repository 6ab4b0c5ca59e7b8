"""The Python clients against a real server."""

from __future__ import annotations

import time

import numpy as np
import pytest

from kinesphere.errors import InputError
from kinesphere.reaction_client import AgentEvent, AgentFrame
from kinesphere.reaction_plain import ReactionClient
from kinesphere.v1 import reactor_pb2 as pb
from kinesphere.wire import ServiceError
from tests.services.reactor.conftest import Replica, walker

pytestmark = pytest.mark.slow


def test_a_session_from_a_program_without_asyncio(replica: Replica) -> None:
    with ReactionClient([replica.address]) as client:
        name = client.create(intent="wave back", fps=20, seed=3, goal=[0, 1, 2])
        assert client.get(name).intent == "wave back"
        frames, events = [], []
        with client.react(name) as reaction:
            for answer in reaction:
                if isinstance(answer, AgentFrame):
                    frames.append(answer)
                    reaction.see(walker(answer.seconds))
                    if len(frames) == 10:
                        reaction.change(interaction=pb.Interaction(people=1))
                    if len(frames) == 25:
                        reaction.finish()
                elif isinstance(answer, AgentEvent):
                    events.append(answer.kind)
            assert reaction.header is not None
            assert reaction.header.session == name
        assert [frame.sequence for frame in frames] == list(range(len(frames)))
        assert frames[-1].partner_index >= 0
        assert frames[0].rotations.shape == (22, 4)
        assert {"PARTNER_APPEARED", "CHANGED"} <= set(events)
        assert client.update(name, intent="bow", goal=None).intent == "bow"
        assert name in {session.name for session in client.sessions()}
        heard = client.subscribe(name, 0)
        again = [next(heard) for _ in range(len(frames))]
        np.testing.assert_array_equal(again[7].rotations, frames[7].rotations)
        assert client.end(name) == len(frames)
        assert list(heard) == []


def test_what_is_wrong_is_named(replica: Replica) -> None:
    with ReactionClient([replica.address], timeout=5) as client:
        with pytest.raises(InputError) as refusal:
            client.create(fps=5)
        assert refusal.value.field == "session.fps"
        with pytest.raises(ServiceError) as failure:
            client.get("sessions/none")
        assert failure.value.reason == "NOT_FOUND"
        with client.react(client.create()) as reaction, pytest.raises(InputError):
            reaction.see(np.zeros((21, 3)))


def test_nobody_there_is_told_in_time() -> None:
    began = time.monotonic()
    with ReactionClient(["127.0.0.1:1", "127.0.0.1:2"], timeout=1) as client:
        with pytest.raises(ServiceError) as failure:
            client.create()
        assert failure.value.code == "UNAVAILABLE"
        with pytest.raises(ServiceError), client.react("sessions/none") as reaction:
            next(iter(reaction))
    assert time.monotonic() - began < 15
