"""What a detector may be asked for: defaults and limits, which need no torch."""

SCORE_THRESHOLD = 0.3
NMS_THRESHOLD = 0.5
SIDES = 32, 4096  # limits of input_size
MAXIMUM_TILES = 8
# Boxes of two classes are taken for one object only from this overlap on: a rider lies in the box
# of the motorcycle.  What is one object with two names overlaps itself nearly wholly.
ONE_OBJECT_IOU = 0.7
