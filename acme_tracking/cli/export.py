"""`acme_tracking export`: write a checkpoint of the detector as ONNX, which needs no torch."""
import itertools
from pathlib import Path
import sys

from acme_tracking.cli.arguments import share
from acme_tracking.detection.export import export
from acme_tracking.detection.options import NMS_THRESHOLD, SCORE_THRESHOLD
from acme_tracking.share import shipped_weights
from acme_tracking.sources.files import image_files
import cv2
import numpy as np

INT8_IMAGES = 300  # that ranges of 8-bit integers are found on, at most


def add_arguments(parser) -> None:
    """Describe the arguments of the verb."""
    parser.add_argument('checkpoint', metavar='CHECKPOINT',
                        help="a .safetensors file of the detector, or `shipped` for the package's "
                        'own')
    parser.add_argument('out', type=Path, metavar='OUT.onnx', help='the file to write')
    parser.add_argument('--suppression', action='store_true', help='suppress boxes of one object '
                        'in the file, for programs that do not: the detector does it itself')
    parser.add_argument('--score-threshold', type=share, default=SCORE_THRESHOLD, metavar='SCORE',
                        help='of the suppression (default: %(default)s)')
    parser.add_argument('--nms-threshold', type=share, default=NMS_THRESHOLD, metavar='IOU',
                        help='of the suppression (default: %(default)s)')
    parser.add_argument('--int8', type=Path, nargs='+', metavar='FOLDER', help='compute mostly in '
                        '8-bit integers, whose ranges are found on the images of these folders '
                        '(labels are not needed): a quarter quicker on processors with VNNI')


def run(arguments) -> int:
    """Write the file; return the exit status."""
    if arguments.out.suffix != '.onnx':
        raise ValueError(f'the file to write must end in .onnx, got {arguments.out}')
    path = shipped_weights() if arguments.checkpoint == 'shipped' else arguments.checkpoint
    export(path, arguments.out, arguments.suppression, arguments.score_threshold,
           arguments.nms_threshold, _images(arguments.int8) if arguments.int8 else None)
    print(f'{arguments.out}: {arguments.out.stat().st_size / 1e6:.1f} MB')
    return 0


def _images(folders):
    """Give the images of some folders, evenly spread; ValueError when none can be read."""
    paths = [path for folder in folders for path in image_files(folder, recursive=True)]
    chosen = np.unique(np.linspace(0, len(paths) - 1, min(len(paths), INT8_IMAGES)).round())
    images = _read(paths[index] for index in chosen.astype(int))
    first = next(images, None)
    if first is None:
        raise ValueError(f'{", ".join(map(str, folders))}: no image that can be read')
    return itertools.chain([first], images)


def _read(paths):
    for path in paths:
        image = cv2.imread(str(path))
        if image is None:
            print(f'skipped {path}: not an image that OpenCV reads', file=sys.stderr)
        else:
            yield image
