"""What the reactor counts besides what every server does."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import Counter, Gauge, Histogram

from services.common.metrics import Metrics

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)


class Meters:
    """On the registry of the server's metrics."""

    def __init__(self, metrics: Metrics) -> None:
        registry = metrics.registry
        self.frames = Counter("kinesphere_reaction_frames", "Frames that left.", registry=registry)
        self.late = Histogram(
            "kinesphere_reaction_late_seconds",
            "Time from a frame's beat to its leaving.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.answered = Histogram(
            "kinesphere_reaction_answer_seconds",
            "Time from the arrival of a partner's frame to the leaving of the agent's that answers it.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.refused = Counter("kinesphere_sessions_refused", "For lack of capacity.", registry=registry)
        self.sessions = Gauge("kinesphere_sessions_running", "Sessions that run here.", registry=registry)
        self.load = Gauge(
            "kinesphere_sessions_load", "Share of the measured capacity; scale on this.", registry=registry
        )
        self.memory_only = Gauge(
            "kinesphere_store_lost", "1 while sessions go on in memory alone.", registry=registry
        )

    def watch(self, sessions: Callable[[], float], load: Callable[[], float]) -> None:
        """Let the gauges ask when they are scraped."""
        self.sessions.set_function(sessions)
        self.load.set_function(load)
