"""Write docs/parameters.md from the parameter classes: run it after a parameter has changed."""
from pathlib import Path

from acme_tracking.parameters import markdown_table
from acme_tracking.sessions.camera import CameraParameters
from acme_tracking.sessions.detection import DetectorParameters
from acme_tracking.sessions.location import LocatorParameters
from acme_tracking.sessions.tracking import TrackerParameters

INTRODUCTION = """# Parameters

Rendered from the code by `python docs/render_parameters.py`.  All durations are in seconds.  A
value out of its range is refused with a message that names it, and a name in a parameters file
that no parameter has is a warning that names the nearest.

A value that is set while the node runs (`ros2 param set /tracker max_coast 1.5`) counts when the
column *applies* says: `live` at once, `activate` or `configure` when the node is activated or
configured next (the answer and the log say so), `start` never, it is refused.  An empty list may
also be left out.

Every node also has `autostart` (default true: configure and activate at start) and
`qos_overrides` for each of its topics.
"""


def render() -> str:
    """Return the whole page."""
    nodes = {'camera': CameraParameters, 'detector': DetectorParameters,
             'tracker': TrackerParameters, 'locator': LocatorParameters}
    sections = [f'## `{name}`\n\n{markdown_table(parameters)}\n'
                for name, parameters in nodes.items()]
    return '\n'.join([INTRODUCTION, *sections])


if __name__ == '__main__':
    Path(__file__).with_name('parameters.md').write_text(render())
