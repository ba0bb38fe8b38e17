"""The planted subject: a text and features whose rules are known, so that every method can be held
against the truth.
"""

from gloss.models.planted.judges import RuleJudge
from gloss.models.planted.plant import Planted, PlantedFeature, plant

__all__ = ["Planted", "PlantedFeature", "RuleJudge", "plant"]
