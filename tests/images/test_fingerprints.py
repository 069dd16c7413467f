"""Near-duplicates: the search against all pairs, invariances, and recall and precision on real images."""

import io
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from aqqua_science.images import fingerprints
from aqqua_science.images.fingerprints import count_bits, find_similar, fingerprint, is_same_picture


def jpeg(levels, quality=90):
    stream = io.BytesIO()
    Image.fromarray(levels).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def shifted(levels):
    return np.concatenate([levels[:, :1], levels[:, :-1]], axis=1)


def brighter(levels):
    return (levels.astype(int) + 6).clip(0, 255).astype(np.uint8)


def cropped(levels):
    return levels[1:, :-1]


COPIES = {"shifted": shifted, "brighter": brighter, "cropped": cropped, "jpeg": jpeg}


def close_pairs(hashes, shapes, contrasts):
    """All pairs, one by one."""
    found = set()
    for i, j in combinations(range(len(hashes)), 2):
        bits = (int(hashes[i]) ^ int(hashes[j])).bit_count()
        is_near = (np.abs(shapes[i] - shapes[j]) <= fingerprints.MAX_PIXELS).all()
        is_like = abs(np.log(contrasts[i]) - np.log(contrasts[j])) <= np.log(fingerprints.MAX_CONTRAST)
        if bits <= fingerprints.MAX_BITS and is_near and is_like:
            found.add((j, i, bits))
    return found


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(0, 60))
def test_the_search_finds_what_comparing_all_pairs_finds(seed, n):
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 2**64, 6, dtype=np.uint64)[rng.integers(0, 6, n)]
    for i in range(n):
        for bit in rng.integers(0, 64, rng.integers(0, 6)):
            hashes[i] ^= np.uint64(1) << np.uint64(bit)
    shapes, contrasts = rng.integers(30, 35, (n, 2)), rng.uniform(1, 1.5, n)
    found = find_similar(hashes, shapes, contrasts)
    assert len(found) == len({tuple(row) for row in found.tolist()})
    assert {tuple(row) for row in found.tolist()} == close_pairs(hashes, shapes, contrasts)
    assert [tuple(row) for row in found[:, [0, 2, 1]].tolist()] == sorted(map(tuple, found[:, [0, 2, 1]].tolist()))


@given(arrays(np.uint64, st.integers(0, 20)))
def test_bits_are_counted(values):
    assert count_bits(values).tolist() == [int(v).bit_count() for v in values]


@given(arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_any_image_has_a_fingerprint(levels):
    value, contrast = fingerprint(levels)
    assert value.dtype == np.uint64
    assert np.isfinite(contrast)
    assert is_same_picture(levels, levels[::-1]) in (True, False)


@pytest.mark.parametrize("folder", ["ecotaxa+uvpec", "isiis_planktonset1"])
def test_copies_of_real_images_are_found_and_other_images_are_not(shared_data, folder):
    """Nobody copied an image in these collections: any pair among the originals is a false alarm."""
    files = sorted(file for file in (shared_data / "images" / folder).rglob("*") if file.suffix in {".png", ".jpg"})
    originals = [np.asarray(Image.open(file).convert("L")) for file in files[:: 1 if len(files) < 1000 else 3]]
    assert len(originals) > 600
    assert confirmed(originals) == set()
    n = len(originals[::3])
    for name, copy in COPIES.items():
        found = confirmed([*originals[::3], *(copy(image) for image in originals[::3])])
        assert len({pair for pair in found if pair[0] == pair[1] + n}) >= 0.96 * n, name
        assert len(found) <= n, name
    mirrored = [*originals[::3], *(image[:, ::-1] for image in originals[::3])]
    assert len(confirmed(mirrored)) <= 0.01 * n


def confirmed(images):
    """Pairs that survive both the search and the second look."""
    prints = [fingerprint(image) for image in images]
    hashes, contrasts = (np.array(values) for values in zip(*prints, strict=True))
    pairs = find_similar(hashes.astype(np.uint64), np.array([image.shape for image in images]), contrasts)
    return {(int(j), int(i)) for j, i, _ in pairs if is_same_picture(images[j], images[i])}
