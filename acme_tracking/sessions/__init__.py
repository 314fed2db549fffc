"""
What the nodes do, without ROS: event cores that know neither messages, threads nor clocks.

    session.on(event) -> list of actions

`events` holds all events and actions; `tracking`, `detection`, `camera`, `location` and `recorder`
one session each; `inbox` is the waiting room in front of the tracking session.  The nodes turn
messages into events and actions into messages; the evaluation drives the same sessions with a
virtual clock.  The same events give the same actions, byte for byte.
"""
