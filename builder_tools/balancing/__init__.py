"""Balancing faces: `FaceSMOTE` for arrays and folders, ready-made strategies, a flat sampler.

Every synthetic image has a provenance: what it was made of, and how.
"""

from builder_tools.balancing.balancers import BALANCERS
from builder_tools.balancing.making import carry_targets
from builder_tools.balancing.neighbours import KINDS, SPACES
from builder_tools.balancing.quality import judge_made
from builder_tools.balancing.sampler import FaceSampler
from builder_tools.balancing.smote import FaceSMOTE

__all__ = [
    "BALANCERS",
    "KINDS",
    "SPACES",
    "FaceSMOTE",
    "FaceSampler",
    "carry_targets",
    "judge_made",
]
