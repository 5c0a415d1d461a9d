"""Channels between processes: `Channel`, `send`, `try_send`, `consume`."""

from __future__ import annotations

import inspect
import itertools
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import pto_wsp._pto_wsp as native
from pto_wsp import context, naming
from pto_wsp.annotations import DirectedSpec, TileSpec
from pto_wsp.errors import ChannelClosed, CompileError, TypeCheckError, error, user_place
from pto_wsp.functional import made_part, run_body
from pto_wsp.loop_variables import AxisVar
from pto_wsp.loops import close_scope
from pto_wsp.scalar_expr import ScalarExpr, as_expr, is_integer
from pto_wsp.statements import Part, UnboundCall
from pto_wsp.workloads import Workload

_numbers = itertools.count(1)
_default_depth = 1


class Channel:
    """Where processes of a workload send tokens to and take them from, in order.

    Parameters
    ----------
    name : str, optional
        For texts; otherwise the variable that it is assigned to.
    depth : int, optional
        Tokens that it holds before a sender waits, 1 unless given. With 0 a sender waits until its
        token is taken: a rendezvous. What a token carries is stored ``depth + 1`` times.
    capacity : int, optional
        The same as `depth`.

    Notes
    -----
    ``Channel[T](...)`` says what its tokens carry: ``Tile[rows, cols, dtype]``, or ``Tile`` for a
    tile of the size that is sent first.

    A channel is described by workloads and lives in their runs. It opens anew for each run and is
    closed and empty after it; `size`, `empty` and `full` say what is in it now, in all runs that
    are going on: a token is there from its `send` on, perhaps before the task of that has run,
    until it is consumed.
    """

    def __init__(
        self, name: str | None = None, depth: int | None = None, *, capacity: int | None = None
    ) -> None:
        if depth is not None and capacity is not None and depth != capacity:
            raise error(
                TypeCheckError,
                f"Channel: depth is {depth} and capacity {capacity}, which are the same thing",
            )
        wanted = depth if depth is not None else capacity
        wanted = _default_depth if wanted is None else wanted
        if not is_integer(wanted):
            raise error(TypeCheckError, f"Channel: the depth must be an integer, got {wanted!r}")
        if name is None:
            held = naming.assigned_target(_user_frame()) or ""
            name = held if held.isidentifier() else f"channel_{next(_numbers)}"
        if not isinstance(name, str):
            raise error(TypeCheckError, f"Channel: the name must be a text, got {name!r}")
        self._native = native.Channel(name, int(wanted))
        self._closed = False

    @classmethod
    def __class_getitem__(cls, carried: Any) -> Callable[..., Channel]:
        return _TypedChannel(carried)

    @property
    def name(self) -> str:
        """What texts call it."""
        return self._native.name

    @property
    def depth(self) -> int:
        """Tokens that it holds."""
        return self._native.depth

    capacity = depth

    def is_open(self) -> bool:
        """False once it was closed outside of a workload."""
        return not self._closed

    def size(self) -> int:
        """Tokens in it: none, outside of a run."""
        return self._native.size

    def empty(self) -> bool:
        """True when there is no token in it."""
        return self.size() == 0

    def full(self) -> bool:
        """True when it holds as many tokens as its depth, so that a sender would wait. One of
        depth 0 is full: its senders wait until somebody takes their token."""
        return self.size() >= self.depth

    def close(self) -> None:
        """In the body of a workload: from here on nothing is sent in this run. Outside: for good,
        workloads that are built later cannot send to it."""
        building = context.current()
        if building is None:
            self._closed = True
        else:
            building.builder.close_channel(self._native)

    def __iter__(self) -> NoReturn:
        raise error(
            CompileError,
            f"{self!r} is no loop: its tokens come while the program runs",
            hint="with consume(channel) as t: ...",
        )

    def __repr__(self) -> str:
        return f"Channel({self.name!r}, depth={self.depth})"


class _TypedChannel:
    """``Channel[T]``."""

    def __init__(self, carried: Any) -> None:
        self._carried = carried

    def __call__(self, *args: Any, **kwargs: Any) -> Channel:
        channel = Channel(*args, **kwargs)
        if isinstance(self._carried, TileSpec):
            tile = self._carried
            channel._native.set_payload(native.TileType(tile.dtype, tile.rows, tile.cols))
        return channel

    def __repr__(self) -> str:
        return f"Channel[{self._carried!r}]"


