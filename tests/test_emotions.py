"""The words of the house: order, colours, anchors, and the tables of other data sets."""

from itertools import combinations

import numpy as np
import pytest

from builder_tools.emotions import (
    FER2013_SEVEN,
    FER2013_TO_EMOTION,
    FERPLUS_EIGHT,
    FERPLUS_TO_EMOTION,
    FERPLUS_VOTE_COLUMNS,
    NINE_EMOTIONS,
    OTHER_COLOURS_RGB,
    EmotionSet,
    own_word,
)

NINE = ["anger", "contempt", "disgust", "fear", "happy", "neutral", "sad", "surprise", "uncertain"]
MUSEUM = EmotionSet(["Ahegao", "Angry", "Happy", "Neutral", "Sad", "Surprise"])

# How a colour looks without cones of one kind, in linear RGB: Vienot, Brettel & Mollon (1999).
COLOUR_BLINDNESS = {
    "none": np.eye(3),
    "protanopia": np.array(
        [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
    ),
    "deuteranopia": np.array(
        [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
    ),
}
TO_XYZ = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]],
)
WHITE_XYZ = np.array([0.9505, 1.0, 1.089])


def test_the_nine_emotions_and_their_order():
    assert list(NINE_EMOTIONS) == NINE
    assert [NINE_EMOTIONS.label(name) for name in NINE] == list(range(9))
    assert len(NINE_EMOTIONS) == 9 and "happy" in NINE_EMOTIONS and "joy" not in NINE_EMOTIONS


def test_the_smaller_sets():
    assert list(FERPLUS_EIGHT) == NINE[:8]
    assert list(FER2013_SEVEN) == [
        "anger",
        "disgust",
        "fear",
        "happy",
        "neutral",
        "sad",
        "surprise",
    ]


def test_an_unknown_emotion_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"one of \['anger'.*'uncertain'\].*emotion='joy'"):
        NINE_EMOTIONS.label("joy")


@pytest.mark.parametrize(
    "names", [(), ("sad", "sad"), ("sad", 3), "sad", {"sad", "happy"}, frozenset({"sad"})]
)
def test_a_set_needs_distinct_names(names):
    with pytest.raises(ValueError, match="distinct emotion names"):
        EmotionSet(names)


def test_a_set_gives_the_emotion_of_a_label():
    assert [NINE_EMOTIONS[0], NINE_EMOTIONS[-1]] == ["anger", "uncertain"]
    with pytest.raises(IndexError):
        NINE_EMOTIONS[9]


def test_sets_are_values():
    assert EmotionSet(["sad", "happy"]) == EmotionSet(("sad", "happy")) != EmotionSet(["happy"])
    assert EmotionSet(["sad", "happy"]) != EmotionSet(["happy", "sad"])
    with pytest.raises(AttributeError):
        NINE_EMOTIONS.names = ()


def test_every_vote_column_but_not_a_face_has_an_emotion():
    assert set(FERPLUS_VOTE_COLUMNS) - set(FERPLUS_TO_EMOTION) == {"NF"}
    assert set(FERPLUS_TO_EMOTION.values()) == set(NINE)
    assert [FERPLUS_TO_EMOTION[word] for word in ("happiness", "sadness", "unknown")] == [
        "happy",
        "sad",
        "uncertain",
    ]


def test_fer2013_numbers():
    """The labels 0...6 of fer2013.csv: angry, disgust, fear, happy, sad, surprise, neutral."""
    assert list(FER2013_TO_EMOTION.values()) == [
        *("anger", "disgust", "fear", "happy", "sad", "surprise", "neutral"),
    ]
    assert set(FER2013_TO_EMOTION.values()) == set(FER2013_SEVEN)


def test_anchors_lie_on_the_plane_where_the_words_say():
    anchors = dict(zip(NINE, NINE_EMOTIONS.anchors, strict=True))
    assert NINE_EMOTIONS.anchors.shape == (9, 2) and np.abs(NINE_EMOTIONS.anchors).max() <= 1
    assert anchors["happy"][0] > 0 > anchors["sad"][0]  # pleasant, unpleasant
    assert anchors["fear"][1] > 0 > anchors["sad"][1]  # excited, tired
    assert anchors["neutral"].tolist() == [0, 0]
    assert np.isnan(MUSEUM.anchors[0]).all() and MUSEUM.anchors.shape == (6, 2)


