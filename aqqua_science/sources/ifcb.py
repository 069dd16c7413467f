"""
Imaging FlowCytobot (IFCB): bins of three files, ``.hdr``, ``.adc`` and ``.roi``, anywhere in a tree.

One bin is one part and one sample; one image of it is one record, named ``<bin>_<target>`` with five digits. Known are:

* time: when the sample began (the bin's name, UTC) plus when the image was taken since, where the ``.adc`` says so
  within two hours; else when the sample began;
* position and depth: of the dashboard's table ``export_metadata*.csv`` in the tree, which `download` saves, else of the
  ``.hdr``; most bins have none, and ingest asks for it. So it does for the pixel size (about 3.4 pixels a micrometre);
* volume: the water looked at in the whole bin (`ifcb_volume`); unknown without a ``.hdr``.

Pixels are those of the ``.roi``, row by row. Pairs that the first instruments took of one object are stitched, with
corners that are not data (`ifcb_stitching`); ``ifcb_second_...`` in `raw` is then the line of the second. What does not
add up is told: images that lie outside the ``.roi`` or on one another, and bytes of it that no line claims.
"""

from datetime import timedelta
from functools import partial
from itertools import chain

import numpy as np

from aqqua_science.sources.ifcb_bins import find_bins, parse_pid
from aqqua_science.sources.ifcb_dashboard import dataset_positions, download
from aqqua_science.sources.ifcb_header import KEPT, column_names, finite, header_metadata, plain_name, read_header
from aqqua_science.sources.ifcb_stitching import pair_targets, stitch
from aqqua_science.sources.ifcb_targets import adc_lines, find_targets, unclaimed_bytes
from aqqua_science.sources.ifcb_volume import DAY_S, analysed_ml
from aqqua_science.sources.record import Part, PictureError, Record

__all__ = ["download", "parts", "read", "recognise"]

MAX_ROWS = 50_000
"""Records of a part; a bin of more is read in several."""

_MAX_ADC_BYTES = 64 * 2**20
_MAX_HDR_BYTES = 2**20
_MAX_SAMPLE_S = 7200
_UNSET = -999.0

_SIGNALS = {
    **{f"pmt{x}": f"aux_pmt_{x}" for x in "abcd"},
    **{f"peak{x}": f"aux_peak_{x}" for x in "abcd"},
    **{f"{kind}{gain}": f"aux_{kind}_{gain}" for kind in ("fluorescence", "scattering") for gain in ("low", "high")},
    "timeofflight": "aux_time_of_flight",
    "triggeropentime": "aux_trigger_open_time",
    "grabtimestart": "aux_grabtime_start",
    "grabtimeend": "aux_grabtime_end",
    "framegrabtime": "aux_grabtime_end",
    "roix": "aux_roi_x",
    "roiy": "aux_roi_y",
}


def recognise(tree):
    """
    Tell by what a tree is known to be an IFCB's.

    Parameters
    ----------
    tree : Tree

    Returns
    -------
    str
        Evidence in words; empty when it is not.
    """
    bins, faults = find_bins(tree)
    count = len({pid.text for pid, _ in bins} | {_stem(name) for name in faults if parse_pid(_stem(name))})
    return f"{count} IFCB bin{'s' if count > 1 else ''} (.adc, .hdr, .roi)" if count else ""


def parts(tree):
    """
    List the bins, and the files that make none.

    Parameters
    ----------
    tree : Tree

    Returns
    -------
    list of Part
        A bin without images has no rows.
    """
    bins, faults = find_bins(tree)
    positions = dataset_positions(tree)
    found = [[Part(name, 1, {"fault": fault})] for name, fault in faults.items()]
    found.extend(_parts_of_bin(tree, files, positions.get(pid.text, {})) for pid, files in bins)
    return sorted(chain.from_iterable(found), key=lambda part: (part.name, part.detail.get("start", 0)))


def read(tree, part):
    """
    Read the records of a part.

    Parameters
    ----------
    tree : Tree
    part : Part

    Yields
    ------
    Record
    """
    try:
        if "fault" in part.detail:
            raise PictureError(part.detail["fault"])
        opened = _Bin(tree, part.detail["files"])
    except PictureError as error:
        yield Record(part.name, None, {}, {}, str(error))
        return
    shared = {**opened.metadata(), **part.detail["position"]}
    for group in opened.groups[part.detail["start"] : part.detail["stop"]]:
        yield opened.record(group, shared)


def _stem(name):
    """Name of a file without folder and ending."""
    return name.rpartition("/")[2][:-4]


def _parts_of_bin(tree, files, position):
    """A bin in pieces; what cannot be opened is one record that says why."""
    name = files[".adc"]
    try:
        count = len(_Bin(tree, files).groups)
    except PictureError as error:
        return [Part(name, 1, {"fault": str(error)})]
    detail = {"files": files, "position": position}
    starts = range(0, max(count, 1), MAX_ROWS)
    ranges = ((start, min(start + MAX_ROWS, count)) for start in starts)
    return [Part(name, stop - start, {**detail, "start": start, "stop": stop}) for start, stop in ranges]


