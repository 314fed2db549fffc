"""
rosbag2 recordings, sqlite3 and mcap, in and out without a ROS graph (library: rosbags).

A bag of this package holds the topics of the graph, so that what `bag record` writes, what a robot
recorded and what `bag make` makes of a data set are one thing; and, where somebody labelled,
`ground_truth` (vision_msgs/Detection2DArray) beside the images: one message for each labelled
image, with that image's header, also when nothing is on it; ids are identities, and a score of 0
marks what scoring is to ignore.  Where objects are in metres is on `ground_truth_3d`.  Needs the
message packages, never rclpy.
"""
