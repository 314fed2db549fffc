"""Transforms between frames as bags keep them: on /tf, and on /tf_static those that stay."""
from __future__ import annotations

from bisect import bisect_right

from acme_tracking.bags.reading import BagReader
from acme_tracking.bags.topics import TRANSFORMS, typestore
from acme_tracking.messages import stamp_to_ns
import numpy as np
from scipy.spatial.transform import Rotation

MOVING, STATIC = '/tf', '/tf_static'


class Transforms:
    """The tree of frames in a bag."""

    def __init__(self, bag: BagReader):
        """Read all transforms of an open bag."""
        self._edges = {}  # (parent, stamps, transforms) by child
        for topic in (item for item in bag.topics if item.type == TRANSFORMS):
            for message, _ in bag.messages(topic.name):
                for one in message.transforms:
                    stamp = 0 if topic.name == STATIC else stamp_to_ns(one.header.stamp)
                    _, stamps, found = self._edges.setdefault(
                        one.child_frame_id.strip('/'), (one.header.frame_id.strip('/'), [], []))
                    place = bisect_right(stamps, stamp)
                    stamps.insert(place, stamp)
                    found.insert(place, one.transform)

    def pose(self, base: str, frame: str, stamp: int):
        """
        Return where a frame is in another one above it in the tree: its origin (3,), and axes.

        The axes are a `Rotation`.  Of every transform the last one before `stamp` counts, or else
        the first.  Raises ValueError, naming the frame, where there is no way from one to the
        other.
        """
        origin, turn, at = np.zeros(3), Rotation.identity(), frame.strip('/')
        passed = set()
        while at != base.strip('/'):
            if at not in self._edges or at in passed:
                raise ValueError(f'there is no transform from {frame!r} to {base!r}: that of '
                                 f'{at!r} is missing on {MOVING} and {STATIC}')
            passed.add(at)
            at, stamps, transforms = self._edges[at]
            one = transforms[max(0, bisect_right(stamps, stamp) - 1)]
            rotation = one.rotation
            if not (rotation.x or rotation.y or rotation.z or rotation.w):
                raise ValueError(f'the transform to {at!r} has a rotation of zeros')
            step = Rotation.from_quat([rotation.x, rotation.y, rotation.z, rotation.w])
            origin = step.apply(origin) + [one.translation.x, one.translation.y,
                                           one.translation.z]
            turn = step * turn
        return origin, turn


def transform_to_msg(base: str, header, origin, turn: Rotation):
    """Return a tf2_msgs/TFMessage, for bags: where the frame of a header is in frame `base`."""
    types = typestore().types
    stamp = types['builtin_interfaces/msg/Time'](header.stamp.sec, header.stamp.nanosec)
    transform = types['geometry_msgs/msg/Transform'](
        types['geometry_msgs/msg/Vector3'](*map(float, origin)),
        types['geometry_msgs/msg/Quaternion'](*turn.as_quat().tolist()))
    return types[TRANSFORMS]([types['geometry_msgs/msg/TransformStamped'](
        types['std_msgs/msg/Header'](stamp, base), header.frame_id, transform)])
