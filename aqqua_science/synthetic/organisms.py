"""Plankton and particles of known dimensions: a three-dimensional body, its outline and what shines through."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from aqqua_science.synthetic.outlines import (
    curve,
    cylinder,
    ellipse,
    half_ellipse,
    ribbon,
    tube_volume,
)

_GREY = (1.0, 1.0, 1.0)
_GOLDEN = (0.45, 0.8, 1.75)
_ORANGE = (0.35, 0.95, 1.5)
_BROWN = (0.7, 1.0, 1.35)


@dataclass(frozen=True, slots=True)
class Body:
    """
    One organism or particle, in micrometres.

    Attributes
    ----------
    outline : list of numpy.ndarray of complex
        The polygons that it covers together.
    opacity : list of float
        Optical density of each of them.
    volume_um3 : float
        Of the body; antennae, setae, spines, fins and tentacles hold none.
    width : float
        How thick the body looks, for its shading.
    details : list of numpy.ndarray of complex
        Organs and marks within the outline.
    strength : list of float
        Optical density that each of them adds.
    cells : int
    rim : float
        How strongly the edge refracts.
    grain : float
        How uneven the inside is.
    tint, stain : tuple of float
        Absorption of body and details in red, green and blue.
    """

    outline: list
    opacity: list
    volume_um3: float
    width: float
    details: list
    strength: list
    cells: int = 1
    rim: float = 1.0
    grain: float = 0.2
    tint: tuple = _GREY
    stain: tuple = _GREY


@dataclass(frozen=True, slots=True)
class Organism:
    """
    A taxon and the log-normal distribution of its lengths.

    Attributes
    ----------
    build : callable
        Makes a `Body` of some length, um, with a random generator.
    median_um, spread : float
        Median of the length, and standard deviation of its natural logarithm.
    """

    build: Callable
    median_um: float
    spread: float

    def share(self, window):
        """Fraction of the lengths that lies within a window."""
        low, high = self._probabilities(window)
        return high - low

    def draw(self, window, rng):
        """Draw a random length within a window and make a body of it."""
        length = self.median_um * np.exp(self.spread * ndtri(rng.uniform(*self._probabilities(window))))
        return self.build(float(length), rng)

    def _probabilities(self, window):
        return ndtr(np.log(np.asarray(window) / self.median_um) / self.spread)


def _copepod(length, rng):
    """Prosome, a spheroid, ending in a cylindrical urosome; antennules and setae without volume."""
    a = 0.36 * length
    b, slim = a * rng.uniform(0.36, 0.48), rng.uniform(0.16, 0.24)
    r, tail = slim * b, length - 2 * a
    corner = np.pi - np.arcsin(slim)
    phase = np.linspace(-corner, corner, 45)
    join = a * np.cos(corner)
    end = join - tail
    body = np.concatenate([a * np.cos(phase) + 1j * b * np.sin(phase), [end + 1j * r, end - 1j * r]])
    volume = np.pi * b**2 * ((a - join) - (a**3 - join**3) / (3 * a**2)) + np.pi * r**2 * tail
    limbs = []
    for side in (-1, 1):
        heading = side * (rng.uniform(1.2, 1.9) + np.linspace(0, rng.uniform(0.5, 1.4), 14))
        line = curve(0.82 * a + 0.35j * side * b, heading, length * rng.uniform(0.5, 0.95))
        limbs.append(ribbon(line, np.linspace(0.075, 0.02, 15) * b))
        for spread in rng.uniform(0.02, 0.45, 2):
            line = curve(end + 0.1 * tail + 0.5j * side * r, np.full(3, np.pi - side * spread), 0.2 * length)
            limbs.append(ribbon(line, np.linspace(0.05, 0.015, 4) * b))
    gut = ellipse(0.55 * a, 0.2 * b, at=-0.1 * a + 0.1j * b)
    lipid = ellipse(0.4 * a, 0.22 * b, at=-0.15 * a - 0.4j * b)
    eye = ellipse(0.05 * a, 0.05 * a, at=0.86 * a)
    seams = [
        ribbon(x * a + 1j * np.linspace(-0.8, 0.8, 3) * b * np.sqrt(1 - x**2), np.full(3, 0.02 * b))
        for x in (-0.7, -0.45, -0.2)
    ]
    return Body(
        outline=[body, *limbs],
        opacity=[0.75] + [0.55] * len(limbs),
        volume_um3=float(volume),
        width=2 * b,
        details=[gut, lipid, eye, *seams],
        strength=[rng.uniform(0.2, 0.9), -rng.uniform(0.05, 0.35), 0.9, 0.25, 0.25, 0.25],
        grain=0.12,
        tint=(0.9, 1.0, 1.12),
        stain=_ORANGE,
    )


def _chain(length, rng):
    """Chain of cylindrical cells in girdle view, with setae at the corners of the cells."""
    wide = length * rng.uniform(0.09, 0.22)
    high, gap = wide * rng.uniform(0.7, 1.5), wide * rng.uniform(0.08, 0.3)
    n = max(2, int((length + gap) / (high + gap)))
    bend = rng.uniform(-0.5, 0.5)
    place = (np.arange(n) - (n - 1) / 2) * (high + gap)
    turn = bend * place / length
    radius = length / bend
    centre = radius * (np.sin(turn) + 1j * (1 - np.cos(turn)))
    corners = np.array([1 + 1j, -1 + 1j, -1 - 1j, 1 - 1j]) * np.array([high / 2])
    corners = corners.real + 1j * np.sign(corners.imag) * wide / 2
    cells = [at + np.exp(1j * angle) * corners for at, angle in zip(centre, turn, strict=True)]
    setae, plastids = [], []
    for at, angle in zip(centre, turn, strict=True):
        out = np.sign(at.real) if at.real else 1.0
        for side in (-1, 1):
            corner = at + np.exp(1j * angle) * (out * 0.46 * high + 0.47j * side * wide)
            heading = angle + side * (np.pi / 2 - out * np.linspace(0.15, rng.uniform(0.3, 0.8), 6))
            line = curve(corner, heading, wide * rng.uniform(0.9, 1.7))
            setae.append(ribbon(line, np.linspace(0.028, 0.012, 7) * wide))
        for _ in range(rng.integers(2, 5)):
            spot = rng.uniform(-0.3, 0.3) * high + 1j * rng.uniform(-0.3, 0.3) * wide
            plastids.append(ellipse(0.15 * wide, 0.11 * wide, at=at + spot, angle=rng.uniform(0, 3), n=12))
    return Body(
        outline=[*cells, *setae],
        opacity=[0.16] * n + [0.3] * len(setae),
        volume_um3=float(n * np.pi / 4 * wide**2 * high),
        width=min(wide, high),
        details=plastids,
        strength=[0.5] * len(plastids),
        cells=n,
        rim=2.6,
        grain=0.1,
        stain=_GOLDEN,
    )


def _dinoflagellate(length, rng):
    """Prolate spheroid in any attitude, with a girdle and a nucleus."""
    a = length / 2
    b = a * rng.uniform(0.6, 0.95)
    tilt = np.arccos(rng.uniform(0, 1))
    seen = float(np.hypot(a * np.sin(tilt), b * np.cos(tilt)))
    bow = 0.35 * np.cos(tilt) * seen
    across = np.linspace(-0.93, 0.93, 15)
    girdle = ribbon(bow * (np.sqrt(1 - across**2) - 0.4) + 1j * b * across, np.full(15, 0.05 * b))
    nucleus = ellipse(0.3 * seen, 0.26 * b, at=rng.uniform(-0.4, 0.4) * seen + 1j * rng.uniform(-0.3, 0.3) * b)
    spots = [
        ellipse(0.14 * b, 0.1 * b, at=radius * (seen * np.cos(angle) + 1j * b * np.sin(angle)), angle=angle, n=12)
        for radius, angle in zip(rng.uniform(0.3, 0.78, 12), rng.uniform(0, 6.3, 12), strict=True)
    ]
    return Body(
        outline=[ellipse(seen, b, n=64)],
        opacity=[0.55],
        volume_um3=float(4 / 3 * np.pi * a * b**2),
        width=2 * b,
        details=[girdle, nucleus, *spots],
        strength=[0.4, 0.25] + [0.28] * len(spots),
        rim=1.8,
        grain=0.16,
        tint=(0.75, 0.95, 1.3),
        stain=_GOLDEN,
    )


def _acantharian(length, rng):
    """Sphere with twenty spines that stand as Müller's law has them, in any attitude."""
    radius = length / 2 * rng.uniform(0.18, 0.4)
    latitude = np.radians(np.repeat([0, 30, -30, 60, -60], 4))
    longitude = np.radians(np.tile([0, 90, 180, 270], 5) + np.repeat([0, 45, 45, 0, 0], 4))
    cosine = np.cos(latitude)
    spines = np.stack([cosine * np.cos(longitude), cosine * np.sin(longitude), np.sin(latitude)])
    attitude, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    x, y, _ = length / 2 * attitude @ spines
    tips = [tip for tip in x + 1j * y if abs(tip) > radius]
    rays = [ribbon(np.linspace(0, tip, 4), np.linspace(0.009, 0.003, 4) * length) for tip in tips]
    halo = ellipse(radius, radius)
    core = ellipse(0.55 * radius, 0.55 * radius, at=0.1 * radius)
    symbionts = [
        ellipse(0.12 * radius, 0.12 * radius, at=distance * radius * np.exp(1j * angle), n=12)
        for distance, angle in zip(rng.uniform(0.3, 0.8, 9), rng.uniform(0, 6.3, 9), strict=True)
    ]
    return Body(
        outline=[halo, *rays],
        opacity=[0.6] + [0.8] * len(rays),
        volume_um3=float(4 / 3 * np.pi * radius**3),
        width=2 * radius,
        details=[core, *symbionts],
        strength=[0.7] + [0.4] * len(symbionts),
        rim=0.8,
        stain=_GOLDEN,
    )


