"""`rnnkit board`."""

import socket
from pathlib import Path

from rnnkit.cli.arguments import Parser
from rnnkit.errors import UserError


def run(arguments: list[str]) -> int:
    """The command; its exit code."""
    parser = Parser("board", "TensorBoard on all runs, on this machine only.")
    parser.add_argument("folder", nargs="?", default="runs", help="a folder of runs, or one run (runs)")
    parser.add_argument("--port", type=int, default=6006, help="6006")
    given = parser.parse(arguments)
    folder = Path(given.folder)
    if not folder.is_dir():
        raise UserError("folder", "a folder of runs", f"'{folder}', which does not exist", fix="rnnkit train")
    if not 0 < given.port < 65536:
        raise UserError("--port", "a number from 1 to 65535", str(given.port), fix="--port 6006")
    _check_free(given.port)
    from tensorboard import program  # type: ignore[import-untyped]

    board = program.TensorBoard()
    board.configure(argv=["tensorboard", "--logdir", str(folder), "--port", str(given.port), "--host", "localhost"])
    print(f"TensorBoard on {folder}: http://localhost:{given.port}  (Ctrl-C ends it)", flush=True)
    return int(board.main() or 0)


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("localhost", port))
        except OSError as error:
            raise UserError("--port", "a free port", f"{port} ({error.strerror})", fix=f"--port {port + 1}") from error
