"""What a detector may be asked for: defaults and limits, which need no torch."""

SCORE_THRESHOLD = 0.3
NMS_THRESHOLD = 0.5
SIDES = 32, 4096  # limits of input_size
MAXIMUM_TILES = 8
# Boxes of two classes are taken for one object only from this overlap on: a rider lies in the box
# of the motorcycle.  What is one object with two names overlaps itself nearly wholly.
ONE_OBJECT_IOU = 0.7
# Those that may change from run to run, beside the classes.
OPTIONS = ('score_threshold', 'nms_threshold', 'input_size', 'tiles')


def options_of(parameters) -> dict:
    """Return what `Detector.configure` takes of the parameters of the detector node."""
    return {name: getattr(parameters, name) for name in (*OPTIONS, 'classes')}


def check(score_threshold, nms_threshold, input_size, tiles) -> None:
    """Raise ValueError that names an option out of its range, and the range."""
    for name, value in (('score_threshold', score_threshold), ('nms_threshold', nms_threshold)):
        if not 0 <= value <= 1:
            raise ValueError(f'{name} must be in [0, 1], got {value}')
    if input_size and not SIDES[0] <= input_size <= SIDES[1]:
        raise ValueError('input_size must be 0 or from {} to {}, got {}'.format(
            *SIDES, input_size))
    if not 1 <= tiles <= MAXIMUM_TILES:
        raise ValueError(f'tiles must be from 1 to {MAXIMUM_TILES}, got {tiles}')


def check_classes(known, *chosen) -> None:
    """Raise ValueError when lists of classes name one that is not among the `known`."""
    unknown = sorted(set().union(*chosen) - set(known))
    if unknown:
        raise ValueError(f'classes {unknown} are unknown to these weights, expected some of '
                         + ', '.join(known))