def _medusa(length, rng):
    """Bell, half a spheroid seen from the side, its hollow included; tentacles without volume."""
    radius, high = length / 2, length * rng.uniform(0.45, 0.85)
    bell = half_ellipse(high, radius, n=40)
    hollow = 0.62 * half_ellipse(high, radius, n=24)
    tentacles = []
    for foot in np.linspace(-0.95, 0.95, rng.integers(4, 10)):
        wave = 0.5 * np.sin(np.linspace(0, 5, 14) + rng.uniform(0, 6.3)) + np.pi - 0.5 * foot
        line = curve(0.03 * high + 1j * foot * 0.97 * radius, wave, length * rng.uniform(0.2, 0.6))
        tentacles.append(ribbon(line, np.linspace(0.017, 0.006, 15) * length))
    phase = np.linspace(0, 1, 12)
    canals = [
        ribbon(
            0.62 * (high * np.cos(phase * np.pi / 2) + 1j * side * radius * np.sin(phase * np.pi / 2)),
            np.full(12, 0.012 * length),
        )
        for side in (-1.0, -0.4, 0.4, 1.0)
    ]
    margin = ribbon(0.03 * high + 1j * np.linspace(-0.95, 0.95, 3) * radius, np.full(3, 0.018 * length))
    stomach = ribbon(np.linspace(0.6, rng.uniform(0.1, 0.35), 4) * high, np.linspace(0.05, 0.03, 4) * length)
    gonads = [ellipse(0.09 * high, 0.05 * length, at=0.5 * high + 1j * side * 0.17 * length, n=16) for side in (-1, 1)]
    return Body(
        outline=[bell, *tentacles],
        opacity=[0.12] + [0.4] * len(tentacles),
        volume_um3=float(2 / 3 * np.pi * radius**2 * high),
        width=0.5 * length,
        details=[hollow, *canals, margin, stomach, *gonads],
        strength=[0.05, 0.22, 0.22, 0.22, 0.22, 0.4, 0.5, 0.45, 0.45],
        rim=1.6,
        grain=0.12,
        stain=(0.8, 1.0, 1.1),
    )


