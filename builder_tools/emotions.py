"""Emotions: their names in order, their colours and their place on the valence-arousal plane.

All code that needs a class order, a colour or an anchor asks an `EmotionSet`; no other module
lists the emotions. A label is an index into the set, an emotion is a name.

Colours start from the Okabe-Ito palette (Okabe & Ito, 2008, "Color Universal Design"), made for
people with any form of colour blindness; the ninth colour is a mid grey. Other names each have a
colour of their own within a set, whatever its order; mostly the same one in every set.

Anchors are (valence, arousal) in [-1, 1]: the positions of the words on Russell's circumplex
(Russell, 1980, "A circumplex model of affect", J. Pers. Soc. Psych. 39), rounded to the values
commonly used for the basic emotions; `neutral` and `uncertain` are at the origin.

Sets with other names keep them; a synonym or translation of one of our names (`Angry`,
`happiness`, `злость`: see `SYNONYMS`) gets its colour and anchor.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from zlib import crc32

import numpy as np

COLOURS_RGB: dict[str, tuple[int, int, int]] = {
    "anger": (213, 94, 0),
    "contempt": (204, 121, 167),
    "disgust": (0, 158, 115),
    "fear": (80, 0, 130),  # without green cones, a lighter purple looks like the blue of sad
    "happy": (240, 228, 66),
    "neutral": (245, 245, 245),
    "sad": (0, 114, 178),
    "surprise": (86, 180, 233),
    "uncertain": (128, 128, 128),
}
OTHER_COLOURS_RGB = (
    (230, 159, 0),
    (20, 20, 254),
    (98, 20, 20),
    (228, 20, 254),
    (20, 254, 150),
    (20, 20, 46),
    (202, 20, 72),
    (20, 124, 254),
    (124, 176, 72),
    (202, 20, 176),
    (124, 20, 98),
    (176, 254, 202),
)
"""For other names; each was chosen to be as far as possible from the nine and those before it."""
DARKER = 0.8
"""Once all of these are taken, they are repeated, darker by this factor."""

ANCHORS_VALENCE_AROUSAL: dict[str, tuple[float, float]] = {
    "anger": (-0.51, 0.59),
    "contempt": (-0.55, 0.43),
    "disgust": (-0.60, 0.35),
    "fear": (-0.64, 0.60),
    "happy": (0.81, 0.51),
    "neutral": (0.0, 0.0),
    "sad": (-0.63, -0.27),
    "surprise": (0.40, 0.67),
    "uncertain": (0.0, 0.0),
}

FERPLUS_VOTE_COLUMNS = (
    "neutral",
    "happiness",
    "surprise",
    "sadness",
    "anger",
    "disgust",
    "fear",
    "contempt",
    "unknown",
    "NF",
)
"""The ten vote columns of FER+'s label.csv, in file order; NF means "not a face"."""

FERPLUS_TO_EMOTION: dict[str, str] = {
    "neutral": "neutral",
    "happiness": "happy",
    "surprise": "surprise",
    "sadness": "sad",
    "anger": "anger",
    "disgust": "disgust",
    "fear": "fear",
    "contempt": "contempt",
    "unknown": "uncertain",
}


