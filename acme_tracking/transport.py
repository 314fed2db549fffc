"""
How images travel without loss between processes of one host, and to another: environment of nodes.

The settings must be in the environment of a process before it starts, so launch file and demo set
them on the nodes; nothing here changes the process that calls it.
"""
import atexit
import contextlib
import logging
import os
from pathlib import Path
import tempfile
from xml.etree import ElementTree

from acme_tracking.share import share

PROFILE_VARIABLE = 'FASTRTPS_DEFAULT_PROFILES_FILE'

# An image is several megabytes.  By default glibc takes a block of that size from the kernel for
# each message and gives it back afterwards, and the page faults on the fresh pages cost more than
# the copies: two thirds of the latency at 1080p.  With these two, freed blocks stay in the process
# and are used again.  A process grows to its largest need and stays there, up to a hundred
# megabytes more.  Variables, not mallopt(3) by ctypes, because they do the same and also work on
# nodes that are not ours; other C libraries ignore them.
ALLOCATOR = {
    'MALLOC_MMAP_THRESHOLD_': str(32 * 2**20),  # the largest value that glibc accepts
    'MALLOC_TRIM_THRESHOLD_': str(256 * 2**20),
}

# Each process takes one segment of 64 MB at start, the demo has four.  Where that does not fit, as
# in a container with Docker's 64 MB, Fast DDS fails in ways that are hard to read.
SHARED_MEMORY = '/dev/shm'
NEEDED = 4 * 64 * 2**20
PROFILE = 'config/fastdds_shared_memory.xml'
# Bytes of the segment in that profile, and of the one that Fast DDS has by itself: all pieces of a
# message must find room in it.
PROFILE_SEGMENT, DEFAULT_SEGMENT = 64 * 2**20, 512 * 2**10

# What goes to another host, when the detector is there, in datagrams of so many bytes at most: one
# packet each.  By default Fast DDS sends up to 64 kB at once in some forty packets; each one that
# is lost leaves the others in the kernel for 30 s (net.ipv4.ipfrag_time), and once they fill its
# 4 MB no large datagram arrives any more.
BETWEEN_HOSTS = 'image_raw/compressed', 'detections', 'tracks', '/diagnostics'
DATAGRAM = 1400
_XML = 'http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles'

_log = logging.getLogger(__name__)


def absolute(namespace: str, topic: str) -> str:
    """Return the absolute name of a topic in a namespace; an absolute one stays."""
    if topic.startswith('/'):
        return topic
    space = namespace.strip('/')
    return f'/{space}/{topic}' if space else f'/{topic}'


def environment(current=None, between_hosts: str | None = None) -> dict[str, str]:
    """
    Return the variables to add to the environment of a node's process.

    `current` is the environment that the process would have (default: this process's own).  What a
    user has chosen there stays: a Fast DDS profile, another middleware (RMW_IMPLEMENTATION) or
    allocator settings are not overridden.  A warning says when the profile is left out, and why.

    between_hosts: the namespace whose detector is on another host than its camera, if any.
    """
    current = os.environ if current is None else current
    chosen = {name: value for name, value in ALLOCATOR.items() if name not in current}
    middleware = current.get('RMW_IMPLEMENTATION', '')
    if middleware and not middleware.startswith('rmw_fastrtps'):
        _log.warning('RMW_IMPLEMENTATION is %s: the shared-memory profile is for Fast DDS and is '
                     'left out', middleware)
    elif PROFILE_VARIABLE in current:
        _log.warning('%s is %s: it is kept, and the shared-memory profile is left out; large '
                     'images need a shared-memory segment larger than themselves',
                     PROFILE_VARIABLE, current[PROFILE_VARIABLE])
    elif _free(SHARED_MEMORY) < NEEDED:
        _log.warning('%s has %d MB free: the shared-memory profile is left out, it needs %d MB '
                     '(in Docker: --shm-size=512m); large images may be lost',
                     SHARED_MEMORY, _free(SHARED_MEMORY) // 2**20, NEEDED // 2**20)
    else:
        chosen[PROFILE_VARIABLE] = str(share(PROFILE)) if between_hosts is None else (
            _profile_between_hosts(between_hosts))
    return chosen


def _profile_between_hosts(namespace: str) -> str:
    """
    Write the profile with small datagrams for what goes to another host; return its path.

    Fast DDS finds the settings of a publisher by the name of its topic.  Set for the whole process
    they would also cut the images in shared memory into thousands of pieces.  The file goes with
    this process, which starts the nodes.
    """
    ElementTree.register_namespace('', _XML)
    tree = ElementTree.parse(share(PROFILE))
    for topic in BETWEEN_HOSTS:
        element = ElementTree.SubElement(tree.getroot(), f'{{{_XML}}}data_writer', {
            'profile_name': absolute(namespace, topic)})
        for tag in 'propertiesPolicy', 'properties', 'property':
            element = ElementTree.SubElement(element, f'{{{_XML}}}{tag}')
        for tag, text in ('name', 'fastdds.max_message_size'), ('value', str(DATAGRAM)):
            ElementTree.SubElement(element, f'{{{_XML}}}{tag}').text = text
    with tempfile.NamedTemporaryFile(
            prefix=f'{Path(PROFILE).stem}_', suffix='.xml', delete=False) as file:
        tree.write(file, encoding='UTF-8', xml_declaration=True)
    atexit.register(_remove, file.name)
    return file.name


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


def images_between_hosts(namespace: str, send_again: bool = True) -> dict:
    """
    Return the parameters of a detector that sees the images of another host.

    send_again: have packets that were lost sent again, which our camera offers, instead of giving
    up their image.
    """
    parameters = {'compressed': True}
    if send_again:
        topic = absolute(namespace, 'image_raw/compressed')
        parameters[f'qos_overrides.{topic}.subscription.reliability'] = 'reliable'
    return parameters


def largest_message(current=None) -> int:
    """
    Return the bytes of the largest message that shared memory has room for, 0 for unknown.

    Of what is larger some pieces are lost, and so the message is, in most cases.
    """
    current = os.environ if current is None else current
    if not current.get('RMW_IMPLEMENTATION', 'rmw_fastrtps_cpp').startswith('rmw_fastrtps'):
        return 0
    profile = current.get(PROFILE_VARIABLE, '')
    if not profile:
        return DEFAULT_SEGMENT
    return PROFILE_SEGMENT if Path(profile).name.startswith(Path(PROFILE).stem) else 0


def _free(folder: str) -> int:
    """Return the free space of a file system in bytes; 0 where there is none."""
    try:
        status = os.statvfs(folder)
    except OSError:
        return 0
    return status.f_bavail * status.f_frsize