def _arrow_worm(length, rng):
    """Tube along a gentle arc; two pairs of fins and a tail fin without volume."""
    where = np.linspace(0, 1, 41)
    widest = length * rng.uniform(0.026, 0.045)
    head = 0.75 * np.exp(-(((where - 0.035) / 0.03) ** 2))
    trunk = np.sqrt(np.clip(where / 0.12, 0, 1)) * np.clip((1 - where) / 0.35, 0.12, 1) ** 0.8
    radius = widest * np.maximum(head, trunk * np.clip(where / 0.09, 0.6, 1))
    radius[0] *= 0.5
    line = curve(-length / 2, rng.uniform(-0.6, 0.6) * np.linspace(-1, 1, 40), length)
    fins = []
    for begin, stop, spread in ((14, 22, 0.8), (23, 33, 1.0), (35, 41, 1.6)):
        swell = np.sin(np.linspace(0.1, 3.0, stop - begin)) if stop < 41 else np.linspace(0.05, 1, stop - begin)
        fins.append(ribbon(line[begin:stop], radius[begin:stop] + spread * widest * swell))
    gut = ribbon(line[4:30], 0.22 * radius[4:30] + 0.02 * widest)
    skull = ribbon(line[:4], 0.7 * radius[:4])
    eggs = [
        ellipse(0.3 * widest, 0.25 * widest, at=line[k] + 0.4j * widest * side, n=12)
        for k in range(24, 30)
        for side in (-1, 1)
    ]
    return Body(
        outline=[ribbon(line, radius), *fins],
        opacity=[0.5, 0.12, 0.12, 0.18],
        volume_um3=tube_volume(line, radius),
        width=2 * widest,
        details=[gut, skull, *eggs],
        strength=[0.5, 0.7] + [0.2] * len(eggs),
        rim=1.8,
    )


