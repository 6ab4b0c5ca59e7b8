"""Kinesphere's domain library: skeletons, representations, formats, datasets, metrics, drawing.

Importing it starts no server and makes no network call.
"""

__version__ = "0.1.0"
