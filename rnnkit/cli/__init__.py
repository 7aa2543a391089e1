"""The `rnnkit COMMAND ...` command line.

Exit codes: 0 success, 1 an internal error, 2 a user error, 130 stopped early by Ctrl-C, SIGTERM, SIGUSR1 or the time
limit.
A command is imported when it is called, so that help and usage errors do not import torch.
"""

import os
import sys
from importlib import import_module

from rnnkit import __version__
from rnnkit.cli.signals import interrupt_on_signals
from rnnkit.cli.suggestions import nearest
from rnnkit.cli.surroundings import ignore_local_matplotlibrc
from rnnkit.errors import UserError

COMMANDS = {
    "train": "train a model:                rnnkit train experiment=tiny_shakespeare",
    "resume": "resume a run:                 rnnkit resume runs/RUN trainer.max_epochs=20",
    "evaluate": "evaluate a model on a split:  rnnkit evaluate runs/RUN --split test",
    "predict": "predict on new data:          rnnkit predict runs/RUN --input FILE --output FILE",
    "generate": "generate text:                rnnkit generate runs/RUN --prompt 'def '",
    "stream": "answer each row as it comes:  rnnkit stream runs/RUN < live.csv",
    "export": "write a program or ONNX file: rnnkit export runs/RUN --format cpp --output DIR",
    "profile": "count what one step costs:    rnnkit profile runs/RUN",
    "explain": "show the engine of each cell: rnnkit explain model/cell=gru",
    "inspect": "look inside a model:          rnnkit inspect runs/RUN",
    "replay": "rerun a non-finite batch:     rnnkit replay runs/RUN",
    "board": "TensorBoard for all runs:     rnnkit board",
    "data": "list or download data sets:   rnnkit data list",
}

HELP = f"""rnnkit {__version__}: recurrent networks, from one step of a cell to a trained model.

Commands:
{chr(10).join(f"  {name:<9} {text}" for name, text in COMMANDS.items())}

Run rnnkit COMMAND --help for the arguments of a command. Every command accepts debug=true to print tracebacks.
"""

LESS = "data.batch_size=1 or data.lanes=1, a smaller model.hidden_size, or a machine with more memory"


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit with its code."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    debug = "debug=true" in arguments
    try:
        with interrupt_on_signals():
            return _dispatch([argument for argument in arguments if argument != "debug=true"])
    except UserError as error:
        if debug:
            raise
        print(f"rnnkit: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("rnnkit: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # the reader of the pipe has exited (`| head`); Python must not flush stdout again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if debug:
            raise
        if _is_out_of_memory(error):
            shortage = UserError("memory", "enough for this command", str(error) or "too little", fix=LESS)
            print(f"rnnkit: {shortage}", file=sys.stderr)
            return 2
        print(f"rnnkit: {type(error).__name__}: {error}", file=sys.stderr)
        print("rnnkit: internal error; run again with debug=true for the traceback", file=sys.stderr)
        return 1


def _is_out_of_memory(error: Exception) -> bool:
    """Whether the error is an out-of-memory error. Python raises MemoryError; torch raises RuntimeError."""
    words = ("can't allocate memory", "out of memory")
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and any(w in str(error) for w in words))


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(HELP, end="")
        return 0
    if arguments[0] == "--version":
        print(__version__)
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        raise UserError("command", f"one of {', '.join(COMMANDS)}", name, fix=f"rnnkit {nearest(name, COMMANDS)}")
    ignore_local_matplotlibrc()
    return int(import_module(f"rnnkit.cli.{name}").run(rest) or 0)