def _appendicularian(length, rng):
    """Trunk, a spheroid, and a winding tail four times as broad as thick."""
    a, b = 0.12 * length, 0.12 * length * rng.uniform(0.55, 0.75)
    phase = np.linspace(0, rng.uniform(2.5, 6.0), 36)
    heading = rng.uniform(0.4, 1.1) * np.sin(phase + rng.uniform(0, 6.3))
    line = curve(0.55 * a - 0.3j * b, heading, 0.84 * length)
    radius = 0.036 * length * np.clip(np.linspace(0.55, 3, 37), 0, 1) * np.clip(np.linspace(4, 0.12, 37), 0, 1)
    organs = [ellipse(0.35 * a, 0.5 * b, at=0.5 * a), ellipse(0.3 * a, 0.35 * b, at=-0.35 * a - 0.2j * b)]
    return Body(
        outline=[ellipse(a, b), ribbon(line, radius)],
        opacity=[0.55, 0.32],
        volume_um3=float(4 / 3 * np.pi * a * b**2) + tube_volume(line, radius) / 4,
        width=1.4 * b,
        details=[*organs, ribbon(line, 0.22 * radius)],
        strength=[0.9, 0.5, 0.5],
        rim=1.5,
        stain=_ORANGE,
    )


def _pellet(length, rng):
    """Cylinder in any attitude."""
    diameter = length * rng.uniform(0.14, 0.38)
    tilt = np.arccos(rng.uniform(0, 1))
    half = length / 2 * np.sin(tilt)
    clumps = [
        ellipse(0.13 * diameter, 0.09 * diameter, at=x * half + 1j * y * diameter, angle=x, n=10)
        for x, y in rng.uniform(-0.36, 0.36, (10, 2)) * [2.4, 1.0]
    ]
    return Body(
        outline=[cylinder(length, diameter, tilt)],
        opacity=[1.5],
        volume_um3=float(np.pi / 4 * diameter**2 * length),
        width=diameter,
        details=clumps,
        strength=[0.35] * len(clumps),
        rim=0.6,
        grain=0.16,
        tint=_BROWN,
        stain=_BROWN,
    )


def _aggregate(length, rng):
    """Spheres that stuck where they touched, later ones mostly to the youngest; fluffy, and of any outline."""
    radius = rng.lognormal(0, 0.5, rng.integers(40, 90))
    centre = np.zeros((len(radius), 3))
    for i in range(1, len(radius)):
        centre[i] = _sticking_place(centre[:i], radius[:i], radius[i], rng)
    flat = centre[:, 0] + 1j * centre[:, 1]
    reach = max(np.ptp(np.r_[axis - radius, axis + radius]) for axis in (flat.real, flat.imag))
    scale = length / reach
    flat, radius = flat * scale, radius * scale
    return Body(
        outline=[ellipse(r, r, at=at, n=16) for at, r in zip(flat, radius, strict=True)],
        opacity=list(rng.uniform(0.1, 0.55, len(radius))),
        volume_um3=float(4 / 3 * np.pi * (radius**3).sum()),
        width=2 * float(np.median(radius)),
        details=[],
        strength=[],
        rim=0.4,
        grain=0.7,
        tint=(0.85, 1.0, 1.2),
    )


def _sticking_place(centre, radius, newcomer, rng):
    """Where a sphere touches one of the others and overlaps none."""
    reach = (radius + newcomer) ** 2 * (1 - 1e-9)
    while True:
        parent = len(centre) - 1 - int(len(centre) * rng.beta(0.7, 1.6))
        way = rng.standard_normal((6, 3))
        way *= (radius[parent] + newcomer) / np.sqrt((way**2).sum(axis=1, keepdims=True))
        place = centre[parent] + way
        free = (((place[:, None] - centre) ** 2).sum(axis=2) >= reach).all(axis=1)
        if free.any():
            return place[free.argmax()]


ORGANISMS = {
    "Copepoda": Organism(_copepod, 1200.0, 0.6),
    "Chaetoceros": Organism(_chain, 80.0, 0.6),
    "Dinophyceae": Organism(_dinoflagellate, 35.0, 0.5),
    "Acantharea": Organism(_acantharian, 250.0, 0.8),
    "Hydrozoa": Organism(_medusa, 4000.0, 0.7),
    "Chaetognatha": Organism(_arrow_worm, 9000.0, 0.6),
    "Appendicularia": Organism(_appendicularian, 2500.0, 0.7),
    "faecal pellet": Organism(_pellet, 250.0, 0.7),
    "detritus": Organism(_aggregate, 600.0, 0.9),
}
"""The virtual taxa. Lengths are total; of medusae the bell's diameter, of Acantharea from spine to spine."""
