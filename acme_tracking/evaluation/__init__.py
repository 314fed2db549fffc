"""
How well does it follow?  Bags and sequences with ground truth in, scores and a report out.

One idea per file.  Single objects: `sequences` reads or renders them, `one_pass` runs visual
trackers through them, `success` scores boxes, `calibration` scores confidences.  The whole:
`recordings` reads labelled data sets, `bags` reads and writes rosbag2; `lockstep` drives the
tracker and the baselines through a bag, `scores` judges their tracks, `report` shows the result.
Nothing here needs a ROS graph; `bags` needs the ROS message packages.
"""