class _Bin:
    """An opened bin: all but the pixels, which are read when the first image is asked for."""

    def __init__(self, tree, files):
        self.tree, self.files = tree, files
        self.pid = parse_pid(_stem(files[".adc"]))
        self.roi_size = tree.size(files[".roi"])
        if not any(tree.size(name) for name in files.values()):
            msg = f"the files of the bin are empty: {', '.join(sorted(files))} of {self.pid.text} have no bytes"
            raise PictureError(msg)
        self.header = self._read_header()
        self.lines = adc_lines(tree.read(files[".adc"], limit=_MAX_ADC_BYTES))
        self.names = column_names(self.header, self.pid.version)
        self.plain = [plain_name(name) for name in self.names]
        self.signals = [(place, _SIGNALS[name]) for place, name in enumerate(self.plain) if name in _SIGNALS]
        clock = "framegrabtime" if self.pid.version == 1 else "adctime"
        self.clock = self.plain.index(clock) if clock in self.plain else None
        self.groups = self._find_groups()
        self._content = None

    def _read_header(self):
        """What the .hdr says; nothing where it is missing or unreadable, since images can be had without it."""
        try:
            return read_header(self.tree.read(self.files[".hdr"], limit=_MAX_HDR_BYTES)) if ".hdr" in self.files else {}
        except PictureError:
            return {}

    def _find_groups(self):
        """Targets of each record, in order; an empty one at the end stands for bytes that belong to none."""
        targets = find_targets(self.lines, self.names, self.roi_size)
        self.spare = unclaimed_bytes(targets, self.roi_size)
        groups = pair_targets(targets) if self.pid.version == 1 else [(target,) for target in targets]
        return [*groups, ()] if self.spare else groups

    def metadata(self):
        """What all images of the bin have in common."""
        found = {"image_rank": 0, "sample_id": self.pid.text, "acquisition_id": self.pid.text, "instrument": "IFCB"}
        # How fast a sample of version 2 flowed is in its .hdr; the prototypes' says nothing of it.
        is_told = self.header if self.pid.version == 2 else ".hdr" in self.files
        volume = analysed_ml(self.pid, self.header, lines=self.lines, names=self.plain) if is_told else None
        if volume:
            found["volume_m3"] = volume * 1e-6
        kept = {f"hdr_{key}": self.header[key.lower()] for key in KEPT if key.lower() in self.header}
        self.kept = {"ifcb_number": str(self.pid.number), **kept}
        return {**found, **header_metadata(self.header, self.pid.start)}

    def record(self, group, shared):
        """The record of one image."""
        if not group:
            fault = f"bytes of the .roi belong to no image: {self.spare:,} of {self.roi_size:,}"
            return Record(self.files[".roi"], None, {}, {}, fault)
        first = group[0]
        metadata = {"object_id": f"{self.pid.text}_{first.number:05d}", **shared, "time": self._time(first)}
        raw = {**self.kept, "ifcb_target": str(first.number), **self._columns(first)}
        origin = f"{self.files['.adc']}:{first.number}"
        if first.fault:
            return Record(origin, None, metadata, raw, first.fault)
        for place, name in self.signals:
            value = finite(first.fields[place]) if place < len(first.fields) else None
            if value is not None and value != _UNSET:
                metadata[name] = value
        if len(group) > 1:
            second = group[1]
            metadata["aux_roi_x"], metadata["aux_roi_y"] = min(first.x, second.x), min(first.y, second.y)
            columns = {"target": str(second.number), **self._columns(second)}
            raw.update({f"ifcb_second_{name}": text for name, text in columns.items()})
        return Record(origin, partial(self._pixels, group), metadata, raw)

    def _columns(self, target):
        """A line's fields by the names of their columns."""
        found = dict(zip(self.names, target.fields, strict=False))
        found.update({f"column_{i + 1}": target.fields[i] for i in range(len(self.names), len(target.fields))})
        return found

    def _time(self, target):
        """When the image was taken, or else when the sample began."""
        seconds = finite(target.fields[self.clock]) if self.clock is not None and not target.fault else None
        if seconds is not None and seconds < 0 and self.pid.version == 1:
            seconds += DAY_S
        if seconds is None or not 0 <= seconds <= _MAX_SAMPLE_S:
            return self.pid.start.isoformat()
        return (self.pid.start + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")

    def _pixels(self, group):
        """The image of a record."""
        first, *others = (self._piece(target) for target in group)
        for piece, target in zip(others, group[1:], strict=True):
            right, down = int(target.x - group[0].x), int(target.y - group[0].y)
            first = stitch(first, piece, right=right, down=down)
        return first

    def _piece(self, target):
        """Pixels of one line of the .adc."""
        if self._content is None:
            self._content = self.tree.read(self.files[".roi"])
        if target.stop > len(self._content):
            msg = f"the .roi is shorter than the .adc says: it ends at byte {len(self._content):,} of {target.stop:,}"
            raise PictureError(msg)
        pixels = np.frombuffer(self._content, np.uint8, target.width * target.height, target.start)
        return pixels.reshape(target.height, target.width).copy()
