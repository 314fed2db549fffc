"""What a node says of itself: lines in its log, and its health on `/diagnostics`."""
from __future__ import annotations

from acme_tracking.nodes.quality import RELIABLE_QOS
from acme_tracking.sessions.events import Report, Warn
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

LEVELS = {'ok': DiagnosticStatus.OK, 'warning': DiagnosticStatus.WARN,
          'error': DiagnosticStatus.ERROR}


class Health:
    """
    Says what a session wants said.

    callback_errors: how many messages or calls raised, and rivals, the names of the publishers of
    each topic that has more than one, are said along.
    """

    def __init__(self, node):
        """Speak for a node."""
        self._node, self.callback_errors, self.rivals = node, 0, {}
        self.publisher = node.create_publisher(DiagnosticArray, '/diagnostics', RELIABLE_QOS)

    def say(self, warn: Warn) -> None:
        """Write a line into the log."""
        # One call each: rclpy does not let one place in the code log with several severities.
        if warn.level == 'info':
            self._node.get_logger().info(warn.text)
        elif warn.level == 'warning':
            self._node.get_logger().warning(warn.text)
        else:
            self._node.get_logger().error(warn.text)

    def publish(self, report: Report) -> None:
        """Publish a report."""
        values = dict(report.values)
        if self.callback_errors:
            values['callback_errors'] = self.callback_errors
        level, message = report.level, report.message
        for topic, names in self.rivals.items():
            values[f'publishers.{topic}'] = ', '.join(names)
            if level == 'ok':
                level, message = 'warning', f'{topic} has {len(names)} publishers'
        status = DiagnosticStatus(
            level=LEVELS[level], name=self._node.get_fully_qualified_name(),
            message=message, hardware_id=self._node.get_name(),
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()])
        array = DiagnosticArray(status=[status])
        array.header.stamp = self._node.get_clock().now().to_msg()
        self.publisher.publish(array)
