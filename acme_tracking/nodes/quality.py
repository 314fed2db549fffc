"""Quality of service: the profiles of this package, overrides, and pairs that do not fit."""
from __future__ import annotations

import copy
import functools

from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.qos import qos_policy_name_from_kind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

# Images are asked for as they come, and offered so that those who ask for more get them, too: RViz
# and others ask for reliable ones by default.
IMAGE_QOS = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
OFFERED_IMAGE_QOS = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
RELIABLE_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)


class Endpoints:
    """Creates the publishers and subscriptions of a node, with QoS overrides."""

    def __init__(self, node):
        """Create those of a lifecycle node."""
        self._node = node
        self._untold = {}

    def publisher(self, message_type, topic: str, qos: QoSProfile):
        """Return a lifecycle publisher."""
        qos = copy.copy(qos)  # the overrides are written into the profile
        publisher = self._node.create_lifecycle_publisher(
            message_type, topic, qos,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            event_callbacks=PublisherEventCallbacks(incompatible_qos=lambda event: self._keep(
                event, publisher.topic_name, 'publication', 'subscribes', qos,
                self._node.get_subscriptions_info_by_topic)))
        return publisher

    def subscription(self, message_type, topic: str, callback, qos: QoSProfile, **options):
        """Return a subscription."""
        qos = copy.copy(qos)
        subscription = self._node.create_subscription(
            message_type, topic, callback, qos,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=lambda event: self._keep(
                event, subscription.topic_name, 'subscription', 'publishes', qos,
                self._node.get_publishers_info_by_topic)), **options)
        return subscription

    def warn_of_mismatches(self):
        """
        Name both sides of each pair that cannot communicate: who, and with which policy.

        The event arrives before the name of the other side does, so this is called a little later.
        """
        while self._untold:
            self._untold.popitem()[1]()

    def _keep(self, event, topic, ours, *arguments):
        self._untold[topic, ours] = functools.partial(self._warn, event, topic, ours, *arguments)

    def _warn(self, event, topic, ours, theirs, qos, endpoints):
        policy = qos_policy_name_from_kind(event.last_policy_kind)
        attribute = policy.lower()
        others = [
            f'{info.node_namespace.rstrip("/")}/{info.node_name} {theirs} with '
            f'{policy} {getattr(info.qos_profile, attribute).name}'
            for info in endpoints(topic)
            if getattr(info.qos_profile, attribute) != getattr(qos, attribute)]
        self._node.get_logger().warning(
            f"no messages on '{topic}' between these two: the {ours} of "
            f'{self._node.get_fully_qualified_name()} has {policy} '
            f'{getattr(qos, attribute).name}, but '
            f'{" and ".join(others) or "the other side is incompatible"}; '
            f'see the parameters qos_overrides.{topic}.*')
