"""A reaction on a Unitree G1; see ``__main__``."""

import ctypes.util
import os
import sys

if sys.platform == "linux":
    # How mujoco draws without a display. It reads this as it is imported, and fails if the library is not there.
    os.environ.setdefault("MUJOCO_GL", "egl" if ctypes.util.find_library("EGL") else "disabled")
