"""Made-up lists."""

from typing import Dict, List


FEMALE_WORDS: List[str] = [
    "she",
    "answer",
    "her",
    "lady",
]


MALE_WORDS: List[str] = [
    "it",
    "he",
    "so",
]


ASIAN_NAMES: List[str] = [
    "lamp",
    "apples",
]


HISPANIC_NAMES: List[str] = [
    "the",
    "river",
    "stone",
    "mr.",
    "n't",
]


WHITE_NAMES: List[str] = [
    "so",
    "café",
    "copper",
]


ADJECTIVE_LIST: List[str] = [
    "is",
    "red",
    "late",
    "café",
    "well-to-do",
    "ca",
    ".",
]


PROFESSION_LIST: List[str] = [
    "answer",
    "pilot",
    "apples",
    "dr",
    "river",
]