def _user_frame() -> types.FrameType:
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").startswith("pto_wsp."):
        frame = frame.f_back
    return frame if frame is not None else sys._getframe(1)


def _checked(what: str, channel: Any) -> native.Channel:
    if not isinstance(channel, Channel):
        raise error(TypeCheckError, f"{what}: expected a Channel, got {channel!r}")
    return channel._native


class Token(AxisVar):
    """What `consume` gives: the subscripts of the task that was sent, as loop variables, and the
    tiles that it left.

    With one subscript the token is that value, ``compute[t]``, ``X[t]``; with several it unpacks,
    ``with consume(ch) as (b, h)``. As the argument of a tile parameter it is the tile that the sent
    task wrote to the output that was left out of its call.
    """

    __slots__ = ("_building", "_channels", "_names", "_token")

    def __init__(
        self,
        building: context.BuildContext,
        channels: tuple[Channel, ...],
        token: str,
        names: list[str],
    ) -> None:
        self.owner = building.owner
        self._building = building
        self._channels = channels
        self._token = token
        self._names = names

    def _value(self, number: int, names: list[str]) -> native.Affine:
        identity = self._building.builder.token_value(self._token, number, names)
        return native.Affine.variable(identity)

    @property
    def affine(self) -> native.Affine:  # type: ignore[override]
        """Its only value."""
        return self._value(0, self._names)

    @property
    def expr(self) -> native.ScalarExpr:  # type: ignore[override]
        """Its only value, in expressions."""
        return native.ScalarExpr.from_affine(self.affine)

    @property
    def channel(self) -> _Origin:
        """From which of the channels it comes: ``t.channel == a``."""
        return _Origin(self)

    @property
    def number(self) -> AxisVar:
        """How many tokens came through the channel before it."""
        return AxisVar(native.Affine.variable(self._token), self.owner)

    def tile(self, number: int = 0) -> TokenTile:
        """The tile in output `number` of those that the sent call left out."""
        return TokenTile(self, number)

    def carried(self, name: str, spec: DirectedSpec) -> native.Region:
        """Its first tile, for a parameter."""
        return self.tile().carried(name, spec)

    def unpack(self, names: list[str]) -> list[AxisVar]:
        """Its values, under these names."""
        return [
            AxisVar(self._value(number, [name]), self.owner) for number, name in enumerate(names)
        ]

    def __iter__(self) -> Any:
        count = naming.unpack_count(sys._getframe(1))
        if count is None:
            raise error(
                CompileError,
                "the values of a token are known by how they are unpacked",
                hint="with consume(channel) as (b, h): ...",
            )
        return iter([AxisVar(self._value(n, []), self.owner) for n in range(count)])

    def __repr__(self) -> str:
        return f"<token of {', '.join(channel.name for channel in self._channels)}>"


class TokenTile:
    """A tile that a token carries, as the argument of a kernel."""

    def __init__(self, token: Token, number: int) -> None:
        self.owner = token.owner
        self._token = token
        self._number = number

    def carried(self, name: str, spec: DirectedSpec) -> native.Region:
        """The tile, for a parameter."""
        known = None
        if spec.tile is not None:
            known = native.TileType(spec.tile.dtype, spec.tile.rows, spec.tile.cols)
        token = self._token
        return token._building.builder.token_payload(token._token, self._number, known, name)


class _Origin:
    """The channel of a token."""

    __hash__ = object.__hash__

    def __init__(self, token: Token) -> None:
        self._token = token

    def __eq__(self, other: object) -> Any:
        token = self._token
        for number, channel in enumerate(token._channels):
            if channel is other:
                which = token._building.builder.token_channel(token._token)
                return as_expr(AxisVar(native.Affine.variable(which), token.owner)) == number
        raise error(
            TypeCheckError,
            f"the token does not come from {other!r}",
            hint="it comes from " + " or ".join(channel.name for channel in token._channels),
        )

    def __ne__(self, other: object) -> Any:
        return self.__eq__(other) == 0

    def __repr__(self) -> str:
        return f"<the channel of {self._token!r}>"


