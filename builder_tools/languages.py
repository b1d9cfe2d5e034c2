"""Words that people see in images and figures, in each language: the emotions and a few more.

The page has its own texts beside these.
"""

# ruff: noqa: RUF001 - Russian letters that look like Latin ones are meant.

from __future__ import annotations

from builder_tools.emotions import own_word

LANGUAGES = ("en", "ru")

EMOTION_WORDS: dict[str, tuple[str, ...]] = {
    "anger": ("anger", "гнев"),
    "contempt": ("contempt", "презрение"),
    "disgust": ("disgust", "отвращение"),
    "fear": ("fear", "страх"),
    "happy": ("happy", "радость"),
    "neutral": ("neutral", "нейтрально"),
    "sad": ("sad", "грусть"),
    "surprise": ("surprise", "удивление"),
    "uncertain": ("uncertain", "неясно"),
}
"""Of the nine, in the order of `LANGUAGES`."""

WORDS: dict[str, tuple[str, ...]] = {
    "from_rest": ("from rest: {shown}", "от покоя: {shown}"),
    "pace": ("{fps:.1f} fps", "{fps:.1f} к/с"),
    "dropped": ("{count} dropped", "пропущено {count}"),
    # figures
    "film": ("Emotions over time", "Эмоции во времени"),
    "time_axis": ("time, s", "время, с"),
    "seconds": ("s", "с"),
    "probability": ("probability", "вероятность"),
    "emotions": ("probability of each emotion", "вероятность каждой эмоции"),
    "affect": ("valence and arousal", "валентность и возбуждение"),
    "valence": ("valence", "валентность"),
    "arousal": ("arousal", "возбуждение"),
    "person": ("person {track}", "человек {track}"),
    "everybody": ("everybody", "все"),
    "everybody_of": ("all {count} people", "все, людей: {count}"),
    "others": ("others ({count})", "остальные ({count})"),
    "nobody": ("not seen", "нет в кадре"),
    "highlight": ("highlight", "яркий момент"),
    "people": ("people: {count}", "людей: {count}"),
    "left_out": (
        "short or weak tracks left out: {count}",
        "не учтено коротких или слабых треков: {count}",
    ),
}
"""The same of the words drawn into images and figures."""


def check_language(language: str) -> str:
    """Return a language that is known.

    Raises:
        ValueError: If it is none of `LANGUAGES`.
    """
    if language not in LANGUAGES:
        raise ValueError(f"Expected one of {list(LANGUAGES)}. Received: language={language!r}.")
    return language


def said(key: str, language: str, **facts: object) -> str:
    """Return one of `WORDS` with its facts put in."""
    return WORDS[key][LANGUAGES.index(language)].format(**facts)


def emotion_word(name: str, language: str) -> str:
    """Return an emotion's name in a language; English names stay as they are, and names that say
    none of the nine."""
    words = EMOTION_WORDS.get(own_word(name))
    return name if language == "en" or words is None else words[LANGUAGES.index(language)]
