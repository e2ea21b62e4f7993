"""The other half of child: the process that runs one guest, answers, and ends."""

import os
import pickle
import signal
import sys

from wasmdock.errors import WasmdockError
from wasmdock.inprocess import run_task
from wasmdock.lifeline import die_with
from wasmdock.runtime import RunResult


def main() -> None:
    """Take a task from one descriptor, run it, answer on the other."""
    task_reader, answer_writer, parent = (int(text) for text in sys.argv[1:4])
    die_with(parent, signal.SIGKILL)
    os.set_inheritable(answer_writer, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C at a terminal reaches us too; our parent ends us
    with os.fdopen(task_reader, "rb") as file:
        task = pickle.load(file)  # from our own parent

    def answer(result: RunResult | WasmdockError) -> None:
        try:
            with os.fdopen(answer_writer, "wb") as file:
                pickle.dump(result, file)
        finally:
            os._exit(0)  # a guest that does not listen cannot keep the process

    try:
        answer(run_task(task, answer))
    except WasmdockError as error:
        answer(error)


if __name__ == "__main__":
    main()
