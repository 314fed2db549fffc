"""Services that refuse what they cannot answer, where rclpy would end the process."""
from __future__ import annotations

import functools

from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters, SetParametersAtomically
from rclpy.executors import await_or_execute


def serving(node, callback):
    """Return a callback of a service of `node` that answers as `callback` does, or refuses."""
    return functools.partial(_serve, node, callback)


async def _serve(node, callback, request, response):
    """
    Answer a request, and refuse one that nothing can be made of.

    rclpy raises out of its own services, of an unknown transition or type of parameter say, and an
    exception out of a callback ends the process.
    """
    try:
        return await await_or_execute(callback, request, response)
    except Exception as error:
        node.get_logger().warning(f'refused a {type(request).__name__}: {error}')
        refuse(request, response, str(error))
        return response


def refuse(request, response, reason: str) -> None:
    """Put the reason into a response, where its type has a place for it."""
    refused = SetParametersResult(successful=False, reason=reason)
    if isinstance(request, SetParameters.Request):
        done = list(response.results)
        response.results = done + [refused] * (len(request.parameters) - len(done))
    elif isinstance(request, SetParametersAtomically.Request):
        response.result = refused
    elif hasattr(response, 'success'):
        response.success = False
        if hasattr(response, 'message'):
            response.message = reason
