"""Coroutine functions called from anywhere: from a script, and from a notebook's running loop."""

import asyncio
import contextlib
import contextvars
import functools
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")


def synchronous(function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Make a coroutine function callable from anywhere, a notebook's running loop included."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        work = function(*args, **kwargs)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            try:
                return asyncio.run(work)
            except KeyboardInterrupt as interrupt:
                raise _noted(interrupt, interrupt.__context__) from None
        # A loop is running in this thread, which therefore cannot wait for another one.
        begun: list[Callable[[], object]] = []
        stopped: list[BaseException] = []
        ended = threading.Event()

        async def whole() -> T:
            cancel, loop = cast("asyncio.Task[T]", asyncio.current_task()).cancel, asyncio.get_running_loop()
            begun.append(lambda: loop.call_soon_threadsafe(cancel))
            try:
                return await work
            except asyncio.CancelledError as error:
                stopped.append(error)
                raise
            finally:
                ended.set()

        with ThreadPoolExecutor(1) as thread:
            try:
                return thread.submit(contextvars.copy_context().run, asyncio.run, whole()).result()
            except KeyboardInterrupt as interrupt:  # the stop button of a notebook
                for stop in begun:
                    with contextlib.suppress(RuntimeError):  # the loop is closed: it has just ended
                        stop()
                    ended.wait()  # the executor does not, where the thread was just starting
                raise _noted(interrupt, *stopped) from None

    call.__name__ = call.__qualname__ = function.__name__.removesuffix("_async")
    return call


def _noted(interrupt: KeyboardInterrupt, *stopped: BaseException | None) -> KeyboardInterrupt:
    """Carry over what was noted where the work stopped: which replies are kept."""
    for note in (note for one in stopped for note in getattr(one, "__notes__", ())):
        interrupt.add_note(note)
    return interrupt
