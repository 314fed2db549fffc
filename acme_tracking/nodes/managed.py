"""
What the nodes share: lifecycle, parameters and health.

A node of this package is a managed (lifecycle) node that, unless `autostart` is off, configures
and activates itself.  What it creates while it is configured lives until it is cleaned up, what
it creates while it is activated (its subscriptions, so that an inactive node receives nothing)
lives until it is deactivated.
"""
from __future__ import annotations

import functools
import traceback

from acme_tracking.nodes.health import Health
from acme_tracking.nodes.neighbours import Neighbours
from acme_tracking.nodes.quality import Endpoints
from acme_tracking.nodes.ros_parameters import RosParameters
from acme_tracking.nodes.serving import serving
from acme_tracking.sessions.events import Report, Warn
from rcl_interfaces.msg import ParameterDescriptor, SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.task import Future


class ManagedNode(LifecycleNode):
    """
    A lifecycle node whose parameters are a dataclass and which reports its health.

    Subclasses implement `configure`, `activate`, `deactivate`, `cleanup`, `parameters_changed`,
    `act` and `diagnose`.  An exception out of the first two fails the transition, which is logged
    and undone: by `deactivate` or `cleanup`, which also run when the node is destroyed.
    """

    def __init__(self, name: str, parameters_type, **options):
        """
        Declare the parameters; raises ValueError when a value given at start is refused.

        options: of rclpy's nodes, such as `namespace` and `parameter_overrides`.
        """
        super().__init__(name, **options)
        for service in self.services:
            service.callback = serving(self, service.callback)
        self._entities, self._scope, self._failure = [], '', ''
        self.finished, self.exit_status = Future(), 0
        self._endpoints = Endpoints(self)
        self.declare_parameter('autostart', True, ParameterDescriptor(
            description='Configure and activate the node at start.', read_only=True))
        self._parameter_set = RosParameters(self, parameters_type)
        self._parameter_set.warn_of_unknown()
        self._health = Health(self)
        self._neighbours = Neighbours(self)
        # A steady clock: health is reported at 1 Hz also while simulated time stands still.
        self.create_timer(1.0, self.guarded(self._report_health),
                          clock=Clock(clock_type=ClockType.STEADY_TIME))

    # What subclasses implement

    def configure(self):
        """Create publishers and load what is expensive."""

    def activate(self):
        """Create subscriptions and start work, with `parameters` as they are now."""

    def deactivate(self):
        """Stop work, also what an `activate` that failed has begun."""

    def cleanup(self):
        """Give back what `configure` took, also one that failed."""

    def check_parameters(self, wanted, names):
        """Raise ValueError for parameters that are no use; `names` are those to be set."""

    def parameters_changed(self, previous):
        """Act on `parameters`, which changed while the node is active."""

    def act(self, action):
        """Perform an action of the session."""
        raise NotImplementedError(action)

    def diagnose(self):
        """Perform a `Report`; called once a second while the node is active."""
        self.perform([Report('ok', 'active')])

    # What they use

    def perform(self, actions):
        """Perform the actions of a session; may be called from any thread."""
        for action in actions:
            if isinstance(action, Warn):
                self._health.say(action)
            elif isinstance(action, Report):
                self._health.publish(action)
            else:
                self.act(action)

    def count(self):
        """Count a message of what the node is there to publish, for its frequency."""
        self._health.count()

    def guarded(self, callback):
        """Return a function that calls `callback` and, when it raises, logs and counts that."""
        @functools.wraps(callback)
        def call(*arguments):
            try:
                return callback(*arguments)
            except Exception:
                if not self.context.ok():
                    return None  # interrupted: nothing can be published any more
                self._health.callback_errors += 1
                self.get_logger().error(
                    f'{callback.__name__} failed and goes on with the next message:\n'
                    f'{traceback.format_exc()}', throttle_duration_sec=5.0)
        return call

    def finish(self, status: int = 0):
        """End the process, with this exit status; may be called from any thread."""
        self.exit_status = max(status, self.exit_status)
        self.executor.create_task(self.finished.set_result, None)

    def publisher(self, message_type, topic: str, qos):
        """Return a lifecycle publisher with QoS overrides, destroyed with the present state."""
        return self._keep(self.destroy_lifecycle_publisher,
                          self._endpoints.publisher(message_type, topic, qos))

    def subscription(self, message_type, topic: str, callback, qos, **options):
        """
        Return a subscription with QoS overrides, destroyed with the present state.

        An exception out of `callback` is logged and counted; no message ends the process.
        """
        return self._keep(self.destroy_subscription, self._endpoints.subscription(
            message_type, topic, self.guarded(callback), qos, **options))

    def service(self, service_type, name: str, callback, **options):
        """
        Return a service, destroyed with the present state.

        `callback` may be a coroutine that awaits a Future, which costs nothing while it waits: in
        a reentrant callback group, as it would keep the others of its group waiting too.
        """
        return self._keep(self.destroy_service, self.create_service(
            service_type, name, serving(self, callback), **options))

    def client(self, service_type, name: str):
        """Return a service client, destroyed with the present state."""
        return self._keep(self.destroy_client, self.create_client(service_type, name))

    def senders(self, subscription) -> list[str]:
        """Return the names of the nodes that publish on the topic of a subscription."""
        return self._neighbours.publishers(subscription.topic_name)

    def timer(self, seconds: float, callback):
        """Return a timer of real time, destroyed with the present state."""
        return self._keep(self.destroy_timer, self.create_timer(
            seconds, self.guarded(callback), clock=Clock(clock_type=ClockType.STEADY_TIME)))

    def _keep(self, destroy, entity):
        self._entities.append((self._scope, destroy, entity))
        return entity

    # Parameters

    @property
    def parameters(self):
        """The values that count now, an immutable snapshot."""
        return self._parameter_set.current

    def parameters_applied(self, previous, names):
        """Tell the subclass what changed, while it works; `activate` finds the rest."""
        if self.parameters != previous and self.state == 'active':
            self.guarded(self.parameters_changed)(previous)

    def set_parameters(self, parameter_list) -> list[SetParametersResult]:
        """Set one after the other."""
        return [self.set_parameters_atomically([item]) for item in parameter_list]

    def set_parameters_atomically(self, parameter_list) -> SetParametersResult:
        """Set all or none; the `reason` of a success tells which do not count yet."""
        result = super().set_parameters_atomically(parameter_list)
        if result.successful and self._parameter_set.untold:
            result.reason = self._parameter_set.untold
            self.get_logger().info(result.reason)
        return result

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
        return self._enter('configure', super().on_configure, state, undo=self.on_cleanup)

    def on_activate(self, state):
        """Run `activate`; everything it created is destroyed again when it fails."""
        # Publishers are enabled first, so that work may publish as soon as it starts.
        return self._enter('activate', super().on_activate, state, undo=self.on_deactivate)

    def on_deactivate(self, state):
        """Run `deactivate`, destroy what `activate` created, and disable the publishers."""
        self._leave('activate', self.deactivate)
        return super().on_deactivate(state)

    def on_cleanup(self, state):
        """Run `cleanup`, and destroy what `configure` created."""
        self._leave('configure', self.cleanup)
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state):
        """Undo everything, whatever the state was."""
        self.on_deactivate(state)
        return self.on_cleanup(state)

    def destroy_node(self):
        """Undo everything, which ends threads that would keep the node, and destroy it."""
        self.on_shutdown(None)
        super().destroy_node()

    def _enter(self, moment, enable, state, undo):
        self._scope, self._failure = moment, ''
        self._parameter_set.begin(moment)
        try:
            enable(state)
            getattr(self, moment)()
        except Exception as error:
            self._failure = f'cannot {moment}: {error}'
            if self.context.ok():
                self.get_logger().error(self._failure)
            undo(state)
            return TransitionCallbackReturn.FAILURE
        return TransitionCallbackReturn.SUCCESS

    def _leave(self, scope, stop):
        try:
            stop()
        except Exception as error:
            self.get_logger().error(f'cannot {stop.__name__}: {error}')
            self.exit_status = 1
        for created_in, destroy, entity in self._entities:
            if created_in == scope:
                destroy(entity)
        self._entities = [item for item in self._entities if item[0] != scope]

    # Health

    def _report_health(self):
        self._endpoints.warn_of_mismatches()
        self._health.rivals = self._neighbours.rivals(
            [entity.topic_name for *_, entity in self._entities if hasattr(entity, 'topic_name')])
        if self.state == 'active':
            self.diagnose()
        elif self._failure:
            self._health.publish(Report('error', f'{self.state}: {self._failure}'))
        else:
            self._health.publish(Report('warning', self.state))
