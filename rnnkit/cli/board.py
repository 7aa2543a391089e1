"""The `rnnkit board` command."""

import socket
from pathlib import Path

from rnnkit.cli.arguments import Parser
from rnnkit.errors import UserError


def run(arguments: list[str]) -> int:
    """Run the command and return its exit code."""
    parser = Parser("board", "Start TensorBoard for all runs. It is reachable from this machine only.")
    parser.add_argument("folder", nargs="?", default="runs", help="a folder of runs, or one run (default: runs)")
    parser.add_argument("--port", type=int, default=6006, help="port of the web server (default: 6006)")
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
    print(f"TensorBoard for {folder}: http://localhost:{given.port}  (stop with Ctrl-C)", flush=True)
    return int(board.main() or 0)


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("localhost", port))
        except OSError as error:
            raise UserError("--port", "a free port", f"{port} ({error.strerror})", fix=f"--port {port + 1}") from error
