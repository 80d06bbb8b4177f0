"""The REST interface of events: parse, permit, one service call, serialise."""
