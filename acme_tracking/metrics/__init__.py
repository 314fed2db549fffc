"""
Figures of quality: arrays and `Detections` in, numbers out.

`average_precision` judges a detector, `tracking` tracks (HOTA and its friends), `success` the
boxes of a single object, `calibration` whether confidences keep their word.  No files, no ROS.
"""
