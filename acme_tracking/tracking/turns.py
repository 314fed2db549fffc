"""
Who is looked at, when there are more objects than the time for an image allows.

Work is counted in looks: one visual tracker at one image.  A start costs about two.
"""
from __future__ import annotations

from acme_tracking.tracking.visual import can_be_moved

# Every object in sight is looked at on one of so many images, however many there are: no box is
# older than three images.
TURN_AT_LEAST = 4
# Looks that a correction may take, restarts and replay together, in those of one image.
IMAGES_OF_CORRECTION = 2
LOOKS_OF_A_START = 2


def whose(tracks, looks: int) -> list:
    """
    Return the tracks to look at on the next image, of those that are looked for.

    All of them, up to `looks`; else those in sight whose turn has come, at least one in
    TURN_AT_LEAST, and then those that have waited longest, and of these the ones in most doubt.
    """
    sought = [track for track in tracks if track.is_looked_for]
    followed = sum(track.is_followed for track in sought)
    due = sum(_is_due(track) for track in sought)
    looks = max(looks, due, -(-followed // TURN_AT_LEAST))
    if len(sought) <= looks:
        return sought
    return sorted(sought, key=lambda track: (
        not _is_due(track), -track.turns, track.confidence if track.confidence > 0 else 0.0,
        track.id))[:looks]


def _is_due(track):
    return track.is_followed and track.turns >= TURN_AT_LEAST - 1


def who_restarts(found, looks: int) -> list[bool]:
    """
    Return whether the visual tracker of each track restarts on its detection, or is only moved.

    found: (track, IoU of the detection with the box that the track had there) each.  All restart
    where the time for it is there, else those that have most to learn: objects that were out of
    sight, and boxes that fit least.
    """
    allowed = IMAGES_OF_CORRECTION * looks // (LOOKS_OF_A_START + 1)
    if len(found) <= allowed:
        return [True] * len(found)
    need = sorted(range(len(found)), key=lambda index: (
        found[index][0].is_followed, found[index][1]))
    chosen = set(need[:allowed])
    return [index in chosen or not can_be_moved(track.visual)
            for index, (track, _) in enumerate(found)]


def images_of_replay(tracks: int, parameters) -> int:
    """Return on how many images a replay of so many tracks may look, at least the newest."""
    allowed = IMAGES_OF_CORRECTION * parameters.looks_per_image
    return max(1, min(parameters.replay_images,
                      (allowed - LOOKS_OF_A_START * tracks) // max(1, tracks)))
