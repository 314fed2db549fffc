"""
Where images come from: device, video file, folder of images, stream, pipeline, rendered scene.

    source = open_source('street.mp4')
    while (image := source.read()) is not None:
        ...

A recorded source (file, folder, scene) gives every image once, as fast as it is read; `pacing`
says when each is due.  A live one (device, URL, pipeline) may block, break and lag.  `source` has
the protocol, `opening` finds the kind, `files` knows the order of images in folders, and each kind
has a file of its own.  Nothing here knows ROS, threads or clocks.
"""
from acme_tracking.sources.files import image_files
from acme_tracking.sources.opening import check_support, is_live, open_source
from acme_tracking.sources.source import (
    DEFAULT_RATE,
    HIGHEST_RATE,
    LOWEST_RATE,
    Source,
    SourceUnavailable,
)

__all__ = ['check_support', 'DEFAULT_RATE', 'HIGHEST_RATE', 'image_files', 'is_live',
           'LOWEST_RATE', 'open_source', 'Source', 'SourceUnavailable']
