"""What a run writes about itself while it goes on."""

import contextlib

import torch

from aqqua_science.pretraining.runs import EVALUATIONS, LOG, TENSORBOARD, append_line, truncate_log


class Monitor(contextlib.AbstractContextManager):
    """
    Writes a line a step, and the same to TensorBoard where it is installed.

    Parameters
    ----------
    out : pathlib.Path
        Folder of the run.
    step : int
        Steps that are done; lines beyond are of a run that was cut short, and go.
    main : bool
        Whether this process writes.
    """

    def __init__(self, out, *, step, main):
        self.out, self.main, self.board = out, main, None
        if main:
            for name in (LOG, EVALUATIONS):
                truncate_log(out / name, step)
            self.board = _board(out / TENSORBOARD, step)

    def __exit__(self, *_):
        if self.board:
            self.board.close()

    def step(self, done, share, losses, *, config, seconds):
        """
        Tell of a step.

        Parameters
        ----------
        done : int
            Steps that are done.
        share : Share
        losses : dict of str to float
        config : PretrainConfig
        seconds : float
            What it took.
        """
        line = {"step": done, "epoch": share.epoch, **losses, "images": share.n_images, "tokens": share.n_tokens}
        line["occupancy"] = share.n_tokens / config.tokens_per_batch
        line["images_per_second"] = share.n_images / seconds
        if torch.cuda.is_available():
            line["memory_gb"] = torch.cuda.max_memory_allocated() / 1e9
            line["gpu_use"] = torch.cuda.utilization() / 100
        self._write(LOG, "training", line)

    def evaluation(self, done, found):
        """
        Tell how the encoder was judged.

        Parameters
        ----------
        done : int
            Steps that are done.
        found : dict of str to float
        """
        self._write(EVALUATIONS, "evaluation", {"step": done, **found})

    def _write(self, name, group, line):
        if not self.main:
            return
        append_line(self.out / name, line)
        if self.board:
            for key, value in line.items():
                if key != "step" and value is not None:
                    self.board.add_scalar(f"{group}/{key}", value, line["step"])


def _board(folder, step):
    """TensorBoard's writer, or nothing where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(folder, purge_step=step + 1 if step else None)
