"""What ran a benchmark: a figure is only worth something beside the machine it was taken on."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any

import grpc


def idle_share(seconds: float = 1.0) -> float:
    """Share of all processors that was idle over the coming ``seconds``."""

    def cpu_times() -> list[int]:
        return [int(value) for value in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]

    before = cpu_times()
    time.sleep(seconds)
    spent = [after - earlier for after, earlier in zip(cpu_times(), before, strict=True)]
    return (spent[3] + spent[4]) / max(1, sum(spent))


def machine() -> dict[str, Any]:
    """What ran this, and how idle it was for one second before."""
    idle = idle_share()
    models = [
        line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")
    ]
    return {
        "cpu": models[0].partition(":")[2].strip() if models else platform.processor(),
        "cores": os.cpu_count(),
        "load_1min": round(os.getloadavg()[0], 2),
        "idle_percent": round(100 * idle, 1),
        "scheduling": {os.SCHED_RR: "real-time", os.SCHED_FIFO: "real-time"}.get(
            os.sched_getscheduler(0), "normal"
        ),
        "python": platform.python_version(),
        "grpcio": grpc.__version__,
    }
