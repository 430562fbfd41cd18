"""The entry point: `meshlint` and `python -m meshlint`.

``--version`` is answered before anything else is imported, and no exception reaches the user as a
traceback (unless MESHLINT_TRACEBACK is set, for people who work on meshlint).
"""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper


def main() -> int:
    """Run the command line and return the exit code (design section 4)."""
    arguments = sys.argv[1:]
    if arguments in (["--version"], ["-V"]):
        from meshlint import __version__

        sys.stdout.write(f"meshlint {__version__}\n")
        return 0
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a file name may hold what the terminal cannot show
            stream.reconfigure(errors="backslashreplace")
    code = _run(arguments)
    # Tearing a large node tree down object by object takes longer than reading it did.
    os._exit(code)


def _run(arguments: list[str]) -> int:
    import gc

    gc.disable()  # one short run: the node trees are no garbage, and looking for it costs a third
    try:
        from meshlint.cli.main import run

        code = run(arguments)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return _refuse("interrupted", 130)
    except BrokenPipeError:
        return _silence()
    except MemoryError:
        return _refuse("error: out of memory")
    except OSError as error:
        return _refuse(f"error: {error.filename or 'output'}: {error.strerror or error}")
    except Exception as error:
        if os.environ.get("MESHLINT_TRACEBACK"):
            raise
        return _refuse(_crash(error))


def _refuse(message: str, code: int = 2) -> int:
    sys.stderr.write(f"meshlint: {message}\n")
    sys.stderr.flush()
    return code


def _silence() -> int:
    """The reader of our output went away: no more output, and the exit code that shells expect."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141


def _crash(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    at = f" ({trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno})" if trace else ""
    return (
        f"internal error: {type(error).__name__}: {error}{at}\n"
        "This is a bug in meshlint. Set MESHLINT_TRACEBACK=1 to see where it comes from."
    )


if __name__ == "__main__":
    sys.exit(main())
