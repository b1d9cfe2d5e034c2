"""Words in each language: the same keys, the same facts, each in its own letters, none unused."""

import re
import string

import pytest
from conftest import REPOSITORY

from builder_tools.emotions import NINE_EMOTIONS
from builder_tools.languages import LANGUAGES, emotion_word, said, texts

CYRILLIC = re.compile("[\u0400-\u04ff]")
SAME_LETTERS = {"other_language", "api_link"}
KEYS = [(section, key) for section, found in texts("en").items() for key in found]
PACKAGE = REPOSITORY / "builder_tools"


def facts_of(text):
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("language", LANGUAGES)
def test_all_languages_have_the_same_keys(language):
    found = [(section, key) for section, texts_ in texts(language).items() for key in texts_]
    assert found == KEYS
    assert set(texts(language)["emotion"]) == set(NINE_EMOTIONS)


def test_there_is_a_file_for_each_language_and_no_other():
    names = {path.stem for path in (PACKAGE / "locales").iterdir()}
    assert names == set(LANGUAGES)
    with pytest.raises(ValueError, match="language='xx'"):
        texts("xx")


def test_both_languages_name_the_same_facts_in_their_own_letters():
    for section, key in KEYS:
        english, russian = texts("en")[section][key], texts("ru")[section][key]
        assert facts_of(english) == facts_of(russian), key
        if key not in SAME_LETTERS:
            assert CYRILLIC.search(russian) and not CYRILLIC.search(english), key


def test_no_text_is_unused():
    """Keys stand in the source as they are, or are made there: f"status.{one}", "tab." ~ one."""
    files = [path for path in PACKAGE.rglob("*") if path.suffix in (".py", ".js", ".html")]
    source = "\n".join(path.read_text(encoding="utf-8") for path in files)
    told = re.findall(r"f[\"']((?:[\w.]|\{[^{}\"']+\})+)[\"']", source)
    made = [
        re.compile(re.sub(r"\{[^}]*\}", r"[\\w.]+", one))
        for one in told
        if re.search(r"\w\.|\.\w", re.sub(r"\{[^}]*\}", "", one))
    ]
    joined = re.findall(r'"([\w.]+\.)" ~ \w|\w ~ "(\.[\w.]+)"', source)  # in templates
    made += [re.compile(rf"{re.escape(a)}\w+" if a else rf"\w+{re.escape(b)}") for a, b in joined]
    for section, key in KEYS:
        stem, _, rest = key.partition(".")
        by_group = f'group("{stem}.")' in source and re.search(rf"(words\.|\$){rest}\b", source)
        named = re.search(rf"[\"']{re.escape(key)}[\"']", source)
        named = named or any(one.fullmatch(key) for one in made)
        assert section == "emotion" or named or by_group, key


def test_texts_are_found_by_language():
    assert said("left_out", "ru", count=3).endswith(": 3")
    assert emotion_word("Angry", "ru") == "гнев" and emotion_word("Angry", "en") == "Angry"
    assert emotion_word("Ahegao", "ru") == "Ahegao"
