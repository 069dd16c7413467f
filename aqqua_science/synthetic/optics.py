"""Instruments that look at virtual plankton: magnification, light, blur, noise and number format."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, uniform_filter

from aqqua_science.synthetic.outlines import cover


@dataclass(frozen=True, slots=True)
class Instrument:
    """
    How an instrument takes pictures.

    Attributes
    ----------
    pixel_size_um : float
    window_um : tuple of float
        Lengths of the organisms that it takes.
    background : tuple of float
        Brightness without organism, of full scale 1; one value of grey or three of red, green and blue.
    dark_field : bool
        Organisms shine on a dark background, instead of shading a bright one.
    blur : float
        Standard deviation of the point spread in focus, pixels.
    noise, uneven, stripes : float
        Standard deviation of the noise, slope of the light across the image, and its difference from line to line;
        of full scale 1.
    contrast : float
    margin : int
        Pixels around the organism.
    bits : int
        Of each value; above 8 they are kept in 16.
    volume_m3 : float
        Water that a sample saw.
    depths : tuple of float
        Depths of its samples, m.
    """

    pixel_size_um: float
    window_um: tuple
    background: tuple
    dark_field: bool = False
    blur: float = 0.8
    noise: float = 0.012
    uneven: float = 0.02
    stripes: float = 0.0
    contrast: float = 1.0
    margin: int = 8
    bits: int = 8
    volume_m3: float = 1e-3
    depths: tuple = (5.0, 20.0, 50.0)


INSTRUMENTS = {
    "IFCB": Instrument(0.294, (9.0, 52.0), (0.74,), blur=0.9, noise=0.01, contrast=0.9, margin=12, volume_m3=5e-6),
    "PlanktoScope": Instrument(0.75, (20.0, 130.0), (0.86, 0.88, 0.9), blur=1.1, margin=10, volume_m3=3e-6),
    "FlowCam": Instrument(1.2, (32.0, 220.0), (0.76, 0.78, 0.79), blur=0.9, noise=0.02, uneven=0.05, volume_m3=1e-5),
    "ZooScan": Instrument(
        10.58,
        (300.0, 2000.0),
        (0.96,),
        blur=0.7,
        noise=0.006,
        uneven=0.005,
        volume_m3=100.0,
        depths=(50.0, 100.0, 250.0),
    ),
    "LOKI": Instrument(
        15.0,
        (350.0, 2700.0),
        (0.03,),
        dark_field=True,
        noise=0.008,
        contrast=1.2,
        bits=12,
        volume_m3=2.0,
        depths=(15.0, 80.0, 300.0),
    ),
    "UVP6": Instrument(
        73.0,
        (800.0, 14000.0),
        (0.012,),
        dark_field=True,
        blur=0.6,
        noise=0.008,
        uneven=0.0,
        contrast=1.6,
        margin=6,
        volume_m3=0.5,
        depths=(40.0, 150.0, 400.0),
    ),
    "ISIIS": Instrument(
        68.0,
        (1000.0, 14000.0),
        (0.78,),
        blur=0.7,
        noise=0.02,
        uneven=0.08,
        stripes=0.018,
        contrast=1.3,
        volume_m3=10.0,
        depths=(10.0, 30.0, 90.0),
    ),
}
"""Pixel sizes and light are those of the instruments, roughly. LOKI stands for cameras of 12 bits."""


def take(body, instrument, view, *, rng):
    """
    Take the picture of a body.

    Parameters
    ----------
    body : Body
    instrument : Instrument
    view : tuple
        Outline and details in pixels, and height and width of the image.
    rng : numpy.random.Generator
        Draws focus, light, grain and noise.

    Returns
    -------
    numpy.ndarray
        (height, width) or (height, width, 3), uint8, or uint16 for more than 8 bits.
    """
    outline, details, shape = view
    density = _densities(body, instrument, (outline, details, shape), rng)
    blur = instrument.blur * rng.lognormal(0, 0.25)
    light = np.stack([gaussian_filter(np.exp(-layer), blur, truncate=3.0) for layer in density])
    ground = np.array(instrument.background, dtype=np.float32)[:, None, None]
    lamp = _lamp(instrument, shape, rng)
    seen = ground * lamp + 0.9 * (1 - light) * lamp if instrument.dark_field else ground * lamp * light
    noise = rng.standard_normal(seen.shape, dtype=np.float32)
    seen += instrument.noise * np.sqrt(0.15 + np.maximum(seen, 0)) * noise
    full = 2**instrument.bits - 1
    values = np.clip(np.rint(seen * full), 0, full).astype(np.uint8 if instrument.bits <= 8 else np.uint16)
    return values[0] if len(values) == 1 else np.ascontiguousarray(np.moveaxis(values, 0, -1))


def _densities(body, instrument, view, rng):
    """Optical density of body and organs, (channels, height, width) of float32."""
    outline, details, shape = view
    winding, filling = cover(outline, [np.ones(len(outline)), body.opacity], shape).astype(np.float32)
    winding = np.clip(winding, 0, 1)
    width = body.width / instrument.pixel_size_um
    thick = uniform_filter(winding, max(1, int(0.7 * width)))
    grain = _grain(shape, max(0.7, width / 20), rng)
    flesh = np.clip(filling, 0, None) * (0.35 + 0.9 * thick) * np.clip(1 + body.grain * grain, 0.2, None)
    edge = winding - gaussian_filter(winding, 1.3, truncate=3.0)
    flesh += 0.55 * body.rim * (np.abs(edge) if instrument.dark_field else edge)
    organs = np.zeros(shape, dtype=np.float32)
    if details:
        organs = cover(details, body.strength, shape)[0].astype(np.float32) * winding
    if len(instrument.background) == 1:
        return instrument.contrast * np.maximum(flesh + organs, -0.12)[None]
    tints = zip(body.tint, body.stain, strict=True)
    return instrument.contrast * np.stack([np.maximum(tint * flesh + stain * organs, -0.12) for tint, stain in tints])


def _grain(shape, size, rng):
    """Smooth noise of unit variance whose grains have some size, pixels."""
    rough = rng.standard_normal(shape, dtype=np.float32)
    return gaussian_filter(rough, size, truncate=2.5, mode="wrap") * np.float32(2 * np.sqrt(np.pi) * size)


def _lamp(instrument, shape, rng):
    """Light across the image: a slope, and stripes along the rows."""
    height, width = shape
    slope = rng.uniform(-1, 1, 2) * instrument.uneven
    rows = 1 + slope[0] * np.linspace(-1, 1, height) + instrument.stripes * rng.standard_normal(height)
    columns = 1 + slope[1] * np.linspace(-1, 1, width)
    return np.outer(rows, columns).astype(np.float32)
