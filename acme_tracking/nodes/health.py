"""
What a node says of itself: lines in its log, and its health on `/diagnostics`.

Names, levels and the frequency are written as `diagnostic_updater` writes them, so that what reads
that reads these.
"""
from __future__ import annotations

from collections import deque

from acme_tracking.messages import STATE
from acme_tracking.nodes.quality import RELIABLE_QOS
from acme_tracking.nodes.running import now
from acme_tracking.sessions.events import Report, Warn
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

DIAGNOSTICS = '/diagnostics'  # of all nodes, so that it has many publishers
LEVELS = {'ok': DiagnosticStatus.OK, 'warning': DiagnosticStatus.WARN,
          'error': DiagnosticStatus.ERROR}
# Reports, one a second, that the frequency is taken from.
WINDOW = 5


class Health:
    """
    Says what a session wants said.

    callback_errors: how many messages or calls raised, and rivals, the names of the publishers of
    each topic that has more than one, are said along.
    """

    def __init__(self, node):
        """Speak for a node."""
        self._node, self.callback_errors, self.rivals = node, 0, {}
        self._published = 0
        self._looks = deque(maxlen=WINDOW + 1)  # (nanoseconds, published by then)
        self.publisher = node.create_publisher(DiagnosticArray, DIAGNOSTICS, RELIABLE_QOS)

    def count(self) -> None:
        """Count a message of what the node is there to publish."""
        self._published += 1

    def _frequency(self):
        """Return what a FrequencyStatus holds, of the last WINDOW seconds."""
        self._looks.append((now(), self._published))
        (begin, before), (end, published) = self._looks[0], self._looks[-1]
        seconds = (end - begin) * 1e-9
        return {'Events in window': published - before, 'Events since startup': published,
                'Duration of window (s)': round(seconds, 2), 'Actual frequency (Hz)': round(
                    (published - before) / seconds, 2) if seconds else 0.0}

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
        values = {**report.values, **self._frequency()}
        if self.callback_errors:
            values['callback_errors'] = self.callback_errors
        level, message = report.level, report.message
        for topic, names in self.rivals.items():
            values[f'publishers.{topic}'] = ', '.join(names)
            if level == 'ok':
                level, message = 'warning', f'{topic} has {len(names)} publishers'
        status = DiagnosticStatus(
            level=LEVELS[level], message=message,
            name=f'{self._node.get_fully_qualified_name().lstrip("/")}: {STATE}',
            hardware_id=self._node.get_name(),
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()])
        array = DiagnosticArray(status=[status])
        array.header.stamp = self._node.get_clock().now().to_msg()
        self.publisher.publish(array)
