"""The surroundings of a movement: solid boxes and meshes, how far places are from them, and which they fill."""

from kinesphere.scenes.field import DistanceField
from kinesphere.scenes.raster import Raster
from kinesphere.scenes.scene import AFFORDANCES, Affordance, Box, Scene

__all__ = ["AFFORDANCES", "Affordance", "Box", "DistanceField", "Raster", "Scene"]
