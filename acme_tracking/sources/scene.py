"""A rendered scene as a source."""
from __future__ import annotations

from acme_tracking.scene import Scene
from acme_tracking.sources.source import Source


class SceneSource(Source):
    """A rendered scene, without an end."""

    def __init__(self, scene: Scene):
        """Show `scene` from its start."""
        self.rate, self.size = scene.rate, (scene.width, scene.height)
        self.calibration = scene.calibration
        self._scene, self._index = scene, 0

    def read(self):
        """Render the next image."""
        image = self._scene.render(self._index)
        self._index += 1
        return image

    def restart(self):
        """Go back to the start of the scene."""
        self._index = 0
