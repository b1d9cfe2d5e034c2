"""The published names of blendshapes, and the FACS action units that they resemble."""

from __future__ import annotations

BLENDSHAPES = (
    "_neutral",
    *("browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
    *("cheekPuff", "cheekSquintLeft", "cheekSquintRight"),
    *("eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight"),
    *("eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight"),
    *("eyeLookUpLeft", "eyeLookUpRight", "eyeSquintLeft", "eyeSquintRight"),
    *("eyeWideLeft", "eyeWideRight"),
    *("jawForward", "jawLeft", "jawOpen", "jawRight"),
    *("mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight"),
    *("mouthFunnel", "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight"),
    *("mouthPressLeft", "mouthPressRight", "mouthPucker", "mouthRight"),
    *("mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper"),
    *("mouthSmileLeft", "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight"),
    *("mouthUpperUpLeft", "mouthUpperUpRight", "noseSneerLeft", "noseSneerRight"),
)
"""All 52 in the order of the network's output; left and right are the person's own."""

ACTION_UNITS: dict[str, tuple[str, tuple[str, ...]]] = {
    "AU1": ("inner brow raiser", ("browInnerUp",)),
    "AU2": ("outer brow raiser", ("browOuterUpLeft", "browOuterUpRight")),
    "AU4": ("brow lowerer", ("browDownLeft", "browDownRight")),
    "AU5": ("upper lid raiser", ("eyeWideLeft", "eyeWideRight")),
    "AU6": ("cheek raiser", ("cheekSquintLeft", "cheekSquintRight")),
    "AU7": ("lid tightener", ("eyeSquintLeft", "eyeSquintRight")),
    "AU9": ("nose wrinkler", ("noseSneerLeft", "noseSneerRight")),
    "AU10": ("upper lip raiser", ("mouthUpperUpLeft", "mouthUpperUpRight")),
    "AU12": ("lip corner puller", ("mouthSmileLeft", "mouthSmileRight")),
    "AU14": ("dimpler", ("mouthDimpleLeft", "mouthDimpleRight")),
    "AU15": ("lip corner depressor", ("mouthFrownLeft", "mouthFrownRight")),
    "AU16": ("lower lip depressor", ("mouthLowerDownLeft", "mouthLowerDownRight")),
    "AU17": ("chin raiser", ("mouthShrugLower",)),
    "AU18": ("lip pucker", ("mouthPucker",)),
    "AU20": ("lip stretcher", ("mouthStretchLeft", "mouthStretchRight")),
    "AU22": ("lip funneler", ("mouthFunnel",)),
    "AU24": ("lip pressor", ("mouthPressLeft", "mouthPressRight")),
    "AU26": ("jaw drop", ("jawOpen",)),
    "AU28": ("lip suck", ("mouthRollLower", "mouthRollUpper")),
    "AU29": ("jaw thrust", ("jawForward",)),
    "AU34": ("cheek puff", ("cheekPuff",)),
    "AU45": ("blink", ("eyeBlinkLeft", "eyeBlinkRight")),
}
"""Action unit -> its FACS name and the blendshapes that resemble it (their mean is a guess at it).
They only resemble it: blendshapes were designed to animate faces. They are not action units coded
by a certified person, their values are not FACS intensities, and they were not validated here
against such codes."""
