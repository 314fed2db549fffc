"""
`acme_tracking view`: a running graph, a bag, or what `evaluate --view` wrote, in a browser.

The address of the page is printed; it is opened only with --open.
"""
from __future__ import annotations

import argparse
import os
from pathlib import Path
import re
import signal
import time
import webbrowser

from acme_tracking.transport import environment
from acme_tracking.viewer import require, SUFFIX
from acme_tracking.viewer.serving import Viewer


def add_arguments(parser) -> None:
    """Describe the arguments of the verb."""
    parser.add_argument('what', nargs='?', type=Path, metavar='BAG|FILE.rrd',
                        help='bag, or what evaluate --view wrote (default: the running graph)')
    parser.add_argument('--namespace', default='', help='of the running graph')
    parser.add_argument('--compressed', action='store_true',
                        help='take the images of the graph from image_raw/compressed')
    parser.add_argument('--images', default='', metavar='TOPIC',
                        help='images, where a bag has those of several cameras')
    parser.add_argument('--bind', default='127.0.0.1', metavar='ADDRESS', help='address to listen '
                        'on; 0.0.0.0 lets every machine look (default: %(default)s)')
    parser.add_argument('--port', type=_port, default=9090, metavar='0..65535',
                        help='0 for a free one (default: %(default)s)')
    parser.add_argument('--memory', type=_size, default='1GB', metavar='SIZE',
                        help='that may be taken, as in 500MB; then the oldest images are '
                        'forgotten (default: %(default)s)')
    parser.add_argument('--open', action='store_true', help='open the page in a browser')


def run(arguments) -> int:
    """Show it until Ctrl-C; return the exit status."""
    require()
    what = arguments.what
    if what is not None and not what.exists():
        raise FileNotFoundError(f'there is no bag or file {what}')
    recorded = what is not None and what.suffix == SUFFIX
    if recorded:
        _check(what)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # which ends the viewer too
    with Viewer(arguments.bind, arguments.port, arguments.memory,
                [what] if recorded else []) as viewer:
        print(f'See {viewer.page} (stop with Ctrl-C)', flush=True)
        if arguments.open:
            webbrowser.open(viewer.page)
        if what is None:
            _follow(viewer, arguments)
        elif not recorded:
            print(f'{_show_bag(viewer, arguments)} images of {what} are there.', flush=True)
        while what is not None and viewer.alive():
            time.sleep(0.5)
        if viewer.alive():
            return 0
    raise ValueError('the viewer has ended')


def _follow(viewer, arguments):
    os.environ.update(environment())  # before ROS starts, or images are lost on their way
    from acme_tracking.nodes.viewer import follow
    from acme_tracking.viewer.recording import TrackingRecording
    namespace = arguments.namespace.strip('/')
    follow(lambda: TrackingRecording(viewer.target, namespace or 'live', follow=True), namespace,
           arguments.compressed, viewer.alive)


def _show_bag(viewer, arguments):
    from acme_tracking.viewer.bags import show_bag
    from acme_tracking.viewer.recording import TrackingRecording
    return show_bag(arguments.what, arguments.images,
                    lambda: TrackingRecording(viewer.target, arguments.what.name))


def _check(path):
    from acme_tracking.viewer.recording import check
    check(path)


def _port(text):
    if not 0 <= int(text) < 2**16:
        raise ValueError(text)
    return int(text)


def _size(text):
    if not re.fullmatch(r'\d+(\.\d+)?(kB|MB|GB|%)', text):
        raise argparse.ArgumentTypeError(f'must be such as 500MB, 2GB or 30%, got {text!r}')
    return text
