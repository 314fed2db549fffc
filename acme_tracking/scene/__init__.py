"""
The synthetic road: images with exact truth, for tests, benchmarks, training and the demo.

`scene` holds the road and its traffic, `models` what vehicles and people look like, `ground` the
road itself and its surroundings.  Every room may use it; it uses none but the values.
"""
from acme_tracking.scene.scene import Scene, TARGET_ID, Truth

__all__ = ['Scene', 'TARGET_ID', 'Truth']
