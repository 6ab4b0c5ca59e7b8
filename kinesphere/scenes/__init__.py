"""The surroundings of a movement: solid boxes and meshes, and how far every place is from them."""

from kinesphere.scenes.field import DistanceField
from kinesphere.scenes.scene import AFFORDANCES, Affordance, Box, Scene

__all__ = ["AFFORDANCES", "Affordance", "Box", "DistanceField", "Scene"]
