"""How settings change over a run: functions of the step alone, so that nothing must be remembered."""

import math


def learning_rate(step, config):
    """
    Rise in a line, then fall along a cosine to a thousandth.

    Parameters
    ----------
    step : int
    config : PretrainConfig

    Returns
    -------
    float
    """
    rise = max(1, round(config.warmup * config.steps))
    if step < rise:
        return config.learning_rate * (step + 1) / rise
    return cosine(step - rise, config.steps - rise, (config.learning_rate, config.learning_rate / 1_000))


def cosine(step, steps, bounds):
    """
    Go from one value to another along half a cosine.

    Parameters
    ----------
    step, steps : int
    bounds : (float, float)
        At the first step, and after the last.

    Returns
    -------
    float

    Examples
    --------
    >>> cosine(50, 100, (0.0, 1.0))
    0.5
    """
    share = min(1.0, step / max(1, steps))
    return bounds[1] + (bounds[0] - bounds[1]) * 0.5 * (1 + math.cos(math.pi * share))


def teacher_temperature(step, config):
    """
    Rise in a line over the first third of the steps.

    Parameters
    ----------
    step : int
    config : PretrainConfig

    Returns
    -------
    float
    """
    low, high = config.teacher_temperature
    return low + (high - low) * min(1.0, step / max(1, config.steps / 3))
