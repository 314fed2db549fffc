"""
The CNN: network, checkpoint, pre- and post-processing.  It knows no tracks and no ROS.

Only `options` and `suppression` do without torch, so nothing is imported here.
"""
