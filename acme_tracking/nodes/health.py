"""What a node says about itself: lines in its log, and a status on /diagnostics."""
from __future__ import annotations

from acme_tracking.sessions.events import Report, Warn
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

LEVELS = {'ok': DiagnosticStatus.OK, 'warning': DiagnosticStatus.WARN,
          'error': DiagnosticStatus.ERROR}


def say(logger, warn: Warn) -> None:
    """Write a line to the log of a node."""
    # One call each: rclpy does not let one place in the code log with several severities.
    if warn.level == 'info':
        logger.info(warn.text)
    elif warn.level == 'warning':
        logger.warning(warn.text)
    else:
        logger.error(warn.text)


def diagnostics(node, report: Report) -> DiagnosticArray:
    """Return the message for a report of a node."""
    status = DiagnosticStatus(
        level=LEVELS[report.level], name=node.get_fully_qualified_name(),
        message=report.message, hardware_id=node.get_name(),
        values=[KeyValue(key=key, value=str(value)) for key, value in report.values.items()])
    array = DiagnosticArray(status=[status])
    array.header.stamp = node.get_clock().now().to_msg()
    return array
