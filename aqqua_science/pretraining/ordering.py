"""Chance that needs no memory: every random number is a function of the seed and of what it is for."""

import numpy as np

ROUNDS = 6


def shuffled(places, n, *, seed, epoch):
    """
    Look up places in a random order of `n` things, without holding the order.

    A balanced Feistel network permutes the smallest power of four that holds n; places that land outside walk on
    (Black & Rogaway 2002, "Ciphers with arbitrary finite domains").

    Parameters
    ----------
    places : array of int
        From 0 to n - 1.
    n : int
    seed, epoch : int
        Another order for each.

    Returns
    -------
    numpy.ndarray of int64
        One-to-one with 0 to n - 1.
    """
    half = max(1, (int(n - 1).bit_length() + 1) // 2)
    keys = hashed(np.arange(ROUNDS), seed, epoch, 0x5EED)
    found = _permute(np.asarray(places, dtype=np.uint64), half, keys)
    while (outside := found >= n).any():
        found[outside] = _permute(found[outside], half, keys)
    return found.astype(np.int64)


def _permute(values, half, keys):
    low = np.uint64((1 << half) - 1)
    left, right = values >> np.uint64(half), values & low
    for key in keys:
        left, right = right, left ^ (_mix(right ^ key) & low)
    return (left << np.uint64(half)) | right


def hashed(*parts):
    """
    Mix whole numbers into one of 64 bits (Steele et al. 2014, SplitMix64).

    Parameters
    ----------
    *parts : int or array of int
        Broadcast against one another.

    Returns
    -------
    numpy.ndarray of uint64
    """
    state = np.uint64(0)
    for part in parts:
        state = _mix(np.asarray(part).astype(np.uint64) + state)
    return state


def _mix(x):
    with np.errstate(over="ignore"):
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def uniforms(*parts):
    """
    Draw numbers from 0 up to 1 that depend on `parts` alone.

    Parameters
    ----------
    *parts : int or array of int
        Broadcast against one another.

    Returns
    -------
    numpy.ndarray of float64
    """
    return (hashed(*parts) >> np.uint64(11)) * 2.0**-53
