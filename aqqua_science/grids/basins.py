"""
Our own coarse outlines of the ocean basins.

The basins are drawn from a few lines, each written once as (longitude, latitude) and shared by the basins on both
sides, so that the basins cover the sphere and never overlap. Over land a line runs anywhere between two coasts. The
limits follow S-23 of the International Hydrographic Organization (1953) where it gives one:

- The Southern Ocean is everything south of 60 degrees S; the equator parts the north and south of Atlantic and Pacific.
- The Arctic Ocean lies north of 66 degrees N (Bering Strait, Denmark Strait, the coast of Norway) and takes in Hudson
  Bay, Foxe Basin, Hudson Strait, Ungava Bay and the White Sea. The Labrador, Norwegian (south of 66 degrees N), North,
  Baltic and Caribbean Seas and the Gulf of Mexico are North Atlantic.
- Atlantic and Indian Ocean meet at 20 degrees E, south of Cape Agulhas; the Red Sea and the Persian Gulf are Indian.
- Indian and Pacific Ocean meet in the Malay Peninsula, at Singapore, in Sumatra, Sunda Strait, Java and the Lesser
  Sunda Islands, from there to Cape Don in Australia (Timor Sea Indian; Arafura, Banda and Java Seas Pacific), at Cape
  Otway, King Island and Cape Grim (Bass Strait Pacific), and on the meridian of South East Cape, Tasmania.
- Pacific and Atlantic meet in the American watershed, in Panama, and at Cape Horn on the meridian 67.3 degrees W.
- The Mediterranean with the Black Sea begins at Gibraltar. Caspian and Aral Seas are apart.
"""

_LINES = {
    "arctic, america": [(-180, 66), (-141, 66)],
    "arctic, atlantic": [
        (-141, 66), (-97, 66), (-97, 50.5), (-76.5, 50.5), (-75.5, 56), (-72, 57.7), (-66, 57.8), (-64.4, 60.3),
        (-64.9, 61.6), (-66.5, 62.1), (-70, 63.2), (-73, 64.5), (-73, 66), (13, 66), (29, 66), (31, 63.3), (42, 63.3),
        (45, 66),
    ],
    "arctic, asia": [(45, 66), (180, 66)],
    "atlantic, asia": [(45, 66), (45, 52), (46, 48)],
    "caspian, north and east": [(46, 48), (62, 48), (62, 36)],
    "caspian, west": [(46, 48), (46.3, 42), (47.5, 36)],
    "caspian, south": [(47.5, 36), (62, 36)],
    "mediterranean, north": [
        (-5.6, 35.9), (-5.6, 36.5), (-4.5, 37.5), (-2, 38.5), (-1.5, 41), (0.5, 42.7), (3, 43.9), (4.5, 45.5),
        (8, 46.5), (13, 47.5), (20, 48), (30, 50), (40, 50), (46, 48),
    ],
    "mediterranean, south": [
        (-5.6, 35.9), (-5.4, 35), (-2, 34), (5, 33.5), (9, 32.5), (12, 29.5), (20, 28), (29, 28.5), (31.5, 30.3),
        (32.4, 30.5),
    ],
    "mediterranean, east": [(32.4, 30.5), (34, 30.6), (35.4, 31.2), (36, 33), (37, 35), (38, 37.5), (47.5, 36)],
    "atlantic, indian": [
        (32.4, 30.5), (31.5, 27), (33, 20), (33, 10), (30, 0), (29, -12), (27, -25), (20, -34.8), (20, -60),
    ],
    "indian, pacific": [
        (62, 36), (70, 37), (78, 34), (90, 28.5), (97.5, 27), (98.5, 20), (99, 14), (98.9, 10.2), (99.3, 8.5),
        (100.2, 6.8), (101.3, 5.2), (102, 4), (103.2, 2.2), (104.1, 1.35), (103.7, 0.9), (103, 0.4), (102.7, 0),
        (102, -1), (103.2, -3.5), (104.7, -5.2), (105.75, -5.9), (106.3, -6.6), (110, -7.4), (114, -8.1),
        (115.2, -8.35), (116.4, -8.4), (118, -8.6), (121, -8.65), (123, -8.4), (125, -8.25), (126.4, -7.8),
        (128, -8.15), (131, -8.2), (131.8, -11.3), (133, -14), (137, -22), (141, -32), (143.4, -38), (143.6, -38.9),
        (144, -39.9), (144.8, -40.9), (146.3, -42.5), (146.9, -43.7), (146.9, -60),
    ],
    "pacific, atlantic": [
        (-141, 66), (-130, 60), (-118, 52), (-113, 46), (-108, 40), (-106, 33), (-103, 25), (-99, 19.5), (-96.5, 17.3),
        (-94.8, 16.9), (-92.5, 15.8), (-90.5, 14.9), (-88.5, 14.1), (-87, 13.5), (-85.9, 12.4), (-85, 11.1),
        (-84.2, 10.1), (-83.2, 9.3), (-82.2, 8.8), (-81.2, 8.5), (-80.3, 8.65), (-79.7, 9.15), (-79.2, 9.25),
        (-78.3, 8.95), (-77.6, 8.2), (-77.3, 7.3), (-76.3, 5), (-76.5, 3), (-77.5, 1), (-77.9, 0), (-78.3, -1),
        (-79, -4), (-77, -9), (-72, -15), (-69, -18), (-68.5, -25), (-70, -33), (-71.5, -41), (-72.8, -48),
        (-72.5, -51.5), (-71, -53.2), (-69.5, -54.5), (-67.3, -55.98), (-67.3, -60),
    ],
}  # fmt: skip


