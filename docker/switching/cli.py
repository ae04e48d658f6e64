"""The command line: rollout, rollback, status, recover."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, TextIO

from . import names, rolling_back, status
from .deploying import Request, Rollout
from .names import BUCKETS
from .output import FORMATS, Reporter
from .problems import ENGINE, EXIT_REFUSED, NOT_USABLE, Interrupted, Problem
from .recovering import recover
from .rolling_back import BackRequest
from .settings import Settings, read_settings
from .signals import Signals
from .world import World

_EPILOG = """exit codes: 0 done; 1 the release was refused, or went back; 2 usage or environment; 75 locked

  rollout.py rollout europe-docker.pkg.dev/optifit/app/backend@sha256:…
  rollout.py rollout …/backend@sha256:… --frontend …/frontend@sha256:… --canary 5% --for 10m
  rollout.py rollback
  rollout.py status
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise NOT_USABLE(
            what="The command line",
            value=" ".join(sys.argv[1:])[:200],
            reason=message,
            hint="rollout.py --help",
        )


def parser() -> argparse.ArgumentParser:
    """All that can be typed."""
    found = _Parser(
        prog="rollout.py",
        description="Take a release live on this machine, and back, without losing a request.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    found.add_argument("--state", default="", help="ROLLOUT_STATE; default: /var/lib/optifit")
    found.add_argument("--file", action="append", default=[], help="COMPOSE_FILE; default: compose.gce.yaml")
    found.add_argument("--compose", default="", help="ROLLOUT_COMPOSE; default: docker compose")
    found.add_argument("--docker", default="", help="ROLLOUT_DOCKER; default: docker")
    form = _Parser(add_help=False)
    form.add_argument("--format", choices=FORMATS, default="text", help="default: text")
    commands = found.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)

    rollout = commands.add_parser("rollout", parents=[form], help="take an image live")
    rollout.add_argument("image", nargs="?", default="", help="the backend's, NAME@sha256:DIGEST")
    rollout.add_argument("--frontend", default="", metavar="IMAGE", help="the frontend's; alone or with it")
    rollout.add_argument(
        "--release", default=os.environ.get("RELEASE", ""), help="default: the image's label"
    )
    rollout.add_argument("--canary", default="", metavar="5%%", help="this share of requests first")
    rollout.add_argument(
        "--for", dest="duration", default="", metavar="10m", help="for so long; default: 10m"
    )
    rollout.add_argument("--again", action="store_true", help="also when this image is live (new settings)")
    rollout.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")

    back = commands.add_parser(
        "rollback", parents=[form], help="go back to the release before, or to RELEASE"
    )
    back.add_argument("release", nargs="?", default="")
    back.add_argument("--frontend", action="store_true", help="only the frontend, to the one before")
    back.add_argument("--reason", default="", help="for the ledger")
    back.add_argument(
        "--yes-restore",
        default="",
        metavar="RELEASE",
        help="RELEASE goes, and what was written since is lost",
    )
    back.add_argument("--dry-run", action="store_true", help="say which way it would go, and do nothing")

    commands.add_parser("status", parents=[form], help="what is live, kept, and open")

    again = commands.add_parser("recover", parents=[form], help="finish or undo what was killed")
    again.add_argument("--give-up", action="store_true", help="close it as it is; the ledger is not told")
    return found


def main(argv: Sequence[str], environment: Mapping[str, str], stream: TextIO) -> int:
    """Run one command; returns its exit code."""
    reporter = Reporter("rollout", _format_of(argv), stream)
    signals = Signals()
    try:
        options = parser().parse_args(argv)
        reporter = Reporter(options.command, options.format, stream)
        settings = read_settings(
            environment,
            state=options.state,
            files=options.file,
            compose=options.compose,
            docker=options.docker,
        )
        signals.install()
        return _COMMANDS[options.command](settings, signals, reporter, options)
    except Problem as problem:
        return reporter.failed(problem)
    except Interrupted as interrupted:
        return reporter.interrupted(interrupted, EXIT_REFUSED)
    except OSError as error:
        # Of the state folder, say. The journal has what was begun.
        return reporter.failed(ENGINE(what="its work", reason=f"{type(error).__name__}: {error}"))


