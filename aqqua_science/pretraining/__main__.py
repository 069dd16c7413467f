"""`python -m aqqua_science.pretraining RUN/config.json`: what each process of a job does, under torchrun."""

import os
import sys
from pathlib import Path

from aqqua_science.pretraining.runs import CONFIG, Run


def main():
    """Train the run that a configuration describes: exit 1 when the input is at fault, 2 when the call is."""
    if len(sys.argv) != 2 or Path(sys.argv[1]).name != CONFIG:
        _stop(f"usage: python -m aqqua_science.pretraining RUN/{CONFIG}", code=2)
    try:
        _train(Run(Path(sys.argv[1]).parent))
    except (ValueError, IndexError, FloatingPointError) as error:
        _stop(error, code=1)
    except (OSError, MemoryError, ImportError) as error:
        _stop(error, code=2)
    except KeyboardInterrupt:
        _stop("interrupted; the same command goes on where it stopped.", code=130)


def _train(run):
    from aqqua_science.pretraining.training import pretrain

    about = run.about
    pretrain(about["store"], run.config, out=run.path, draw=about["draw"])


def _stop(message, *, code):
    rank = os.environ.get("RANK")
    print(f"aqqua{'' if rank is None else f' (process {rank})'}: {message}", file=sys.stderr)
    raise SystemExit(code)


if __name__ == "__main__":
    main()
