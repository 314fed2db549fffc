"""Boxes as files in MOTChallenge format, which TrackEval and others read."""
from __future__ import annotations

from acme_tracking import geometry
from acme_tracking.detections import Detections


def write_mot(path, frames, detections: list[Detections], truth: bool = False) -> None:
    """
    Write boxes in MOTChallenge format, one row each: frame, id, left, top, width, height, score.

    frames: number of each image, from 1.  Three columns of -1 follow in a result; in truth class
    and visibility, where class 1 counts and class 8 (distractor, score 0) is to be ignored.
    """
    rows = []
    for frame, image in zip(frames, detections):
        ids = image.ids.tolist() if len(image) else []
        for identity, box, score in zip(ids, geometry.to_xywh(image.boxes), image.scores):
            place = ','.join(f'{value:.3f}' for value in box)
            tail = f'{score:.4f},-1,-1,-1'
            if truth:
                tail = '1,1,1' if score > 0 else '0,8,1'
            rows.append(f'{frame},{identity},{place},{tail}\n')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(''.join(rows))
