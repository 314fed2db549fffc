"""
How well does it follow?  Bags and sequences with ground truth in, scores and a report out.

One idea per file.  Single objects: `sequences` reads or renders them, `one_pass` runs visual
trackers through them.  The whole: `recordings` reads labelled data sets, `simulation` drives the
sessions of the nodes through a bag with a virtual clock, `baselines` what they are compared with,
`live` the nodes themselves; `run` keeps the result, with tracks as `mot` writes them, and `report`
shows it.  `repetition` does a live run again.  Figures are made in `metrics`; bags are read and
written in `bags`.  Nothing here needs a ROS graph.
"""
