"""
How well does it follow?  Sequences with ground truth in, scores out.

One idea per file: `sequences` reads or renders single objects with their true boxes, `one_pass`
runs visual trackers through them, `success` scores boxes, `calibration` scores confidences.
Nothing here knows ROS.
"""