def _rollout(settings: Settings, signals: Signals, reporter: Reporter, options: argparse.Namespace) -> int:
    if not options.image and not options.frontend:
        raise NOT_USABLE(what="The image", value="", reason="none is named", hint="rollout.py rollout --help")
    if options.duration and not options.canary:
        raise NOT_USABLE(
            what="--for", value=options.duration, reason="there is no --canary", hint="--canary 5%"
        )
    request = Request(
        backend=names.image(options.image) if options.image else "",
        frontend=names.image(options.frontend) if options.frontend else "",
        release=names.release(options.release) if options.release else "",
        canary_buckets=names.buckets(options.canary) if options.canary else 0,
        canary_seconds=names.seconds(options.duration or "10m") if options.canary else 0,
        again=options.again,
    )
    world = World.open(settings, signals, reporter)
    if options.dry_run:
        return _plan_rollout(world, request)
    world.begin()
    recover(world)
    return reporter.finish(Rollout(world, request).run())


def _plan_rollout(world: World, request: Request) -> int:
    world.journal.load()
    lines = []
    if operation := world.journal.state.operation:
        lines.append(f"recover the {operation.command} that is open, {operation.state}")
    moves = []
    for part, image in (("backend", request.backend), ("frontend", request.frontend)):
        if image:
            label = request.release or world.engine.label(image)
            moves.append(world.plan_move(part, image, label or "known after the pull"))
            lines.append(f"pull {image} (release {moves[-1].release})")
    services = ", ".join(move.service for move in moves)
    lines.append("take the deploy lock")
    lines.append("predeploy in a container of the new image" if request.backend else "no predeploy")
    lines += [f"start {services}, wait until ready", f"smoke {services} privately"]
    if request.canary_buckets and request.backend:
        share = request.canary_buckets / BUCKETS
        lines.append(f"canary: {share:.1%} of the requests for {request.canary_seconds} s, 5xx compared")
    lines += [
        f"switch: rename live/{move.part}.{move.before or '(none)'} to live/{move.part}.{move.colour}"
        for move in moves
    ]
    lines.append("ten answers in a row through the proxy, then the public smoke test")
    stops = [f"{move.part}-{move.before}" for move in moves if move.before]
    lines.append(f"drain and stop {', '.join(stops)} (kept)" if stops else "nothing to drain")
    lines.append("postdeploy" if request.backend else "no postdeploy")
    return _planned(world, lines, {})


def _planned(world: World, lines: list[str], data: dict[str, Any]) -> int:
    for number, line in enumerate(lines, 1):
        world.reporter.line(f"{number:>2}. {line}")
    return world.reporter.finish("nothing was done", data={"plan": lines, **data})


def _rollback(settings: Settings, signals: Signals, reporter: Reporter, options: argparse.Namespace) -> int:
    if options.frontend and options.release:
        raise NOT_USABLE(
            what="--frontend", value=options.release, reason="it has no release", hint="rollback --frontend"
        )
    request = BackRequest(
        release=names.release(options.release) if options.release else "",
        frontend=options.frontend,
        reason=options.reason[:500],
        yes_restore=names.release(options.yes_restore) if options.yes_restore else "",
    )
    world = World.open(settings, signals, reporter)
    if options.dry_run:
        world.journal.load()
        way = rolling_back.plan(world, request)
        lines = [f"{way.way} from {way.going} to {way.target or 'nothing'}"]
        if way.way in ("reverse", "restore"):
            lines.append(f"database: {way.way}")
        lines += [f"start {move.service} (release {move.release}) and switch to it" for move in way.moves]
        return _planned(world, [*lines, "record it in the ledger"], {"way": dict(way.facts)})
    world.begin()
    recover(world)
    return reporter.finish(rolling_back.run(world, request))


def _status(settings: Settings, signals: Signals, reporter: Reporter, options: argparse.Namespace) -> int:
    world = World.open(settings, signals, reporter)
    found = status.show(world)
    return reporter.finish("nothing is open" if not found["open"] else "something is open", data=found)


def _recover(settings: Settings, signals: Signals, reporter: Reporter, options: argparse.Namespace) -> int:
    world = World.open(settings, signals, reporter)
    world.begin()
    done = recover(world, boot=True, give_up=options.give_up)
    return reporter.finish(done or "nothing was open")


_COMMANDS = {"rollout": _rollout, "rollback": _rollback, "status": _status, "recover": _recover}


def _format_of(argv: Sequence[str]) -> str:
    """The format for what can be said before the command line is understood."""
    for before, argument in zip(["", *argv], argv):
        name = argument[9:] if argument.startswith("--format=") else argument if before == "--format" else ""
        if name in FORMATS:
            return name
    return "text"
