"""Views: true sizes at any angle and sampling, exact copies where nothing is interpolated, limits that always hold."""

import math
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aqqua_science.images import patches
from aqqua_science.images.windows import sample_window, whole_view
from aqqua_science.pretraining.config import LOCAL_SHARE, Views
from aqqua_science.pretraining.views import N_DRAWS, lay_out, render

PATCH = 14
NO_LIMIT = 10**9
OFF = {
    "flip": False,
    "rotate": False,
    "sampling": (1, 1),
    "intensity": 0,
    "background": 0,
    "noise": 0,
    "channels": False,
}
WHOLE = {**OFF, "global_area": (1, 1)}


def table(height, width, channels=1, pixel_size_um=10.0):
    columns = np.broadcast_arrays(*np.atleast_1d(height, width, channels, pixel_size_um))
    return pd.DataFrame(dict(zip(("height", "width", "channels", "pixel_size_um"), columns, strict=True)))


def drawn(images, views, *, seed=0, limit=NO_LIMIT, patch_size=PATCH):
    draws = np.random.default_rng(seed).random((len(images), 2 + views.n_local, N_DRAWS))
    return lay_out(images, draws, views=views, patch_size=patch_size, token_limit=limit)


def layout_of(pixels, views, **options):
    return drawn(table(*pixels.shape[1:], len(pixels)), views, **options)


