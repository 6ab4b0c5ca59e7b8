"""Sessions at rest: made, read, changed and listed in the store, whoever runs them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

import numpy as np

from kinesphere.errors import InputError
from kinesphere.scenes import Raster
from kinesphere.text import FEATURE_WIDTH, TextEncoder
from kinesphere.v1 import reactor_pb2 as pb
from kinesphere.v1 import scene_pb2
from services.common import convert
from services.reactor import scenes, state
from services.reactor.agent import Agent
from services.reactor.body import REFERENCE, Body
from services.reactor.errors import ConflictError, NotFoundError
from services.reactor.scenes import SceneBuilder
from services.reactor.store import TAKEN, Store, Stored

DEFAULT_FPS: Final = 20.0
DEFAULT_PAGE: Final = 50
_PREFIX: Final = "sessions/"
_FIELDS: Final = ("intent", "interaction", "scene", "goal")
_TRIES: Final = 5
_MIN_HISTORY: Final = 0.2
Change = Callable[[pb.Session], None]


def id_of(name: str) -> str:
    return name.removeprefix(_PREFIX)


def name_of(id: str) -> str:
    return _PREFIX + id


class Sessions:
    """Reads and writes settings; used from one event loop."""

    def __init__(self, store: Store, encoder: TextEncoder) -> None:
        self._store = store
        self._encoder = encoder
        self._builder = SceneBuilder()

    async def create(self, request: pb.CreateSessionRequest) -> pb.Session:
        """Raises InputError naming the field of the scene or the history that cannot be used."""
        asked = request.session
        settings = pb.Session(intent=asked.intent, fps=asked.fps or DEFAULT_FPS)
        settings.seed = asked.seed if asked.HasField("seed") else secrets.randbits(31)
        for field in ("interaction", "scene", "goal"):
            if asked.HasField(field):
                getattr(settings, field).CopyFrom(getattr(asked, field))
        _with_defaults(settings)
        body, initial = REFERENCE, b""
        if request.HasField("history"):
            motion = await asyncio.to_thread(convert.motion_from_proto, request.history, "history")
            if motion.seconds < _MIN_HISTORY:
                raise InputError(
                    "history.num_frames", f"last {motion.seconds:g} s, at least {_MIN_HISTORY:g} s"
                )
            body = Body.of_history(motion)
            body.tell(settings)
            last = await asyncio.to_thread(body.last_poses, motion)  # a long history takes a while
            initial = state.pack(Agent(settings.seed, last).state(), [])
        scene = await self._builder.packed(settings.scene, "session.scene", body.scale)
        _without_cells(settings)
        text = await self._embedded(settings.intent)
        id = secrets.token_hex(8)
        await self._store.create(id, settings.SerializeToString(), text, scene, initial)
        return await self.get(id)

    async def get(self, id: str) -> pb.Session:
        """The session without its scene's mesh and occupancy. Raises NotFoundError."""
        stored, oldest, expires = await self._store.read(id)
        return _told(id, pb.Session.FromString(stored.settings), stored, oldest, expires)

    async def page(self, after: str, count: int) -> tuple[list[pb.Session], str]:
        """Up to ``count`` sessions whose IDs come after ``after``, and the ID to go on from (empty: no more)."""
        ids = await self._store.page(after, count + 1)
        found = []
        for id in ids[:count]:
            try:
                session = await self.get(id)
            except NotFoundError:  # expired
                await self._store.forget(id)
                continue
            session.ClearField("scene")
            found.append(session)
        return found, ids[count - 1] if len(ids) > count else ""

    async def update(self, asked: pb.Session, paths: Iterable[str]) -> pb.Session:
        """Set the fields ``paths`` of the session to what ``asked`` says. Raises InputError(``update_mask``)."""
        wanted = list(paths)
        if not wanted:
            raise InputError("update_mask", f"names no field; of {', '.join(_FIELDS)}")
        for path in wanted:
            if path not in _FIELDS:
                raise InputError("update_mask", f"{path!r} cannot be changed; of {', '.join(_FIELDS)}")
        if not asked.name:
            raise InputError("session.name", "is required")

        def change(settings: pb.Session) -> None:
            for path in wanted:
                settings.ClearField(path)  # type: ignore[arg-type]
                if path == "intent":
                    settings.intent = asked.intent
                elif asked.HasField(path):  # type: ignore[arg-type]
                    getattr(settings, path).CopyFrom(getattr(asked, path))

        await self._change(
            id_of(asked.name), change, asked.scene if "scene" in wanted else None, "session.scene"
        )
        return await self.get(id_of(asked.name))

    async def apply(self, id: str, asked: pb.SessionChange) -> None:
        """A change that came in a React stream. Raises UpstreamError without the store."""
        scene = asked.scene if asked.HasField("scene") else None
        await self._change(id, lambda settings: _apply(asked, settings), scene, "change.scene")

    async def applied(self, stored: Stored, asked: pb.SessionChange) -> Stored:
        """``stored`` with a change that the store has not heard of."""
        scene = stored.scene
        if asked.HasField("scene"):
            scene = await self._packed(stored, asked.scene, "change.scene")
        settings, text = await self._edited(stored, lambda settings: _apply(asked, settings))
        return replace(stored, settings=settings, text=text, scene=scene)

    async def opened(self, stored: Stored) -> tuple[pb.Session, Raster | None]:
        """The settings of a session that is about to run, and its surroundings in the units of its body."""
        return pb.Session.FromString(stored.settings), await scenes.unpacked(stored.scene)

    async def _change(self, id: str, change: Change, scene: scene_pb2.Scene | None, path: str) -> None:
        """Read, change, write, again while somebody else does the same. scene: a new one.

        Raises InputError on the scene's field under ``path``, NotFoundError, ConflictError.
        """
        packed: bytes | None = None
        for _ in range(_TRIES):
            stored, _, _ = await self._store.read(id)
            if scene is not None and packed is None:
                packed = await self._packed(stored, scene, path)
            settings, text = await self._edited(stored, change)
            now = stored.scene if packed is None else packed
            if await self._store.change(id, stored.version, settings, text, now) != TAKEN:
                return
        raise ConflictError("others change this session all the time", retry_after=0.1)

    async def _packed(self, stored: Stored, scene: scene_pb2.Scene, path: str) -> bytes:
        """``scene`` in the units of the session's body."""
        body = Body.of_session(pb.Session.FromString(stored.settings))
        return await self._builder.packed(scene, path, body.scale)

    async def _edited(self, stored: Stored, change: Change) -> tuple[bytes, bytes]:
        """Settings and text after ``change``."""
        settings = pb.Session.FromString(stored.settings)
        intent = settings.intent
        change(settings)
        _with_defaults(settings)
        _without_cells(settings)
        text = stored.text if settings.intent == intent else await self._embedded(settings.intent)
        return settings.SerializeToString(), text

    async def _embedded(self, intent: str) -> bytes:
        if not intent.strip():
            return np.zeros(FEATURE_WIDTH, np.float32).tobytes()
        vectors = await asyncio.to_thread(self._encoder.sentence, [intent])
        return bytes(vectors[0].tobytes())


def _apply(asked: pb.SessionChange, settings: pb.Session) -> None:
    if asked.HasField("intent"):
        settings.intent = asked.intent
    for field in ("interaction", "scene", "goal"):
        if asked.HasField(field):
            getattr(settings, field).CopyFrom(getattr(asked, field))
    if asked.clear_goal:
        settings.ClearField("goal")


def _with_defaults(settings: pb.Session) -> None:
    if not settings.HasField("interaction"):
        settings.interaction.people = settings.interaction.scene = 1.0


def _without_cells(settings: pb.Session) -> None:
    """Leave out what bodies look up elsewhere, and nobody is told again."""
    if settings.HasField("scene"):
        settings.scene.ClearField("occupancy")
        settings.scene.ClearField("mesh")


def _told(id: str, settings: pb.Session, stored: Stored, oldest: int, expires: float) -> pb.Session:
    settings.name = name_of(id)
    settings.next_sequence, settings.oldest_sequence = stored.next, oldest
    settings.running = stored.running
    settings.create_time.FromNanoseconds(round(stored.created * 1e9))
    settings.expire_time.FromNanoseconds(round(expires * 1e9))
    return settings
