"""
What the three nodes share: lifecycle, parameters, quality of service and diagnostics.

A node of this package is a managed (lifecycle) node that, unless `autostart` is off, configures
and activates itself.  What it creates while it is configured lives until it is cleaned up, what
it creates while it is activated (its subscriptions, so that an inactive node receives nothing)
lives until it is deactivated.
"""
from __future__ import annotations

import copy
from dataclasses import replace
import functools
import traceback

from acme_tracking.parameters import range_text, specifications, validate
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rcl_interfaces.msg import ParameterDescriptor, SetParametersResult
import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.exceptions import ParameterException
from rclpy.executors import (
    ExternalShutdownException,
    MultiThreadedExecutor,
    SingleThreadedExecutor,
)
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.logging import get_logger
from rclpy.qos import qos_policy_name_from_kind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future

IMAGE_QOS = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)


class ManagedNode(LifecycleNode):
    """
    A lifecycle node whose parameters are a dataclass and which reports its health.

    Subclasses implement `configure`, `activate`, `deactivate`, `cleanup` (an exception fails the
    transition and is logged), `parameters_changed` and `diagnose`.  `deactivate` and `cleanup`
    are also called when the node is destroyed.
    """

    def __init__(self, name: str, parameters_type):
        """Declare the parameters; raises ValueError when a value given at start is refused."""
        super().__init__(name)
        # rclpy raises out of this service when the transition does not exist in the present
        # state, and an exception out of a callback ends the process.
        self._service_change_state.callback = functools.partial(
            self._change_state, self._service_change_state.callback)
        self._entities = []
        self._callback_errors = 0
        self._incompatible = {}
        self.finished = Future()
        self.parameters = self._declare(parameters_type)
        self.declare_parameter('autostart', True, ParameterDescriptor(
            description='Configure and activate the node at start.', read_only=True))
        self.add_on_set_parameters_callback(self._check_parameters)
        self.add_post_set_parameters_callback(self._apply_parameters)
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', RELIABLE_QOS)
        # A steady clock: health is reported at 1 Hz also while simulated time stands still.
        self.create_timer(1.0, self._guarded(self._report_health),
                          clock=Clock(clock_type=ClockType.STEADY_TIME))

    def configure(self):
        """Create publishers and load what is expensive."""

    def activate(self):
        """Create subscriptions and start work."""

    def deactivate(self):
        """Stop work; must not fail, also after an `activate` that did."""

    def cleanup(self):
        """Give back what `configure` took; must not fail, also after a `configure` that did."""

    def parameters_changed(self, previous):
        """Act on new `self.parameters`; `previous` are those before."""

    def diagnose(self) -> tuple[bytes, str, dict]:
        """Return level (DiagnosticStatus.OK ...), message and values of an active node."""
        return DiagnosticStatus.OK, 'active', {}

    def destroy_node(self):
        """Deactivate and clean up, which ends threads that would keep the node, and destroy it."""
        self.on_shutdown(None)
        super().destroy_node()

    def finish(self):
        """End the process, with exit status 0; may be called from any thread."""
        self.executor.create_task(self.finished.set_result, None)

    # Parameters

    def _declare(self, parameters_type):
        values = {}
        for item in specifications(parameters_type):
            # Typing is dynamic because a user writes `rate: 10` for a float; `validate` is the
            # one judge, and its message names value and range.
            descriptor = ParameterDescriptor(
                description=item.constraint.description, dynamic_typing=True,
                additional_constraints=range_text(item.constraint),
                read_only=item.constraint.read_only)
            values[item.name] = self.declare_parameter(item.name, item.default, descriptor).value
        parameters = parameters_type(**values)
        validate(parameters)
        return parameters

    def _changed(self, changes):
        names = {item.name for item in specifications(type(self.parameters))}
        return replace(self.parameters, **{
            change.name: change.value for change in changes if change.name in names})

    def _check_parameters(self, changes) -> SetParametersResult:
        try:
            validate(self._changed(changes))
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _apply_parameters(self, changes):
        previous, self.parameters = self.parameters, self._changed(changes)
        if self.parameters != previous:
            self._guarded(self.parameters_changed)(previous)

    # Lifecycle

    @property
    def state(self) -> str:
        """The label of the lifecycle state: unconfigured, inactive, active, finalized ..."""
        return self._state_machine.current_state[1]

    def start(self) -> bool:
        """Configure and activate the node unless `autostart` is off; tell whether that worked."""
        if not self.get_parameter('autostart').value:
            return True
        success = TransitionCallbackReturn.SUCCESS
        return self.trigger_configure() == success and self.trigger_activate() == success

    def on_configure(self, state):
        """Run `configure`; everything it created is destroyed again when it fails."""
        return self._enter('configure', super().on_configure, state, undo=self._undo_configure)

    def on_activate(self, state):
        """Run `activate`; everything it created is destroyed again when it fails."""
        return self._enter('activate', super().on_activate, state, undo=self._undo_activate)

    def on_deactivate(self, state):
        """Run `deactivate`."""
        self._undo_activate()
        return super().on_deactivate(state)

    def on_cleanup(self, state):
        """Run `cleanup`."""
        self._undo_configure()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state):
        """Run `deactivate` and `cleanup`, whatever the state was."""
        self._undo_activate()
        self._undo_configure()
        return TransitionCallbackReturn.SUCCESS

    def _enter(self, name, enter, state, undo):
        self._scope = name
        try:
            # Publishers are enabled first, so that work may publish as soon as it starts.
            result = enter(state)
            getattr(self, name)()
        except Exception as error:
            self.get_logger().error(f'cannot {name}: {error}')
            undo()
            return TransitionCallbackReturn.FAILURE
        return result

    def _undo_activate(self):
        self.deactivate()
        self._destroy_entities('activate')

    def _undo_configure(self):
        self.cleanup()
        self._destroy_entities('configure')

    def _destroy_entities(self, scope):
        for created_in, destroy, entity in self._entities:
            if created_in == scope:
                destroy(entity)
        self._entities = [item for item in self._entities if item[0] != scope]

    def _change_state(self, change_state, request, response):
        try:
            return change_state(request, response)
        except rclpy_implementation.RCLError:
            asked = request.transition.label or request.transition.id
            self.get_logger().warning(f"transition '{asked}' is not possible in state "
                                      f"'{self.state}'")
            response.success = False
            return response

    # Communication

    def publisher(self, message_type, topic: str, qos: QoSProfile):
        """Return a lifecycle publisher with QoS overrides, destroyed with the present state."""
        qos = copy.copy(qos)  # the overrides are written into the profile
        publisher = self.create_lifecycle_publisher(
            message_type, topic, qos,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            event_callbacks=PublisherEventCallbacks(incompatible_qos=lambda event: (
                self._warn_incompatible(
                    event, publisher.topic_name, 'publication', 'subscribes', qos,
                    self.get_subscriptions_info_by_topic))))
        self._entities.append((self._scope, self.destroy_lifecycle_publisher, publisher))
        return publisher

    def subscription(self, message_type, topic: str, callback, qos: QoSProfile, **options):
        """
        Return a subscription with QoS overrides, destroyed with the present state.

        An exception out of `callback` is logged and counted; no message ends the process.
        """
        qos = copy.copy(qos)
        subscription = self.create_subscription(
            message_type, topic, self._guarded(callback), qos,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=lambda event: (
                self._warn_incompatible(
                    event, subscription.topic_name, 'subscription', 'publishes', qos,
                    self.get_publishers_info_by_topic))), **options)
        self._entities.append((self._scope, self.destroy_subscription, subscription))
        return subscription

    def service(self, service_type, name: str, callback, **options):
        """Return a service, destroyed with the present state."""
        service = self.create_service(service_type, name, callback, **options)
        self._entities.append((self._scope, self.destroy_service, service))
        return service

    def client(self, service_type, name: str):
        """Return a service client, destroyed with the present state."""
        client = self.create_client(service_type, name)
        self._entities.append((self._scope, self.destroy_client, client))
        return client

    def _warn_incompatible(self, event, topic, ours, theirs, qos, endpoints):
        """
        Name both sides of a pair that cannot communicate: who, and with which policy.

        The event arrives before the name of the other side does, so the warning waits for the
        next diagnostics.
        """
        self._incompatible[topic, ours] = functools.partial(
            self._name_both_sides, event, topic, ours, theirs, qos, endpoints)

    def _name_both_sides(self, event, topic, ours, theirs, qos, endpoints):
        policy = qos_policy_name_from_kind(event.last_policy_kind)
        attribute = policy.lower()
        others = [
            f'{info.node_namespace.rstrip("/")}/{info.node_name} {theirs} with '
            f'{policy} {getattr(info.qos_profile, attribute).name}'
            for info in endpoints(topic)
            if getattr(info.qos_profile, attribute) != getattr(qos, attribute)]
        self.get_logger().warning(
            f"no messages on '{topic}' between these two: the {ours} of "
            f'{self.get_fully_qualified_name()} has {policy} {getattr(qos, attribute).name}, '
            f'but {" and ".join(others) or "the other side is incompatible"}; '
            f'see the parameters qos_overrides.{topic}.*')

    def _guarded(self, callback):
        @functools.wraps(callback)
        def guarded(*arguments):
            try:
                return callback(*arguments)
            except Exception:
                if not self.context.ok():
                    return None  # interrupted: nothing can be published any more
                self._callback_errors += 1
                self.get_logger().error(
                    f'{callback.__name__} failed and goes on with the next message:\n'
                    f'{traceback.format_exc()}', throttle_duration_sec=5.0)
        return guarded

    # Diagnostics

    def _report_health(self):
        while self._incompatible:
            self._incompatible.popitem()[1]()
        self.publish_diagnostics()

    def publish_diagnostics(self):
        """Publish what `diagnose` returns, or the lifecycle state while the node is not active."""
        if self.state == 'active':
            level, message, values = self.diagnose()
        else:
            level, message, values = DiagnosticStatus.WARN, self.state, {}
        if self._callback_errors:
            values = {**values, 'callback_errors': self._callback_errors}
        status = DiagnosticStatus(
            level=level, name=self.get_fully_qualified_name(), message=message,
            hardware_id=self.get_name(),
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()])
        array = DiagnosticArray(status=[status])
        array.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(array)