def test_words_of_other_data_sets_have_the_place_and_colour_of_ours():
    """Museum, FER2013 and RAF-DB write them so."""
    pairs = {"Angry": "anger", "HAPPY": "happy", "Happiness": "happy", "Sadness": "sad",
             "Surprised": "surprise", "fearful": "fear", "Disgusted": "disgust",
             "unknown": "uncertain"}  # fmt: skip
    theirs, ours = EmotionSet(pairs), EmotionSet(dict.fromkeys(pairs.values()))
    for name, word in pairs.items():
        assert own_word(name) == word
        assert theirs.colour_rgb(name) == ours.colour_rgb(word)
        place = theirs.anchors[theirs.label(name)]
        assert place.tolist() == ours.anchors[ours.label(word)].tolist()
    assert own_word("Ahegao") == "Ahegao"
    assert len({MUSEUM.colour_rgb(name) for name in MUSEUM}) == len(MUSEUM)
    found = MUSEUM.expected_place(np.array([[0.5, 0, 0.5, 0, 0, 0]]))
    assert found[0].tolist() == MUSEUM.anchors[MUSEUM.label("Happy")].tolist()


@pytest.mark.parametrize(
    ("word", "names"),
    {
        "anger": ["angry", "ANGRY", "Angry_faces", "0_anger", "злость", "Гнев", "AN", "Ärger"],
        "happy": ["happiness", "03-Happy", "Радость", "joy", "HA", "glücklich"],
        "surprise": ["Surprised", "удивлённый", "удивление"],
        "sad": ["sadness", "грусть", "tristeza"],
        "fear": ["Fear", "страх", "afraid"],
        "disgust": ["disgusted", "отвращение"],
        "neutral": ["Neutral ", "нейтральный", "neutre"],
        "contempt": ["презрение"],
        "uncertain": ["неуверенность", "unknown"],
    }.items(),
)
def test_one_table_knows_synonyms_in_several_languages(word, names):
    assert [own_word(name) for name in names] == [word] * len(names)


@pytest.mark.parametrize("name", ["Ahegao", "happy sad", "unhappily", "1", "", "joystick"])
def test_other_words_stay_as_they_are(name):
    assert own_word(name) == name


def test_names_without_a_colour_each_get_their_own_whatever_the_order():
    words = [
        "boredom",
        "confusion",
        "engagement",
        "frustration",
        "awe",
        "pride",
        "shame",
        "relief",
        "Ahegao",
    ]
    own = EmotionSet((*words, *NINE))
    turned = EmotionSet(tuple(reversed(own.names)))
    colours = {name: own.colour_rgb(name) for name in own}
    assert len(set(colours.values())) == len(own)
    assert colours == {name: turned.colour_rgb(name) for name in own}
    assert {colours[name] for name in words} <= set(OTHER_COLOURS_RGB)
    assert [own.colour_rgb(name) for name in NINE] == [NINE_EMOTIONS.colour_rgb(n) for n in NINE]
    many = EmotionSet([f"class {number}" for number in range(40)])
    assert len({many.colour_rgb(name) for name in many}) == len(many)
    assert MUSEUM.colour_rgb("Ahegao") == NINE_EMOTIONS.colour_rgb("Ahegao")


def _lab(colour_rgb, simulation):
    share = np.array(colour_rgb) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ np.clip(simulation @ linear, 0, 1) / WHITE_XYZ
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("eyes", COLOUR_BLINDNESS)
def test_every_two_colours_can_be_told_apart(eyes):
    """CIE76 distance; 2.3 is just noticeable, 10 is seen at a glance."""
    colours = {name: NINE_EMOTIONS.colour_rgb(name) for name in NINE}
    colours |= dict(enumerate(OTHER_COLOURS_RGB))
    seen = {name: _lab(colour, COLOUR_BLINDNESS[eyes]) for name, colour in colours.items()}
    distances = {
        (one, other): float(np.linalg.norm(seen[one] - seen[other]))
        for one, other in combinations(seen, 2)
    }
    closest = min(distances, key=distances.get)
    assert distances[closest] > 10, (closest, distances[closest])


def test_expected_place_is_the_weighed_mean_of_the_anchors():
    emotions = EmotionSet(("happy", "sad", "unheard-of"))
    happy, sad, _ = emotions.anchors
    found = emotions.expected_place(np.array([[1, 0, 0], [0.3, 0.3, 0.4], [0, 0, 1]]))
    np.testing.assert_allclose(found[:2], [happy, (happy + sad) / 2])
    assert np.isnan(found[2]).all()
    assert emotions.expected_place(np.zeros((0, 3))).shape == (0, 2)