def _between(line, *, start=None, end=None):
    """The part of a line from one of its vertices to another, in the order asked for."""
    vertices = _LINES[line]
    first = vertices.index(start) if start else 0
    last = vertices.index(end) if end else len(vertices) - 1
    return vertices[first : last + 1] if first <= last else vertices[last : first + 1][::-1]


def _reverse(line):
    return _LINES[line][::-1]


_AI, _IP, _PA = (30, 0), (102.7, 0), (-77.9, 0)
"""Where the three lines between the oceans cross the equator."""

BASINS = {
    "Arctic Ocean": [
        [*_LINES["arctic, america"], *_LINES["arctic, atlantic"], *_LINES["arctic, asia"], (180, 90), (-180, 90)]
    ],
    "North Atlantic Ocean": [
        [
            *_between("pacific, atlantic", end=_PA),
            *_between("atlantic, indian", start=_AI, end=(32.4, 30.5)),
            *_reverse("mediterranean, south"),
            *_LINES["mediterranean, north"],
            *_reverse("atlantic, asia"),
            *_reverse("arctic, atlantic"),
        ]
    ],
    "South Atlantic Ocean": [
        [*_between("pacific, atlantic", start=_PA), *_between("atlantic, indian", start=(20, -60), end=_AI)]
    ],
    "North Pacific Ocean": [
        [
            *_LINES["atlantic, asia"],
            *_LINES["caspian, north and east"],
            *_between("indian, pacific", end=_IP),
            (180, 0),
            *_reverse("arctic, asia"),
        ],
        [*_LINES["arctic, america"], *_between("pacific, atlantic", end=_PA), (-180, 0)],
    ],
    "South Pacific Ocean": [
        [*_between("indian, pacific", start=_IP), (180, -60), (180, 0)],
        [*_between("pacific, atlantic", start=_PA), (-180, -60), (-180, 0)],
    ],
    "Indian Ocean": [
        [
            *_LINES["atlantic, indian"],
            *_between("indian, pacific", start=(146.9, -60), end=(62, 36)),
            *_reverse("caspian, south"),
            *_reverse("mediterranean, east"),
        ]
    ],
    "Southern Ocean": [[(-180, -60), (180, -60), (180, -90), (-180, -90)]],
    "Mediterranean and Black Sea": [
        [
            *_LINES["mediterranean, south"],
            *_LINES["mediterranean, east"],
            *_reverse("caspian, west"),
            *_reverse("mediterranean, north"),
        ]
    ],
    "Caspian and Aral Seas": [
        [*_LINES["caspian, north and east"], *_reverse("caspian, south"), *_reverse("caspian, west")]
    ],
}
"""Closed rings of (longitude, latitude) per basin."""
