"""The parameters of a node as ROS has them; the rules are those of `ParameterSet`."""
from __future__ import annotations

import difflib

from acme_tracking import confinement
from acme_tracking.parameters import normalised, ParameterSet, range_text, specifications
from rcl_interfaces.msg import ParameterDescriptor, SetParametersResult
from rclpy.parameter import Parameter


class RosParameters(ParameterSet):
    """
    A parameter set that a node declares, and that ROS sets.

    untold: which of the values that were set last do not count yet; empty for none.
    """

    def __init__(self, node, parameters_type):
        """
        Declare the parameters of a node, with the values given at its start.

        The node is asked by `node.check_parameters(wanted, names)`, which raises ValueError, and
        told by `node.parameters_applied(previous, names)`.  Raises ValueError when a value given
        at start is out of its range.
        """
        self._types = {item.name: item.type for item in specifications(parameters_type)}
        given = node._parameter_overrides  # of parameter files and the command line
        super().__init__(parameters_type, {
            name: given[name].value for name in self._types if name in given},
            confine=confinement.check)
        self._node, self.untold = node, ''
        for item in specifications(parameters_type):
            self._declare(item)
        node.add_pre_set_parameters_callback(self._normalise)
        node.add_on_set_parameters_callback(self._check)
        node.add_post_set_parameters_callback(self._apply)

    def warn_of_unknown(self):
        """Name what was given at start and is no parameter of the node, and what may be meant."""
        for name in self._node._parameter_overrides:
            if self._node.has_parameter(name) or name.startswith('qos_overrides.'):
                continue
            nearest = difflib.get_close_matches(name, self._types, n=1)
            self._node.get_logger().warning(f"there is no parameter '{name}'" + (
                f"; did you mean '{nearest[0]}'?" if nearest else ''))

    def _declare(self, item):
        # Typing is dynamic because a user writes `rate: 10` for a float; the parameter set is the
        # one judge, and its message names value and range.
        descriptor = ParameterDescriptor(
            description=item.constraint.description, dynamic_typing=True,
            additional_constraints=f'{range_text(item.constraint)} '
                                   f'(applies: {item.constraint.applies})'.lstrip(),
            read_only=item.constraint.applies == 'start')
        self._node.declare_parameter(
            item.name, getattr(self.wanted, item.name), descriptor, ignore_override=True)

    def _ours(self, changes) -> dict:
        return {change.name: change.value for change in changes if change.name in self._types}

    def _normalise(self, changes):
        """Let ROS, too, store what a value means."""
        return [Parameter(change.name, value=normalised(change.value, self._types[change.name]))
                if change.name in self._types else change for change in changes]

    def _check(self, changes) -> SetParametersResult:
        values = self._ours(changes)  # none when ROS declares others, of its overrides of QoS
        try:
            if values:
                self._node.check_parameters(self.check(values), values.keys())
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _apply(self, changes):
        values, previous = self._ours(changes), self.current
        self.untold = self.set(values)
        if values:
            self._node.parameters_applied(previous, values.keys())