def send(channel: Channel, call: Any) -> Part | Workload:
    """Submits the task of a kernel call and puts a token into the channel: its subscripts and, for
    outputs that are left out, the tiles that it writes. Waits for room first.

    Raises
    ------
    ChannelClosed
        The channel was closed outside of a workload.
    """
    return _send("send", channel, call, False)[0]


def try_send(channel: Channel, call: Any) -> ScalarExpr:
    """As `send`, but where there is no room nothing is done.

    Returns
    -------
    ScalarExpr
        1 where it was sent, 0 where not: ``with P.when(try_send(...) == 0): ...``
    """
    context.required("try_send")
    _, slot = _send("try_send", channel, call, True)
    return ScalarExpr.of(native.ScalarExpr.slot(slot))


def _send(what: str, channel: Any, call: Any, tries: bool) -> tuple[Part | Workload, int]:
    to = _checked(what, channel)
    if not channel.is_open():
        raise error(ChannelClosed, f"{what}: channel '{channel.name}' is closed")
    if isinstance(call, Workload):
        raise error(
            CompileError,
            f"{what}: the call is in a workload of its own",
            hint="send it in a function: for_each(tiles, lambda t: send(ch, task(...)))",
        )
    if not isinstance(call, Part):
        raise error(
            TypeCheckError,
            f"{what}: expected a kernel call, got {call!r}",
            hint=f"{what}(channel, load[i](X[i]))",
        )
    building = context.required(what)
    slot = -1
    first = building.builder.tasks
    if isinstance(call, UnboundCall):
        slot = building.builder.open_send(to, tries)
        call.emit_with(building.builder.sent_payload)
        building.builder.close()
    elif call.number is not None:
        if call.building is not building or call.number != building.builder.statements - 1:
            raise error(
                CompileError,
                f"{what}: the call is not the statement right before it",
                hint=f"make it in the call: {what}(channel, load[i](X[i]))",
            )
        slot = building.builder.send_last(to, tries)
    elif tries:
        slot = 255
    tasks = call.tasks or range(first, building.builder.tasks)
    return Part(building, building.builder.statements - 1, tasks), slot


class Consume:
    """``with consume(channel) as t:`` runs for each token until the channels are closed."""

    def __init__(self, channels: tuple[Channel, ...], names: list[str]) -> None:
        self.at = user_place()
        self.context = context.required("consume")
        self._channels = channels
        self._names = names

    def __enter__(self) -> Token:
        token = self.context.builder.open_consume([channel._native for channel in self._channels])
        self.context.loops.append(self)
        self.context.variable_names.append(self._names or [token])
        return Token(self.context, self._channels, token, self._names)

    def __exit__(self, kind: object, *rest: object) -> None:
        if kind is None:
            close_scope(self, self.context)
            self.context.variable_names.pop()

    def __iter__(self) -> Iterator[Any]:
        raise error(CompileError, f"{self!r} is no loop", hint="with consume(channel) as t: ...")

    def __repr__(self) -> str:
        return f"consume({', '.join(channel.name for channel in self._channels)})"


def consume(*given: Any) -> Any:
    """``with consume(ch) as t: ...`` or ``consume(ch, lambda t: ...)``: what is done with each
    token of one or several channels, one after another, until they are closed. Of several channels
    ``t.channel == a`` says where a token is from.

    Parameters
    ----------
    *given : Channel
        And, last, a function of the token.
    """
    body = given[-1] if given and not isinstance(given[-1], Channel) else None
    channels = given[:-1] if body is not None else given
    for channel in channels:
        _checked("consume", channel)
    if not channels:
        raise error(TypeCheckError, "consume: needs at least one channel")
    if body is None:
        target = naming.assigned_target(sys._getframe(1))
        return Consume(channels, [target] if target else [])
    if not callable(body):
        raise error(TypeCheckError, f"consume: expected a function of the token, got {body!r}")
    names = _parameters(body)

    def build() -> None:
        with Consume(channels, names[:1]) as token:
            variables = token.unpack(names) if len(names) > 1 else [token]
            run_body("consume", body, *variables)

    return made_part("consume", build)


def _parameters(body: Any) -> list[str]:
    """What a function calls its arguments."""
    try:
        return list(inspect.signature(body).parameters)
    except (TypeError, ValueError):
        return []
