"""Architectures that turn images into features; they know nothing of boxes, data or ROS."""
