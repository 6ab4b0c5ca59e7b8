"""Readers and writers of motion files.

``load_motion`` and ``load_positions`` read whatever the suffix names, ``save_motion`` writes it; ``FORMATS`` lists what
there is. Every reader refuses broken and hostile files with ``FormatError`` in bounded time and memory (see
``limits``).
"""

from kinesphere.errors import FormatError
from kinesphere.formats.registry import FORMATS, Format, load_motion, load_positions, save_motion
from kinesphere.formats.source import SourceMotion

__all__ = ["FORMATS", "Format", "FormatError", "SourceMotion", "load_motion", "load_positions", "save_motion"]
