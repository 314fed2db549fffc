"""What is on the topics of a bag: message types, their definitions, and qualities of service."""
from __future__ import annotations

from dataclasses import dataclass
import functools

from acme_tracking.interfaces import SOURCE
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.typesys import get_types_from_msg, get_typestore, Stores

IMAGE, COMPRESSED = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
CAMERA_INFO, DETECTIONS = 'sensor_msgs/msg/CameraInfo', 'vision_msgs/msg/Detection2DArray'
POSITIONS, TRANSFORMS = 'vision_msgs/msg/Detection3DArray', 'tf2_msgs/msg/TFMessage'
# Beside the images: what is there, and where it is in metres.
GROUND_TRUTH, GROUND_TRUTH_3D = 'ground_truth', 'ground_truth_3d'
DEPTH = 'depth_image'
DIAGNOSTICS = '/diagnostics'  # of all nodes, whatever their namespace
FOREVER = QosTime(9223372036, 854775807)  # what rosbag2 writes for an infinite duration


@functools.cache
def typestore():
    """Return the types of Jazzy and vision_msgs, the latter from its definitions."""
    store = get_typestore(Stores.ROS2_JAZZY)
    types = {}
    for path in sorted(SOURCE.glob('msg/*.msg')):
        types.update(get_types_from_msg(path.read_text(), f'vision_msgs/msg/{path.stem}'))
    store.register(types)
    return store


def quality_of_service(depth: int, reliable: bool) -> Qos:
    """Return the profile of a volatile topic that keeps the last `depth` messages."""
    reliability = QosReliability.RELIABLE if reliable else QosReliability.BEST_EFFORT
    return Qos(QosHistory.KEEP_LAST, depth, reliability, QosDurability.VOLATILE, FOREVER, FOREVER,
               QosLiveliness.AUTOMATIC, FOREVER, False)


IMAGE_QOS = quality_of_service(5, reliable=True)
RELIABLE_QOS = quality_of_service(10, reliable=True)


@dataclass(frozen=True)
class Topic:
    """A topic of a bag: its name, type, number of messages, offered QoS and type hash."""

    name: str
    type: str
    count: int
    qos: tuple[Qos, ...]
    hash: str

    @property
    def known(self) -> bool:
        """Whether the type is one that this package can read."""
        return self.type in typestore().fielddefs