def run(node_type, threads: int = 1) -> int:
    """
    Run a node until it finishes or the process is asked to end; return its exit status.

    `threads` above 1 runs callbacks of different (or reentrant) groups side by side.  The status
    is 1 when the node could not be made or started, which is logged.
    """
    rclpy.init(signal_handler_options=SignalHandlerOptions.ALL)
    try:
        return _spin(node_type, threads)
    except (KeyboardInterrupt, ExternalShutdownException):
        return 0
    except Exception:
        if rclpy.ok():
            raise
        return 0  # interrupted: whatever was under way found the context gone
    finally:
        rclpy.try_shutdown()


def _spin(node_type, threads) -> int:
    try:
        node = node_type()
    except (ValueError, ParameterException) as error:
        get_logger(node_type.__name__).fatal(f'cannot start: {error}')
        return 1
    executor = SingleThreadedExecutor() if threads == 1 else MultiThreadedExecutor(threads)
    executor.add_node(node)
    try:
        if not node.start():
            return 1
        # Not spin_until_future_complete: rclpy (Jazzy) adds a callback to the future in every
        # turn, so that each message would cost 0.3 kB for good.
        while node.context.ok() and not node.finished.done():
            executor.spin_once()
        return 0
    finally:
        node.on_shutdown(None)  # while callbacks still run, as some may wait for a worker
        executor.shutdown(timeout_sec=1.0)
        node.destroy_node()
