"""Who else publishes on the topics of a node: two cameras on one topic are followed as one."""
from __future__ import annotations

from acme_tracking.nodes.health import DIAGNOSTICS

# Topics that everybody publishes on.
SHARED = {DIAGNOSTICS}
# What rmw calls a node whose name it does not know.
UNKNOWN = '_NODE_NAME_UNKNOWN_'


class Neighbours:
    """Looks at the graph around a node."""

    def __init__(self, node):
        """Look for a node; nothing has been seen."""
        self._node, self._before, self._told = node, {}, {}

    def publishers(self, topic: str) -> list[str]:
        """
        Return the full names of the nodes that publish on a topic, one for each publisher.

        A node that is heard of, and whose name has not come yet or is lost, is left out.
        """
        return sorted(f'{info.node_namespace.rstrip("/")}/{info.node_name}'
                      for info in self._node.get_publishers_info_by_topic(topic)
                      if info.node_name != UNKNOWN)

    def rivals(self, topics) -> dict[str, list[str]]:
        """
        Return the publishers of each topic that has more than one, and log what is new of that.

        What a single look shows may be one node that comes while the other goes.
        """
        seen = {topic: names for topic in sorted({*topics} - SHARED)
                if len(names := self.publishers(topic)) > 1}
        lasting = {topic: names for topic, names in seen.items()
                   if self._before.get(topic) == names}
        for topic, names in lasting.items():
            if self._told.get(topic) != names:
                self._node.get_logger().warning(
                    f"'{topic}' has {len(names)} publishers, {' and '.join(names)}, whose "
                    'messages are taken for those of one')
        self._before, self._told = seen, lasting
        return lasting
