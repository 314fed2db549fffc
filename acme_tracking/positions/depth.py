"""What a registered depth image says of the inside of a box."""
from __future__ import annotations

import numpy as np

# The middle of a box, as a share of its sides: what surrounds the object stays out.
CORE = 0.5
FEWEST = 4         # pixels with a depth
LEAST_SHARE = 0.1  # of the core that has a depth
MOST_PIXELS = 40   # looked at in each direction


def core_depth(depth: np.ndarray, box) -> tuple[float, float] | None:
    """
    Return the depth of the object in a box and its deviation, metres; None where too few say it.

    depth: float32 (H, W), metres along the viewing direction; 0, NaN and infinity are none.  The
    depth is the median of the core, the deviation that of one pixel (by the median absolute
    deviation), since what a core has beside noise is the object's own shape.
    """
    x1, y1, x2, y2 = np.asarray(box, float)
    margin = (1 - CORE) / 2
    low = np.array([x1 + margin * (x2 - x1), y1 + margin * (y2 - y1)])
    high = np.array([x2 - margin * (x2 - x1), y2 - margin * (y2 - y1)])
    columns, rows = (np.unique(np.linspace(start, stop, MOST_PIXELS).astype(int))
                     for start, stop in zip(low, high, strict=True))
    rows, columns = (grid[(grid >= 0) & (grid < size)]
                     for grid, size in ((rows, depth.shape[0]), (columns, depth.shape[1])))
    core = depth[np.ix_(rows, columns)].ravel()
    valid = core[np.isfinite(core) & (core > 0)]
    if len(valid) < max(FEWEST, LEAST_SHARE * core.size):
        return None
    middle = float(np.median(valid))
    return middle, float(1.4826 * np.median(np.abs(valid - middle)))
