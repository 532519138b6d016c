"""One address being listened on."""

from websockets.frames import CloseCode

from raftsdk.ports import Listener


class Farewell:
    """What the connections of one listener say at their end: a node that no longer listens there is going away."""

    def __init__(self) -> None:
        self.going_away = False

    def code(self) -> CloseCode:
        """1001 from then on, 1000 before."""
        return CloseCode.GOING_AWAY if self.going_away else CloseCode.NORMAL_CLOSURE


class WebSocketListener:
    """A `raftsdk.ports.Listener`: that of a stream, at a path."""

    def __init__(self, streams: Listener, path: str, farewell: Farewell) -> None:
        self.address = streams.address if path == "/" else streams.address + path
        self._streams = streams
        self._farewell = farewell

    async def aclose(self) -> None:
        """Stop accepting and release the address."""
        self._farewell.going_away = True
        await self._streams.aclose()
