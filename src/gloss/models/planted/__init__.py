"""The planted subject: a text and features whose rules are known, so that every method can be held
against the truth.
"""

from gloss.models.planted.apart import plant_apart
from gloss.models.planted.judges import RuleJudge, RuleReader
from gloss.models.planted.plant import Planted, PlantedFeature, plant

__all__ = ["Planted", "PlantedFeature", "RuleJudge", "RuleReader", "plant", "plant_apart"]
