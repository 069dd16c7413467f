"""Pictures of virtual plankton: as instruments take them, with mask, size, volume, taxon and carbon known."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from aqqua_science.schema import nearest_name
from aqqua_science.sources.record import Record
from aqqua_science.synthetic.conversions import carbon_of
from aqqua_science.synthetic.optics import INSTRUMENTS, take
from aqqua_science.synthetic.organisms import ORGANISMS
from aqqua_science.synthetic.outlines import cover_together, union_area

STATIONS = {
    "sargasso": ("2019-04-12T09:10:00", 31.67, -64.17),
    "aloha": ("2019-09-03T20:45:00", 22.75, -158.0),
    "porcupine": ("2020-05-21T07:30:00", 49.0, -16.5),
    "cape_verde": ("2020-11-08T13:05:00", 17.59, -24.28),
    "papa": ("2021-08-17T18:20:00", 50.0, -145.0),
    "tasman": ("2021-12-02T02:40:00", -47.0, 142.0),
    "arabian": ("2022-02-25T11:55:00", 16.0, 62.0),
    "weddell": ("2023-01-30T16:15:00", -64.0, -20.0),
}
"""Time and place of the stations, all far from land."""

_MIN_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class Picture(Record):
    """
    A record that knows the truth about what it shows.

    Attributes
    ----------
    origin, pixels, metadata, raw, fault
        As in `aqqua_science.sources.record.Record`.
    mask : callable
        Without arguments; draws the true mask, bool (height, width): pixels that are covered by more than half.
    truth : dict
        `taxon`, `area_um2` (of the continuous outline, appendages included), `esd_um` (diameter of the disc of that
        area), `biovolume_um3` (of the three-dimensional body, without appendages), `n_cells`, and `carbon_ug`.
    """

    mask: Callable[[], np.ndarray] | None = None
    truth: dict = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Scene:
    """A body before an instrument; all that is needed to draw it again."""

    body: object
    instrument: object
    shift: complex
    shape: tuple
    seed: object

    def pixels(self):
        """Draw the picture."""
        view = self._scale(self.body.outline), self._scale(self.body.details), self.shape
        return take(self.body, self.instrument, view, rng=np.random.default_rng(self.seed))

    def mask(self):
        """Draw the mask."""
        return cover_together(self._scale(self.body.outline), self.shape) > 0.5

    def _scale(self, polygons):
        return [p / self.instrument.pixel_size_um + self.shift for p in polygons]


def images(n, *, rng=0, instruments=None):
    """
    Take pictures of virtual plankton whose answers are known.

    Each of nine taxa and particles is a body of random dimensions (log-normal within what the instrument sees) and
    attitude: spheroids and cylinders turn freely in space, bodies with appendages lie in the plane of focus. It is
    drawn with exact coverage of every pixel, then lit, blurred and made noisy as the instrument would, at native
    resolution and of a size of its own. Every picture is drawn anew when its `pixels` or `mask` is called, always the
    same, so that a long list of them stays small.

    Parameters
    ----------
    n : int
        How many. Picture i does not depend on it.
    rng : int or numpy.random.Generator
    instruments : iterable of str, optional
        Some of ``IFCB``, ``PlanktoScope`` and ``FlowCam`` (bright field; the latter two in colour), ``ZooScan``,
        ``LOKI`` (dark field, 12 bits in uint16), ``UVP6`` (dark field) and ``ISIIS`` (shadows with stripes).
        All by default.

    Yields
    ------
    Picture
        A record with all that `aqqua_science.images.ingest` requires, and with `mask` and `truth`.

    Raises
    ------
    ValueError
        If `n` is negative or an instrument unknown.

    Notes
    -----
    Two sizes are told apart: `esd_um` is the diameter of the disc of the projected area, as image analysis has it;
    `biovolume_um3` is the volume of the body that was drawn, which no single projection shows. A medusa's hollow is
    part of its volume, marine snow's volume is that of its spheres without the water between them. Appendages thinner
    than a pixel count in `area_um2`, but no pixel of the mask is theirs; of spheroids and pellets mask and area agree.
    Carbon follows from the volume by the equations in `aqqua_science.synthetic.conversions.carbon_of`; for marine
    snow, whose equation wants it, from the volume of the sphere of its `esd_um`.

    Light and shapes are imagined, not fitted to real images: a network that does well here has not been shown to do
    well at sea.

    Examples
    --------
    >>> pictures = list(images(3, rng=1, instruments=["UVP6"]))
    >>> pictures[0].pixels().shape == pictures[0].mask().shape
    True
    >>> sorted(pictures[0].truth)
    ['area_um2', 'biovolume_um3', 'carbon_ug', 'esd_um', 'n_cells', 'taxon']
    """
    if n < 0:
        msg = f"n must be at least 0; got {n}."
        raise ValueError(msg)
    names = list(INSTRUMENTS) if instruments is None else list(instruments)
    for name in names:
        if name not in INSTRUMENTS:
            hint = nearest_name(name, INSTRUMENTS)
            msg = f"there is no virtual instrument {name!r}.{hint} There are: {', '.join(INSTRUMENTS)}."
            raise ValueError(msg)
    if not names:
        msg = f"instruments is empty. Name some of {', '.join(INSTRUMENTS)}, or pass None for all."
        raise ValueError(msg)
    return _pictures(n, np.random.default_rng(rng), names)


def _pictures(n, rng, names):
    """Yield the pictures, each with a generator of its own."""
    for index in range(n):
        own, light = rng.spawn(1)[0].spawn(2)
        yield _picture(index, names, own, light.bit_generator.seed_seq)


def _picture(index, names, rng, light):
    """One picture: who, where and with what, drawn at random."""
    instrument = names[rng.integers(len(names))]
    window = INSTRUMENTS[instrument].window_um
    taxa = [taxon for taxon, organism in ORGANISMS.items() if organism.share(window) >= _MIN_SHARE]
    taxon = taxa[rng.integers(len(taxa))]
    body = ORGANISMS[taxon].draw(window, rng)
    scene = _place(body, INSTRUMENTS[instrument], rng, light)
    truth = _truth(taxon, body)
    metadata = _metadata(index, instrument, taxon, rng)
    raw = {name: str(value) for name, value in metadata.items()}
    raw |= {f"true_{name}": str(value) for name, value in truth.items()}
    return Picture(
        origin=f"virtual:{index}", pixels=scene.pixels, metadata=metadata, raw=raw, mask=scene.mask, truth=truth
    )


def _place(body, instrument, rng, light):
    """Turn a body at random and cut the image around it."""
    body = _turned(body, np.exp(2j * np.pi * rng.random()))
    corners = np.concatenate(body.outline) / instrument.pixel_size_um
    low = corners.real.min() + 1j * corners.imag.min()
    start = instrument.margin + rng.random() + 1j * (instrument.margin + rng.random())
    width, height = (int(np.ptp(axis)) + 2 * instrument.margin + 2 for axis in (corners.real, corners.imag))
    return _Scene(body, instrument, start - low, (height, width), light)


def _turned(body, turn):
    """A body turned in the plane."""
    return replace(body, outline=[turn * p for p in body.outline], details=[turn * p for p in body.details])


def _truth(taxon, body):
    """What is to be found out."""
    area = union_area(body.outline)
    esd = 2 * np.sqrt(area / np.pi)
    volume = np.pi / 6 * esd**3 if taxon == "detritus" else body.volume_um3
    return {
        "taxon": taxon,
        "area_um2": area,
        "esd_um": float(esd),
        "biovolume_um3": body.volume_um3,
        "n_cells": body.cells,
        "carbon_ug": float(carbon_of(taxon, volume, cells=body.cells)),
    }


def _metadata(index, name, taxon, rng):
    """What a portal would know of a picture."""
    instrument = INSTRUMENTS[name]
    station = list(STATIONS)[rng.integers(len(STATIONS))]
    time, latitude, longitude = STATIONS[station]
    depth = instrument.depths[rng.integers(len(instrument.depths))]
    return {
        "object_id": f"virtual_{index:08d}",
        "image_rank": 0,
        "sample_id": f"{station}_{name}_{depth:g}m",
        "time": time,
        "latitude": latitude,
        "longitude": longitude,
        "depth": depth,
        "instrument": name,
        "pixel_size_um": instrument.pixel_size_um,
        "bit_depth": instrument.bits,
        "licence": "CC0-1.0",
        "volume_m3": instrument.volume_m3,
        "taxon": taxon,
        "taxon_status": "validated",
    }
