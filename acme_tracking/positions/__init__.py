"""
Where tracked objects are, in metres: boxes (and depth images) in, positions with covariance out.

`camera` turns pixels into rays and says how the camera is mounted, `solids` what objects of a
class look like, `object_filter` follows one object, `contact` tells the time to contact, `depth`
reads depth images, and `locator` does it for all tracks.  No ROS here; of the package only the
values are used.

The frame is that of the vehicle (REP 103): x forward, y left, z up, metres, the ground at z = 0.
"""