@dataclass(frozen=True)
class EmotionSet:
    """An ordered set of emotion names: the class order of a model or a data set.

    Args:
        names: Distinct names; the label of an emotion is its position.

    Raises:
        ValueError: If there are none, one is repeated, or they are not a list of texts.
    """

    names: tuple[str, ...]

    def __init__(self, names: Sequence[str]) -> None:
        received, names = names, tuple(names)
        texts = all(isinstance(name, str) for name in names)
        distinct = names and texts and len(set(names)) == len(names)
        if not distinct or isinstance(received, str | set | frozenset):  # sets have no order
            raise ValueError(
                f"Expected one or more distinct emotion names, as a list. Received: {received!r}."
            )
        object.__setattr__(self, "names", names)

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __getitem__(self, label: int) -> str:
        """Return the emotion of a label."""
        return self.names[label]

    def __contains__(self, emotion: object) -> bool:
        return emotion in self.names

    def label(self, emotion: str) -> int:
        """Return the index of an emotion.

        Raises:
            ValueError: If the emotion is not in the set; lists those that are.
        """
        if emotion not in self.names:
            raise ValueError(f"Expected one of {list(self.names)}. Received: emotion={emotion!r}.")
        return self.names.index(emotion)

    def colour_rgb(self, emotion: str) -> tuple[int, int, int]:
        """Return the emotion's colour, RGB 0...255; no two names without a known one share theirs.

        A name that is not in the set gets the colour that it would have alone.
        """
        known = COLOURS_RGB.get(own_word(emotion))
        return known or _other_colours(self.names if emotion in self else (emotion,))[emotion]

    @property
    def anchors(self) -> np.ndarray:
        """Valence and arousal of each emotion, `(n, 2)` in [-1, 1]; NaN where unknown."""
        unknown = (np.nan, np.nan)
        places = ANCHORS_VALENCE_AROUSAL
        return np.array([places.get(own_word(name), unknown) for name in self.names])

    def expected_place(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the expected places of faces on the valence-arousal plane.

        These are means of the emotions' anchors weighted by their probabilities; emotions without
        an anchor are left out.

        Args:
            probabilities: `(n, len(self))`.

        Returns:
            `(n, 2)` float64 in [-1, 1]; NaN where no emotion with an anchor is probable.
        """
        anchors = self.anchors
        known = ~np.isnan(anchors[:, 0])
        weights = np.asarray(probabilities, np.float64)[:, known]
        total = weights.sum(axis=1, keepdims=True)
        nowhere = np.full((len(weights), 2), np.nan)
        return np.divide(weights @ anchors[known], total, out=nowhere, where=total > 0)


NINE_EMOTIONS = EmotionSet(
    (
        "anger",
        "contempt",
        "disgust",
        "fear",
        "happy",
        "neutral",
        "sad",
        "surprise",
        "uncertain",
    )
)
FERPLUS_EIGHT = EmotionSet(tuple(name for name in NINE_EMOTIONS if name != "uncertain"))
FER2013_SEVEN = EmotionSet(tuple(name for name in FERPLUS_EIGHT if name != "contempt"))

FER2013_TO_EMOTION: dict[str, str] = {
    "angry": "anger",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happy",
    "sad": "sad",
    "surprise": "surprise",
    "neutral": "neutral",
}
"""FER2013's original seven names, in the order of its numeric labels 0...6."""

SYNONYMS: dict[str, str] = {
    "anger": "angry anger ang an rage fury mad annoyed annoyance злость злой злая гнев гневный "
    "ярость wut ärger wütend verärgert zorn colère fâché ira enojo enfado enojado rabbia raiva",
    "contempt": "contempt contemptuous con co scorn презрение презрительный verachtung mépris "
    "desprecio disprezzo desprezo",
    "disgust": "disgust disgusted dis di отвращение брезгливость ekel angeekelt dégoût asco "
    "disgusto nojo",
    "fear": "fear fearful fea fe afraid scared scare frightened fright terror страх испуг "
    "испуганный angst furcht ängstlich peur miedo temor paura medo",
    "happy": "happy happiness hap ha joy joyful smile smiling glad радость радостный счастье "
    "счастливый улыбка freude glücklich fröhlich joie heureux bonheur alegría feliz felicidad "
    "gioia felice alegria felicidade",
    "neutral": "neutral neutrality neu ne calm normal natural нейтральный нейтральное "
    "нейтральность нейтрально спокойствие neutre neutro neutrale",
    "sad": "sad sadness sa unhappy sorrow sorrowful грусть грустный печаль печальный traurigkeit "
    "traurig trauer tristesse triste tristeza tristezza",
    "surprise": "surprise surprised sur su surprising astonished astonishment amazed удивление "
    "удивленный überraschung überrascht étonnement sorpresa sorprendido surpresa",
    "uncertain": "uncertain uncertainty unknown unsure ambiguous неуверенность неопределенность "
    "неуверенный неизвестно unsicher unbekannt incertain incierto incerto",
}
"""What data sets, libraries and people call each of the nine emotions, in lower case."""

OTHER_WORDS: dict[str, str] = {
    word: name for name, words in SYNONYMS.items() for word in words.split() if word != name
}
"""The inverse of `SYNONYMS`: other word -> emotion."""

_NO_WORDS = frozenset({"", "face", "faces", "emotion", "emotions", "expression", "class", "images"})


@lru_cache(maxsize=1024)
def _other_colours(names: tuple[str, ...]) -> dict[str, tuple[int, int, int]]:
    """Return the colours of the names without a known one: by their letters, then the next free."""
    found: dict[str, tuple[int, int, int]] = {}
    places = len(OTHER_COLOURS_RGB)
    for name in sorted(name for name in names if own_word(name) not in COLOURS_RGB):
        round_, first = len(found) // places, crc32(name.casefold().encode("utf-8", "replace"))
        for place in range(first, first + places):
            red, green, blue = OTHER_COLOURS_RGB[place % places]
            shade = DARKER**round_
            colour = (round(shade * red), round(shade * green), round(shade * blue))
            if colour not in found.values():
                break
        found[name] = colour
    return found


@lru_cache(maxsize=1024)
def own_word(name: str) -> str:
    """Return the one of the nine emotions that a name means, or else the name itself.

    Case, a leading number (`0_angry`), words such as a trailing `_faces`, and the dots over the
    Russian letter yo are ignored.
    """
    plain = unicodedata.normalize("NFC", name).casefold().replace("\u0451", "\u0435")
    words = [word for word in re.split(r"[\W\d_]+", plain) if word not in _NO_WORDS]
    word = words[0] if len(words) == 1 else ""
    return word if word in NINE_EMOTIONS else OTHER_WORDS.get(word, name)
