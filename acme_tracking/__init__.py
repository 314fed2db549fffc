"""Detection on demand and visual tracking of road users, as ROS 2 nodes and as a library."""
import os

__version__ = '0.1.0'

# Threads of torch that wait shall sleep, not spin: camera and trackers need the core, and beside
# a busy process a spinning half of a team keeps the other half from moving to the core that it
# could have (measured on two cores: a training step took 8 s instead of 2.4).  Read by the OpenMP
# library when torch loads it, so this stands where all imports of the package pass.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
# Pixels of the largest picture that OpenCV decodes, read when it is loaded: a message of a few
# kilobytes may hold one that takes gigabytes.
os.environ.setdefault('OPENCV_IO_MAX_IMAGE_PIXELS', str(2**27))
