"""The calibrated camera: from pixels to rays, and how it is mounted above the ground."""
from __future__ import annotations

from dataclasses import dataclass
import math

import cv2
import numpy as np

# As sensor_msgs/CameraInfo names them: the numbers of coefficients that OpenCV takes.
DISTORTIONS = {'': (0,), 'plumb_bob': (0, 4, 5), 'rational_polynomial': (8, 12, 14),
               'equidistant': (4,)}
# Pixels that a point may be off when it is distorted again; beyond, the model has no inverse.
INVERSE_ERROR = 0.5
# Undistorted until it changes by less than this (normalised), in at most so many iterations.
CRITERIA = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 50, 1e-9)


@dataclass(frozen=True)
class Calibration:
    """
    What sensor_msgs/CameraInfo says of a camera.

    width, height: of its images, pixels.  matrix: K, 9 numbers by rows.  distortion: D, as many as
    the model has.  projection: P, 12 numbers by rows, of the rectified image.
    """

    width: int
    height: int
    model: str
    matrix: tuple
    distortion: tuple = ()
    projection: tuple = (0.0,) * 12


class Camera:
    """
    Turns pixels into rays.

    Pixels are those of boxes: the first pixel begins at 0 and ends at 1, while calibrations have
    its middle at 0.
    """

    def __init__(self, calibration: Calibration, rectified: bool = False):
        """
        Take a calibration, for rectified images that by P.

        Raises ValueError, which names the entry of camera_info, when it is none.
        """
        self.calibration = calibration
        self._fisheye = calibration.model == 'equidistant' and not rectified
        self._matrix = np.array(
            np.reshape(calibration.projection, (3, 4))[:, :3] if rectified
            else np.reshape(calibration.matrix, (3, 3)), float)
        self._distortion = np.array(() if rectified else calibration.distortion, float)
        self._check('p' if rectified else 'k')

    def _check(self, name):
        calibration, matrix = self.calibration, self._matrix
        (fx, _, cx), (_, fy, cy), _ = matrix
        if not matrix.any():
            raise ValueError(f'the camera is not calibrated: {name} is 0')
        if min(calibration.width, calibration.height) < 1:
            raise ValueError('width and height must be above 0, got '
                             f'{calibration.width} x {calibration.height}')
        if not (np.isfinite(matrix).all() and min(fx, fy) > 0):
            raise ValueError(f'{name} must have finite numbers and focal lengths above 0, got '
                             f'{matrix.ravel().tolist()}')
        if not (0 <= cx <= calibration.width and 0 <= cy <= calibration.height):
            raise ValueError(f'the principal point of {name} must be in the image of '
                             f'{calibration.width} x {calibration.height}, got {cx:g}, {cy:g}')
        counts = DISTORTIONS.get(calibration.model)
        if counts is None:
            known = ', '.join(filter(None, DISTORTIONS))
            raise ValueError(f'distortion_model must be one of {known}, got '
                             f'{calibration.model[:40]!r}')
        if len(calibration.distortion) not in counts or not np.isfinite(self._distortion).all():
            raise ValueError(f'd of {calibration.model or "no model"} must have '
                             f'{" or ".join(map(str, counts))} finite numbers, got '
                             f'{list(calibration.distortion)[:14]}')

    @property
    def focal(self) -> float:
        """The focal length in pixels, the mean of both directions."""
        return float(self._matrix[0, 0] + self._matrix[1, 1]) / 2

    def rays(self, points) -> np.ndarray:
        """
        Return where the rays of pixels (N, 2) are at depth 1: right and down, float64 (N, 2).

        NaN where the distortion model has no inverse.
        """
        points = np.asarray(points, float).reshape(-1, 1, 2) - 0.5
        if not len(points):
            return np.empty((0, 2))
        if not self._distortion.any() and not self._fisheye:
            return cv2.undistortPoints(points, self._matrix, None)[:, 0]
        if self._fisheye:
            rays = cv2.fisheye.undistortPoints(points, self._matrix, self._distortion)
        else:
            rays = cv2.undistortPoints(points, self._matrix, self._distortion, None, None, None,
                                       CRITERIA)
        off = np.linalg.norm(self._pixels(rays) - points, axis=2)[:, 0]
        return np.where((off < INVERSE_ERROR)[:, None], rays[:, 0], np.nan)

    def _pixels(self, rays):
        if self._fisheye:
            return cv2.fisheye.distortPoints(rays, self._matrix, self._distortion)
        solid = cv2.convertPointsToHomogeneous(rays.astype(float))
        return cv2.projectPoints(solid, np.zeros(3), np.zeros(3), self._matrix,
                                 self._distortion)[0]


@dataclass(frozen=True, eq=False)
class Mount:
    """
    Where the camera is on the vehicle.

    position: float64 (3,), metres.  axes: float64 (3, 3), whose rows are the image's right, the
    image's down and the viewing direction (the axes of an optical frame), in the vehicle's frame.
    """

    position: np.ndarray
    axes: np.ndarray

    @classmethod
    def from_angles(cls, x=0.0, y=0.0, height=1.5, roll=0.0, pitch=0.0, yaw=0.0) -> Mount:
        """
        Return the mount of a camera that looks forward, turned by angles in radians.

        As REP 103 has them: roll is clockwise as seen from behind, pitch down, yaw to the left.
        """
        about_x, about_y, about_z = (
            cv2.Rodrigues(angle * axis)[0]
            for angle, axis in zip((roll, pitch, yaw), np.eye(3), strict=True))
        body = about_z @ about_y @ about_x
        return cls(np.array([x, y, height], float), np.stack([-body[:, 1], -body[:, 2],
                                                              body[:, 0]]))

    @classmethod
    def from_quaternion(cls, position, x, y, z, w) -> Mount:
        """
        Return the mount that a transform from the optical frame to the vehicle's frame tells.

        Raises ValueError when the quaternion is no rotation or the camera is not above the ground.
        """
        norm = math.sqrt(x * x + y * y + z * z + w * w)
        position = np.asarray(position, float)
        if not (abs(norm - 1) < 1e-3 and np.isfinite(position).all()):
            raise ValueError(f'no rotation: quaternion {(x, y, z, w)}')
        if position[2] <= 0:
            raise ValueError(f'the camera must be above the ground, z is {position[2]:.2f} m')
        x, y, z, w = (value / norm for value in (x, y, z, w))
        axes = np.array([
            [1 - 2 * (y * y + z * z), 2 * (x * y + z * w), 2 * (x * z - y * w)],
            [2 * (x * y - z * w), 1 - 2 * (x * x + z * z), 2 * (y * z + x * w)],
            [2 * (x * z + y * w), 2 * (y * z - x * w), 1 - 2 * (x * x + y * y)]])
        return cls(position, axes)

    def view(self, points) -> np.ndarray:
        """Return points (..., 3) of the vehicle's frame as right, down and depth, metres."""
        return (points - self.position) @ self.axes.T
