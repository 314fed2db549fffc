"""`acme_tracking calibrate BAG`: height and pitch of a camera from the tracks of a drive."""
from __future__ import annotations

import math
from pathlib import Path

from acme_tracking.bags.reading import BagReader
from acme_tracking.bags.topics import CAMERA_INFO
from acme_tracking.messages import calibration_from_msg, camera_info_from_yaml
from acme_tracking.positions.camera import Camera
from acme_tracking.positions.self_calibration import estimate

TRACKS = 'tracks'


def add_arguments(parser) -> None:
    """Describe the arguments of the verb."""
    parser.add_argument('bag', metavar='BAG', help='rosbag2 of a drive on a flat road, with '
                        'tracks and camera_info')
    parser.add_argument('--tracks', default=TRACKS, metavar='TOPIC',
                        help='tracks with ids (default: the topic of that name)')
    parser.add_argument('--camera-info', type=Path, metavar='YAML', help='calibration, as '
                        'camera_calibration writes it (default: the camera_info in the bag)')


def run(arguments) -> int:
    """Print what the locator's parameters are to be, and how far they may be off."""
    with BagReader(arguments.bag) as bag:
        topic = _topic(bag, arguments.tracks)
        tracks = bag.detections(topic)
        info = (camera_info_from_yaml(arguments.camera_info) if arguments.camera_info
                else _camera_info(bag))
    pose = estimate(tracks, Camera(calibration_from_msg(info)))
    print(f'of {pose.objects} objects on {len(tracks)} images')
    print(f'camera_height: {pose.height:.2f}  # +- {pose.height_deviation:.2f} m')
    print(f'camera_pitch: {math.degrees(pose.pitch):.2f}  '
          f'# +- {math.degrees(pose.pitch_deviation):.2f} degrees')
    return 0


def _topic(bag, wanted):
    found = [topic.name for topic in bag.topics
             if f'/{topic.name}'.endswith('/' + wanted.strip('/'))]
    if len(found) != 1:
        raise ValueError(f'{bag.path} must have one topic {wanted}, it has '
                         f'{", ".join(found) or "none"}; choose with --tracks')
    return found[0]


def _camera_info(bag):
    for topic in bag.topics:
        if topic.type == CAMERA_INFO:
            for message, _ in bag.messages(topic.name):
                return message
    raise ValueError(f'{bag.path} has no camera_info: say --camera-info')
