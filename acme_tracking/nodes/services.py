"""Services that a request which makes no sense does not end: it is refused, and that is said."""
from __future__ import annotations

import functools

from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters, SetParametersAtomically
from rclpy.executors import await_or_execute


def surviving(callback, logger):
    """
    Return the callback of a service, a function or a coroutine, as one that never raises.

    rclpy raises out of its own services, of an unknown transition or type of parameter say, and an
    exception out of a callback ends the process.
    """
    return functools.partial(_answer, callback, logger)


async def _answer(callback, logger, request, response):
    try:
        return await await_or_execute(callback, request, response)
    except Exception as error:
        logger.warning(f'refused a {type(request).__name__}: {error}')
        _refuse(request, response, str(error))
        return response


def _refuse(request, response, reason: str) -> None:
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
