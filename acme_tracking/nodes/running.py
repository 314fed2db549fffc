"""How a node runs as a process, from its start to its exit status."""
from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import time

from acme_tracking.processes import end_with_parent
import cv2
import rclpy
from rclpy.exceptions import InvalidHandle, ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.logging import get_logger
from rclpy.signals import install_signal_handlers, SignalHandlerOptions


def now() -> int:
    """Return the time of an event in nanoseconds, on a clock that never goes back."""
    return time.monotonic_ns()


@contextlib.contextmanager
def ros():
    """
    Have ROS initialised; SIGINT and SIGTERM ask to end by shutting its context down.

    Neither raises anything: launch repeats the SIGINT of a terminal, and a KeyboardInterrupt would
    break off what the first has begun to end.  A launcher that died of a SIGTERM, as systemd sends
    it, leaves its nodes: ours end with it.
    """
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    # below the handlers of ROS, and still there when they are gone and the interpreter ends
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    install_signal_handlers(SignalHandlerOptions.ALL)
    end_with_parent()
    try:
        yield
    finally:
        rclpy.try_shutdown()


def run(*node_types) -> int:
    """
    Run nodes until one finishes or the process is asked to end; return the exit status.

    node_types: called without arguments, make one each.  The status is 1 when a node could not be
    made or started, or could not end what it began, which is logged, or the one that it finished
    with.

    OpenCV gets one thread: what it computes of an image here is so little that to wake others, who
    then wait for more, takes a fifth more of the processor, and nodes share it.
    """
    cv2.setNumThreads(1)
    with ros(), until_shut_down():
        nodes = []
        for node_type in node_types:
            try:
                nodes.append(node_type())
            except (ValueError, RuntimeError, ParameterException) as error:
                get_logger(getattr(node_type, '__name__', 'node')).fatal(f'cannot start: {error}')
                return 1
        return _spin(nodes)
    return 0


def exit_with(status: int):
    """
    End the process at once, all that a node began having been ended.

    The interpreter would wait for threads that may hang, and on a busy machine it takes seconds to
    take modules apart that go with the process anyway.  Only the nodes do not: they are parts of
    cycles, and until those are collected DDS leaves its files of shared memory, 64 MB each.
    """
    gc.collect()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


@contextlib.contextmanager
def until_shut_down():
    """
    Pass over what is raised because the context was shut down, as Ctrl-C does.

    That is not only ExternalShutdownException: rclpy may be making a timer at that moment.
    """
    try:
        yield
    except Exception:
        if rclpy.ok():
            raise


def _spin(nodes) -> int:
    executor = SingleThreadedExecutor()
    for node in nodes:
        executor.add_node(node)
    try:
        with until_shut_down():
            if not all(node.start() for node in nodes):
                return 1
            # Not spin_until_future_complete: rclpy (Jazzy) adds a callback to the future in every
            # turn, so that each message would cost 0.3 kB for good.  A handle is invalid when an
            # answer is ready for a service that went with its state.
            while rclpy.ok() and not any(node.finished.done() for node in nodes):
                with contextlib.suppress(InvalidHandle):
                    executor.spin_once()
    finally:
        for node in nodes:
            node.on_shutdown(None)  # while callbacks still run, as some may wait for a worker
        executor.shutdown(timeout_sec=1.0)
        for node in nodes:
            node.destroy_node()
    return max(node.exit_status for node in nodes)
