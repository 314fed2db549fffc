"""Types of arguments that several verbs take; argparse turns what they raise into an answer."""
import argparse


def positive(text: str) -> float:
    """Return a number above 0."""
    value = float(text)
    if not value > 0:
        raise ValueError(text)
    return value


def not_negative(text: str) -> float:
    """Return a finite number from 0."""
    if not 0 <= float(text) < float('inf'):
        raise ValueError(text)
    return float(text)


def share(text: str) -> float:
    """Return a number from 0 to below 1."""
    if not 0 <= float(text) < 1:
        raise ValueError(text)
    return float(text)


def whole(text: str) -> int:
    """Return a whole number from 0."""
    if int(text) < 0:
        raise ValueError(text)
    return int(text)


def count(text: str) -> int:
    """Return a whole number above 0."""
    if int(text) < 1:
        raise ValueError(text)
    return int(text)


def class_name(text: str) -> str:
    """Return the name of a class, which is not empty."""
    if not text.strip():
        raise argparse.ArgumentTypeError('the name of a class must not be empty')
    return text
