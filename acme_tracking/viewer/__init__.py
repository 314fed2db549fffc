"""
What the tracker thinks, to be seen: recordings for the viewer Rerun, and a page that shows them.

A running graph, a bag and the outcome of an evaluation become one kind of recording, so that all
are looked at in the same way.  Needs the extra `view`, and no ROS but the messages; a
running graph is listened to by `nodes/viewer.py`.
"""
import importlib.util

SUFFIX = '.rrd'  # of the file of a recording


def require() -> None:
    """Raise ValueError, which says how to get it, where the Rerun SDK is not installed."""
    if importlib.util.find_spec('rerun') is None:
        raise ValueError('the viewer is not installed: pip install "acme_tracking[view]"')
