"""rosbag2 in and out, without a ROS graph; it needs the message packages, never rclpy."""
