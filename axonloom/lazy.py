"""Attributes that are computed when they are first asked for, without a lock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class lazy(Generic[T]):  # noqa: N801
    """A method as an attribute: called at the first access, its result kept in the instance.

    ``functools.cached_property`` of Python 3.11 holds a lock while it computes, one for all instances of a class. Stages of
    batches that run on two threads wait for each other there, and for ever where one attribute leads to another (Python 3.12
    took the lock away). Here two threads that ask the same instance for the first time at once may both compute; a batch has
    its own instance of a stage.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self.compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> lazy[T]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> lazy[T] | T:
        if instance is None:
            return self
        # Found in the instance from now on, before this is asked.
        value = instance.__dict__[self.name] = self.compute(instance)
        return value
