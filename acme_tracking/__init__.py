"""Detection on demand and visual tracking of road users, as ROS 2 nodes and as a library."""
