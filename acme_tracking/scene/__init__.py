"""
The synthetic road: images with exact truth, for tests, benchmarks, training and the demo.

`scene` makes images and truth; `traffic` says who is where, `ego` how the camera moves, in metres,
`motion` where that is for the camera, and how deep; `models` is what vehicles and people look
like, `ground` the road, `surroundings` what a moving camera sees beside it, `painting` what hides
what.  Every room may use it; it uses none but the values.
"""
from acme_tracking.scene.motion import Motion
from acme_tracking.scene.scene import CAMERAS, DRIVES, Scene, TARGET_ID, Truth

__all__ = ['CAMERAS', 'DRIVES', 'Motion', 'Scene', 'TARGET_ID', 'Truth']