def noise_image(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def disc(side, diameter):
    """A black disc on white in the middle of a square."""
    y, x = np.mgrid[:side, :side] + 0.5 - side / 2
    return (np.hypot(y, x) > diameter / 2).astype(np.float32)[None]


# Size


@pytest.mark.parametrize("sampling", [(0.5, 0.5), (0.7, 0.7), (1, 1), (2, 2), (0.5, 2)])
@pytest.mark.parametrize("limit", [NO_LIMIT, 64])
def test_a_disc_has_its_true_area_in_every_view_that_shows_all_of_it(sampling, limit):
    pixels, um, diameter = disc(160, 70), 5.3, 70
    views = Views(**{**OFF, "rotate": True, "flip": True, "sampling": sampling, "global_area": (0.5, 1)}, n_local=0)
    layout = drawn(table([160] * 40, [160] * 40, pixel_size_um=um), views, limit=limit)
    shown = 0
    for at in np.ndindex(layout.tokens.shape):
        (view,), pixel_size_um, _ = render(pixels, layout, at, views=views, seed=0)
        border = np.concatenate([view[0], view[-1], view[:, 0], view[:, -1]])
        if border.min() == 1:
            shown += 1
            area = (1 - view).sum(dtype=float) * pixel_size_um**2
            assert area == pytest.approx(math.pi * (diameter * um / 2) ** 2, rel=0.03)
    assert shown > 40


@pytest.mark.parametrize("limit", [NO_LIMIT, 20])
def test_pixels_are_square_and_measure_what_the_layout_says(limit):
    images = table([1, 25, 300, 7], [3000, 31, 200, 7], [1, 2, 3, 1], [2, 5, 10, 20])
    layout = drawn(images, Views(), limit=limit)
    source_um = images.pixel_size_um.to_numpy()[:, None]
    for window, view in ((layout.window_height, layout.height), (layout.window_width, layout.width)):
        np.testing.assert_allclose(window * source_um, view * layout.pixel_size_um, rtol=1e-12)


def test_an_elongated_image_turned_by_90_degrees_gets_an_upright_window_and_by_45_a_square_one():
    views = Views(**{**WHOLE, "rotate": True}, n_local=0)
    draws = np.zeros((3, 2, N_DRAWS))
    draws[:] = 0.5
    angles = [0, 1 / 8, 1 / 4]
    draws[:, :, 4] = np.array(angles)[:, None]
    images = table([40] * 3, [160] * 3)
    layout = lay_out(images, draws, views=views, patch_size=PATCH, token_limit=NO_LIMIT)
    np.testing.assert_allclose(layout.angle[:, 0], 2 * np.pi * np.array(angles))
    assert list(zip(layout.height[:, 0], layout.width[:, 0], strict=True)) == [(40, 160), (80, 80), (160, 40)]


def test_windows_have_the_area_asked_for_and_lie_inside_the_image():
    views = Views(**{**OFF, "global_area": (0.5, 0.9), "local_area": (0.1, 0.3)})
    images = table(np.tile([300, 900], 500), np.tile([500, 200], 500))
    layout = drawn(images, views)
    height, width = (images[name].to_numpy()[:, None] for name in ("height", "width"))
    share = layout.window_height * layout.window_width / (height * width)
    assert 0.49 < share[:, :2].min() < 0.51 < 0.89 < share[:, :2].max() < 0.91
    assert 0.09 < share[:, 2:].min() < 0.11 < 0.29 < share[:, 2:].max() < 0.31
    ratio = (layout.window_height / height) / (layout.window_width / width)
    assert 0.74 < ratio.min() < 0.78 < 1.3 < ratio.max() < 1.35
    for centre, window, size in (
        (layout.centre_y, layout.window_height, height),
        (layout.centre_x, layout.window_width, width),
    ):
        assert (centre - window / 2).min() >= 0
        assert (size - centre - window / 2).min() >= 0


def test_angles_mirrors_and_sampling_are_spread_evenly():
    layout = drawn(table([200] * 4000, [200] * 4000), Views(sampling=(0.5, 2)))
    assert np.histogram(layout.angle, 8, (0, 2 * np.pi))[0] / layout.angle.size == pytest.approx(
        np.full(8, 1 / 8), abs=0.01
    )
    assert layout.flip.mean() == pytest.approx(0.5, abs=0.01)
    rate = np.log2(10 / layout.pixel_size_um)
    assert np.histogram(rate, 4, (-1, 1))[0] / rate.size == pytest.approx(np.full(4, 1 / 4), abs=0.01)


# Exact copies


def test_with_everything_off_a_view_of_all_is_the_image():
    pixels, views = noise_image(3, 37, 53), Views(**WHOLE)
    view, pixel_size_um, kinds = render(pixels, layout_of(pixels, views), (0, 1), views=views, seed=0)
    np.testing.assert_array_equal(view, pixels)
    assert pixel_size_um == 10
    assert kinds.tolist() == [1, 2, 3]


@pytest.mark.parametrize("quarters", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("flip", [False, True])
def test_quarter_turns_and_mirrors_are_exactly_those_of_numpy(quarters, flip):
    pixels, views = noise_image(2, 36, 54), Views(**WHOLE, n_local=0)
    draws = np.full((1, 2, N_DRAWS), 0.5)
    draws[..., 4], draws[..., 5] = quarters / 4, 0.2
    views = views.model_copy(update={"rotate": True, "flip": flip})
    layout = lay_out(table(36, 54, 2), draws, views=views, patch_size=PATCH, token_limit=NO_LIMIT)
    view, _, _ = render(pixels, layout, (0, 0), views=views, seed=0)
    turned = np.rot90(pixels, quarters, axes=(1, 2))
    np.testing.assert_array_equal(view, turned[:, :, ::-1] if flip else turned)


def test_an_upright_view_is_a_piece_of_the_image():
    pixels, views = noise_image(1, 80, 90), Views(**OFF)
    layout = layout_of(pixels, views)
    for v in range(6):
        view, _, _ = render(pixels, layout, (0, v), views=views, seed=0)
        top = round(layout.centre_y[0, v] - view.shape[1] / 2)
        left = round(layout.centre_x[0, v] - view.shape[2] / 2)
        np.testing.assert_array_equal(view, pixels[:, top : top + view.shape[1], left : left + view.shape[2]])


def test_a_copied_window_that_leaves_the_image_shows_the_background():
    pixels = noise_image(1, 6, 6)
    level = np.array([0.25], np.float32)
    view = sample_window(pixels, level, centre=(1, 5), extent=(8, 8), shape=(8, 8))
    expected = np.full((1, 8, 8), 0.25, np.float32)
    expected[:, 3:8, :5] = pixels[:, :5, 1:]
    np.testing.assert_array_equal(view, expected)


def by_hand(plane, level, *, centre, extent, shape, angle, flip):
    """Bilinear sampling, pixel by pixel, from its definition."""
    out = np.full(shape, level, float)
    height, width = plane.shape
    for i in range(shape[0]):
        for j in range(shape[1]):
            down = (i + 0.5 - shape[0] / 2) * extent[0] / shape[0]
            right = (j + 0.5 - shape[1] / 2) * extent[1] / shape[1] * (-1 if flip else 1)
            y = centre[0] + down * math.cos(angle) + right * math.sin(angle)
            x = centre[1] - down * math.sin(angle) + right * math.cos(angle)
            if not (0 <= y < height and 0 <= x < width):
                continue
            y0, x0 = math.floor(y - 0.5), math.floor(x - 0.5)
            fy, fx = y - 0.5 - y0, x - 0.5 - x0
            out[i, j] = sum(
                wy * wx * plane[min(max(yy, 0), height - 1), min(max(xx, 0), width - 1)]
                for yy, wy in ((y0, 1 - fy), (y0 + 1, fy))
                for xx, wx in ((x0, 1 - fx), (x0 + 1, fx))
            )
    return out


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("angle", [0.0, 0.7, 2.5, 4.0])
def test_interpolation_is_bilinear_about_the_centre(angle, flip):
    pixels = noise_image(2, 31, 44)
    window = {"centre": (12.3, 29.1), "extent": (20.0, 26.0), "shape": (19, 31), "angle": angle, "flip": flip}
    levels = np.array([0.2, 0.9], np.float32)
    view = sample_window(pixels, levels, **window)
    for plane, level, seen in zip(pixels, levels, view, strict=True):
        np.testing.assert_allclose(seen, by_hand(plane, level, **window), atol=1e-5)


@pytest.mark.parametrize("angle", [0.0, 0.4])
def test_a_fine_grating_is_averaged_not_aliased_where_it_is_reduced(angle):
    pixels = np.tile(np.array([0, 1], np.float32), (1, 120, 60))
    window = {"centre": (60, 60), "extent": (60, 60), "shape": (15, 15), "angle": angle}
    view = sample_window(pixels, np.array([0.5]), **window)
    np.testing.assert_allclose(view, 0.5, atol=0.02)


# Limits


sizes = st.integers(1, 2000)


@given(
    height=sizes,
    width=sizes,
    channels=st.integers(1, 4),
    limit=st.integers(4, 600),
    patch_size=st.integers(2, 64),
    square=st.sampled_from([None, 8, 224]),
    rotate=st.booleans(),
    draw_channels=st.booleans(),
    seed=st.integers(0, 2**32),
)
@example(1, 2000, 4, 4, 14, None, True, False, 0)
@settings(max_examples=300)
def test_token_limits_always_hold(height, width, channels, limit, patch_size, square, rotate, draw_channels, seed):
    views = Views(square=square, rotate=rotate, channels=draw_channels)
    layout = drawn(table(height, width, channels), views, seed=seed, limit=limit, patch_size=patch_size)
    assert layout.tokens[:, :2].max() <= limit
    assert layout.tokens[:, 2:].max() <= max(1, limit // LOCAL_SHARE)
    assert layout.tokens.min() >= 1
    assert min(layout.height.min(), layout.width.min()) >= 1
    assert layout.channels[..., channels:].sum() == 0


@given(height=sizes, width=sizes, channels=st.integers(1, 4), limit=st.integers(4, 600))
def test_views_of_all_are_reduced_as_whole_images_are(height, width, channels, limit):
    layout = drawn(table(height, width, channels), Views(**WHOLE), limit=limit)
    factor = patches.shrink_factor(height, width, patch_size=PATCH, max_tokens=max(1, limit // channels))
    expected = (max(1, int(height * factor)), max(1, int(width * factor)))
    assert (layout.height[0, 0], layout.width[0, 0]) == expected
    assert layout.pixel_size_um[0, 0] == pytest.approx(10 / factor)


@given(
    height=st.integers(1, 120),
    width=st.integers(1, 120),
    channels=st.integers(1, 4),
    square=st.sampled_from([None, 40]),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=60)
def test_tokens_are_those_of_the_patches_and_values_stay_in_range(height, width, channels, square, seed):
    pixels = noise_image(channels, height, width, seed=seed)
    views = Views(square=square, intensity=1, background=1, noise=0.5)
    layout = layout_of(pixels, views, seed=seed, limit=64)
    for v in range(layout.tokens.shape[1]):
        view, pixel_size_um, kinds = render(pixels, layout, (0, v), views=views, seed=seed)
        cut = patches.cut(view, pixel_size_um=pixel_size_um, patch_size=PATCH, channels=kinds)
        assert len(cut.values) == layout.tokens[0, v]
        assert view.dtype == np.float32
        assert 0 <= view.min() <= view.max() <= 1


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 1), (1, 1, 3000), (1, 3000, 1), (2, 2, 700)])
@pytest.mark.parametrize("level", [0.0, 1.0])
def test_extreme_images_have_views(shape, level):
    pixels, views = np.full(shape, level, np.float32), Views(intensity=1)
    layout = layout_of(pixels, views, limit=16)
    for v in range(6):
        view, pixel_size_um, kinds = render(pixels, layout, (0, v), views=views, seed=1)
        assert view.shape == (len(kinds), layout.height[0, v], layout.width[0, v])
        assert np.isfinite(view).all()
        assert pixel_size_um > 0


# Channels


def test_first_the_number_of_channels_is_drawn_then_which():
    n = 8000
    layout = drawn(table([30] * n, [30] * n, [4] * n), Views(n_local=0))
    shown = layout.channels.reshape(-1, 8)
    number = shown.sum(axis=1)
    for k in range(1, 5):
        assert (number == k).mean() == pytest.approx(1 / 4, abs=0.015)
        assert shown[number == k].mean(axis=0) == pytest.approx([k / 4] * 4 + [0] * 4, abs=0.03)


def test_one_channel_is_always_shown_and_all_where_none_are_drawn():
    assert drawn(table([30] * 50, [30] * 50, 1), Views()).channels[..., 0].all()
    everything = drawn(table([30] * 50, [30] * 50, 3), Views(channels=False)).channels
    assert everything[..., :3].all()
    assert not everything[..., 3:].any()


def test_a_view_shows_the_channels_that_were_drawn_under_their_own_kinds():
    pixels, views = noise_image(3, 20, 20), Views(**{**WHOLE, "channels": True})
    for seed in range(10):
        layout = layout_of(pixels, views, seed=seed)
        view, _, kinds = render(pixels, layout, (0, 0), views=views, seed=0)
        np.testing.assert_array_equal(view, pixels[kinds - 1])
        assert (kinds - 1).tolist() == np.flatnonzero(layout.channels[0, 0]).tolist()


# Each setting on its own


CHANGES = {
    "flip": (False, {"flip"}),
    "rotate": (False, {"angle", "window_height", "window_width", "height", "width", "tokens", "pixel_size_um"}),
    "sampling": ((1, 1), {"pixel_size_um", "height", "width", "window_height", "window_width", "tokens"}),
    "channels": (False, {"channels", "tokens"}),
    "intensity": (0, set()),
    "background": (0, set()),
    "noise": (0, set()),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_setting_that_is_off_leaves_the_others_as_they_were(name):
    value, touched = CHANGES[name]
    images = table([90, 40, 300], [60, 200, 280], [1, 3, 4])
    before, after = drawn(images, Views()), drawn(images, Views(**{name: value}))
    for field in before._fields:
        same = np.array_equal(getattr(before, field), getattr(after, field))
        assert same or field in touched, field
    if name == "rotate":
        np.testing.assert_array_equal(before.pixel_size_um, after.pixel_size_um)
        assert not after.angle.any()


@pytest.mark.parametrize("name", ["background", "noise"])
def test_changes_of_intensity_add_up(name):
    pixels = 0.4 + 0.2 * noise_image(1, 40, 40)
    on = {"background": 0.1, "noise": 0.02, "intensity": 0.3}
    views = {key: Views(**{**on, key: 0} if key else on) for key in ("", name)}
    alone = Views(**{**dict.fromkeys(on, 0), name: on[name]})
    plain = Views(**dict.fromkeys(on, 0))
    layout = layout_of(pixels, plain)
    shown = [render(pixels, layout, (0, 0), views=v, seed=5)[0] for v in (views[""], views[name], alone, plain)]
    np.testing.assert_allclose(shown[0] - shown[1], shown[2] - shown[3], atol=1e-6)
    assert np.ptp(shown[2] - shown[3]) < 1e-6 or name == "noise"


def exposed(pixels, exposure, **settings):
    views = Views(**{**WHOLE, **settings})
    layout = layout_of(pixels, views)
    layout.exposure[:] = exposure
    return render(pixels, layout, (0, 0), views=views, seed=3)[0]


def test_contrast_is_about_the_background_and_gamma_follows():
    pixels = np.full((1, 9, 9), 0.6, np.float32)
    pixels[0, 4, 4] = 0.2
    contrasted = exposed(pixels, [1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5], intensity=0.2)
    assert contrasted[0, 0, 0] == pytest.approx(0.6)
    assert contrasted[0, 4, 4] == pytest.approx(0.6 - 0.4 * math.exp(0.2))
    bent = exposed(pixels, [0.5, 0, 0.5, 0.5, 0.5, 0.5, 0.5], intensity=0.2)
    np.testing.assert_allclose(bent, pixels ** math.exp(-0.1), atol=1e-6)


def test_only_colours_have_a_white_balance_of_a_tenth_at_most():
    draws = [0.5, 0.5, 0.5, 0.5, 0, 0.5, 1]
    for channels, gains in ((1, [1]), (2, [1, 1]), (3, [0.95, 1, 1.05]), (4, [0.95, 1, 1.05, 1])):
        pixels = np.full((channels, 5, 5), 0.5, np.float32)
        np.testing.assert_allclose(exposed(pixels, draws, intensity=0.5)[:, 0, 0], 0.5 * np.array(gains), rtol=1e-6)


def test_noise_is_gaussian_with_the_deviation_drawn():
    grain = exposed(np.full((1, 400, 400), 0.5, np.float32), 0.75, noise=0.04).astype(float) - 0.5
    assert grain.std() == pytest.approx(0.03, rel=0.01)
    assert grain.mean() == pytest.approx(0, abs=3 * 0.03 / 400)
    within = [(np.abs(grain) < k * 0.03).mean() for k in (1, 2, 3)]
    assert within == pytest.approx([0.6827, 0.9545, 0.9973], abs=0.004)


def test_the_background_is_the_median_of_the_border():
    pixels = np.zeros((2, 12, 12), np.float32)
    pixels[0], pixels[1] = 0.8, 0.3
    pixels[:, 2:10, 2:10] = 0
    pixels[:, 0, :4] = 1
    assert patches.background_levels(pixels) == pytest.approx([0.8, 0.3])


def test_the_background_surrounds_a_turned_image():
    pixels, views = np.full((1, 40, 40), 0.7, np.float32), Views(**{**WHOLE, "rotate": True, "sampling": (0.5, 2)})
    layout = layout_of(pixels, views)
    for v in range(6):
        np.testing.assert_allclose(render(pixels, layout, (0, v), views=views, seed=0)[0], 0.7, atol=1e-6)


def test_same_seeds_give_the_same_view_and_the_image_stays_as_it_was():
    pixels, views = noise_image(3, 50, 60), Views()
    kept, layouts = pixels.copy(), [layout_of(pixels, views, limit=64) for _ in range(2)]
    for v in range(6):
        first, again = (render(pixels, layout, (0, v), views=views, seed=v)[0] for layout in layouts)
        np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(pixels, kept)


# Common practice, and evaluation


def test_squares_have_one_size_and_no_scale():
    views = Views(square=32)
    layout = drawn(table([30, 200], [90, 50]), views)
    assert layout.height.tolist() == layout.width.tolist() == [[32, 32, 16, 16, 16, 16]] * 2
    assert (layout.pixel_size_um == 1).all()
    pixels = noise_image(1, 30, 90)
    assert render(pixels, layout, (0, 0), views=views, seed=0)[0].shape == (1, 32, 32)


def test_a_whole_view_is_the_image_shrunk_or_square():
    pixels = noise_image(2, 100, 300)
    view, pixel_size_um = whole_view(pixels, pixel_size_um=4, patch_size=PATCH, max_tokens=40)
    expected = patches.shrink(pixels, pixel_size_um=4, patch_size=PATCH, max_tokens=40)
    np.testing.assert_array_equal(view, expected[0])
    assert pixel_size_um == expected[1]
    view, pixel_size_um = whole_view(pixels, pixel_size_um=4, patch_size=PATCH, max_tokens=1000, square=56)
    assert view.shape == (2, 56, 56)
    assert pixel_size_um == 1
    assert view.mean() == pytest.approx(pixels.mean(), abs=0.01)
    assert whole_view(pixels, pixel_size_um=4, patch_size=PATCH, max_tokens=8, square=56)[0].shape[1] <= 28


def test_a_square_image_of_the_size_asked_for_is_only_copied():
    pixels = noise_image(1, 28, 28)
    view, _ = whole_view(pixels, pixel_size_um=4, patch_size=PATCH, max_tokens=100, square=28)
    np.testing.assert_array_equal(view, pixels)


@pytest.mark.slow
def test_two_hundred_thousand_images_are_laid_out_in_a_second():
    n, rng, views = 20_000, np.random.default_rng(0), Views()
    images = table(rng.integers(20, 400, n), rng.integers(20, 400, n), rng.integers(1, 4, n))
    draws, took = rng.random((n, 6, N_DRAWS)), []
    for _ in range(3):
        start = time.perf_counter()
        lay_out(images, draws, views=views, patch_size=PATCH, token_limit=256)
        took.append(time.perf_counter() - start)
    assert n / min(took) > 200_000
