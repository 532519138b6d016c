"""The two ways to hand over a request: with a callback, and with a coroutine made of it."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable

from raftsdk.messages import Request, Response


class Handler(ABC):
    """A `ports.RaftHandler` for whoever writes `deliver`; `handle` comes with it."""

    @abstractmethod
    def deliver(self, request: Request, reply: Callable[[Response], None]) -> None:
        """See `RaftHandler.deliver`."""

    async def handle(self, request: Request) -> Response:
        """See `RaftHandler.handle`."""
        future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

        def reply(response: Response) -> None:
            if not future.done():
                future.set_result(response)

        self.deliver(request, reply)
        return await future
