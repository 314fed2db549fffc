"""A detector of one's own: what moves in front of a camera that stands still, by OpenCV."""
import cv2
import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger
from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose


class OwnDetector(Node):
    """Keeps the newest image; looks at it when it is asked to."""

    def __init__(self):
        super().__init__('detector')
        self.background = cv2.createBackgroundSubtractorMOG2()
        self.newest = self.mask = None
        self.publisher = self.create_publisher(Detection2DArray, 'detections', 10)
        self.create_subscription(Image, 'image_raw', self.keep, qos_profile_sensor_data)
        self.create_service(Trigger, 'redetect', self.redetect)

    def keep(self, message):
        image = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
        self.mask = self.background.apply(image[:, :3 * message.width].reshape(
            message.height, message.width, 3))  # bgr8, as the camera of this package sends it
        self.newest = message

    def redetect(self, _, response):
        if self.newest is None:
            response.message = 'no image yet'
            return response
        # The header of the image is what tells the tracker where the boxes belong.
        found = Detection2DArray(header=self.newest.header)
        whole = cv2.morphologyEx(self.mask, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
        _, _, rows, _ = cv2.connectedComponentsWithStats((whole > 200).astype(np.uint8))
        for x, y, width, height, area in rows[1:].tolist():  # the first is the background
            if area >= 200:
                found.detections.append(detection(x, y, width, height, 'object', 0.9))
        self.publisher.publish(found)  # before the answer
        response.success, response.message = True, f'{len(found.detections)} detections'
        return response


def detection(x, y, width, height, label, score):
    box = Detection2D()
    box.bbox.center.position.x, box.bbox.center.position.y = x + width / 2, y + height / 2
    box.bbox.size_x, box.bbox.size_y = float(width), float(height)
    box.results = [ObjectHypothesisWithPose()]
    box.results[0].hypothesis.class_id, box.results[0].hypothesis.score = label, score
    return box


if __name__ == '__main__':
    rclpy.init()
    rclpy.spin(OwnDetector())
