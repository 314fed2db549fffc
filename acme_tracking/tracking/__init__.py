"""
Many objects followed from image to image, corrected by detections that arrive late.

Enter through `tracker.MultiObjectTracker`.  One idea per file: `visual` follows one object by its
looks, `camera_motion` tells how the camera moved, `motion` predicts a box, `association` pairs
tracks with detections, `buffer` keeps the images to replay, `track` is the life of one object,
`turns` says who is looked at when there are too many, `newcomers` that something moves which is no
track, `policy` when the detector should run.
Nothing here knows ROS, torch or the detector.
"""
