"""`acme_tracking export`: write a checkpoint of the detector as ONNX, which needs no torch."""
from pathlib import Path

from acme_tracking.cli.arguments import share
from acme_tracking.detection.export import export
from acme_tracking.detection.options import NMS_THRESHOLD, SCORE_THRESHOLD
from acme_tracking.share import shipped_weights


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


def run(arguments) -> int:
    """Write the file; return the exit status."""
    if arguments.out.suffix != '.onnx':
        raise ValueError(f'the file to write must end in .onnx, got {arguments.out}')
    path = shipped_weights() if arguments.checkpoint == 'shipped' else arguments.checkpoint
    export(path, arguments.out, arguments.suppression, arguments.score_threshold,
           arguments.nms_threshold)
    print(f'{arguments.out}: {arguments.out.stat().st_size / 1e6:.1f} MB')
    return 0
