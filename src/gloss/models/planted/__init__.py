"""The planted subject: a text and features whose rules are known, so that every method can be held
against the truth.
"""

from gloss.models.planted.apart import plant_apart
from gloss.models.planted.judges import RuleJudge
from gloss.models.planted.plant import Planted, PlantedFeature, plant
from gloss.models.planted.rule_reader import RuleReader

__all__ = ["Planted", "PlantedFeature", "RuleJudge", "RuleReader", "plant", "plant_apart"]
