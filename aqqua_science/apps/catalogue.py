"""The maps of a folder, read and checked before anybody is shown them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from aqqua_science.habitat.budget_text import full_interval
from aqqua_science.habitat.report import has_skill

PICTURES = {
    "map.png": "Map of the mean, with small maps of the width of the interval and of where it extrapolates",
    "cycle.png": "Charts of the year of each region, month by month, with intervals",
    "uncertainty.png": "Chart of what the uncertainty of the total is made of",
    "importance.png": "Chart of how much each predictor matters to the model",
    "responses.png": "Charts of how the mapped amount follows each predictor",
    "drivers.png": "Map of the predictor that matters most in each place",
}
"""Figures of a map, and what they show to those who cannot see them."""

FILES = ("result.json", "report.md", "recipe.toml", "field.nc", *PICTURES)
"""All of a map's folder that is ever read or handed on."""

GLOBAL = "global"
ANNUAL = "annual"

Share = Annotated[float, Field(ge=0, le=1 + 1e-9)]  # a sum of shares may round past one


class Catalogue(NamedTuple):
    """Maps that can be shown, and those that cannot with the reason, both by the name of their folder."""

    products: dict
    refused: dict


@dataclass(frozen=True, eq=False)
class Product:
    """
    A map that can be shown.

    Parameters
    ----------
    name : str
        Of its folder.
    title : str
    budget : pandas.DataFrame
        Columns `region`, `month` (1..12 or "annual"), `median`, `mean`, `low`, `high`, `level`, `units`,
        `sampled_share`, `area_m2`, `regions` (the set that a region belongs to) and what else the result holds.
    references : list of dict
        Published values: `value`, `units`, `source`.
    full_interval : dict or None
        ``low`` and ``high`` of the whole over the year, with all sources of uncertainty that the recipe names.
    extrapolated : float or None
        Share of the mapped area outside the area of applicability.
    cautions : list of str
        What a reader must know before the numbers.
    credit, licence : str
        Empty where the recipe tells none.
    report : str
        How the map was made and how sure it is, as Markdown; empty where nobody wrote it.
    files : dict
        Name -> path, of those of `FILES` that are there.
    """

    name: str
    title: str
    budget: pd.DataFrame
    references: list
    full_interval: dict | None
    extrapolated: float | None
    cautions: list
    credit: str
    licence: str
    report: str
    files: dict

    @property
    def has_field(self):
        """Whether every month and statistic can be drawn, not only the picture that came along."""
        return "field.nc" in self.files

    @property
    def pictures(self):
        """Name -> what it shows, of the figures that are there."""
        return {name: f"{text}: {self.title}" for name, text in PICTURES.items() if name in self.files}

    @property
    def region_sets(self):
        """Names of the sets of regions, the first one first."""
        return list(self.budget["regions"].unique())

    @property
    def months(self):
        """The year first, then the months that have a budget."""
        return [ANNUAL, *sorted(month for month in self.budget["month"].unique() if month != ANNUAL)]

    @property
    def whole(self):
        """The number that stands for the map: all of it, over the year."""
        return self.rows(self.region_sets[0], ANNUAL).iloc[0]

    def rows(self, regions, month):
        """Budget of a month and set of regions; the whole map stands on top of each set."""
        chosen = self.budget[(self.budget["regions"] == regions) | (self.budget["region"] == GLOBAL)]
        chosen = chosen[chosen["month"] == month]
        return chosen.sort_values("region", key=lambda names: names != GLOBAL, kind="stable")

    def regions(self, regions):
        """Names of the regions of a set."""
        return list(self.rows(regions, ANNUAL)["region"])


def read_maps(folder):
    """
    Read the maps of a folder.

    Parameters
    ----------
    folder : str or pathlib.Path
        Each sub-folder with a `result.json` is a map, as `aqqua map` writes them; or the folder of one map.

    Returns
    -------
    products : dict
        Name of the sub-folder -> `Product`, in the order of the titles.
    refused : dict
        Name of the sub-folder -> why it cannot be shown: the result cannot be read or lacks something, or a file
        leads out of the folder.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.

    Examples
    --------
    >>> import tempfile
    >>> read_maps(tempfile.mkdtemp())
    Catalogue(products={}, refused={})
    """
    root = Path(folder).resolve()
    if not root.is_dir():
        msg = f"there is no folder {folder}. Pass the one that holds the folders of maps, such as maps."
        raise FileNotFoundError(msg)
    single = (root / "result.json").is_file()
    found, refused = [], {}
    for place in [root] if single else sorted(root.iterdir()):
        if place.name.startswith(".") or not (place / "result.json").is_file():
            continue
        try:
            found.append(_read_product(place, root))
        except (OSError, ValueError, RecursionError) as error:
            refused[place.name] = _reason(error)
    found.sort(key=lambda product: (product.title.lower(), product.name))
    return Catalogue({product.name: product for product in found}, refused)


def _read_product(place, root):
    files = {name: place / name for name in FILES if (place / name).is_file()}
    for name, path in files.items():
        if not path.resolve().is_relative_to(root):
            msg = f"{name} leads out of the folder of maps; copy the file in place of the link"
            raise ValueError(msg)
        if name in PICTURES and not _is_png(path):
            msg = f"{name} is no PNG picture; make the map again"
            raise ValueError(msg)
    result = _Result.model_validate(json.loads(files["result.json"].read_text("utf-8")))
    return Product(
        name=place.name,
        title=result.title,
        budget=pd.DataFrame([row.model_dump() for row in result.budget]),
        references=[reference.model_dump() for reference in result.references],
        full_interval=full_interval({"uncertainty": [source.model_dump() for source in result.uncertainty]}),
        extrapolated=result.extrapolated_area_fraction,
        cautions=_cautions(result),
        credit=_credit(result.provenance),
        licence=result.provenance.recipe.licence,
        report=files["report.md"].read_text("utf-8", errors="replace") if "report.md" in files else "",
        files=files,
    )


def _is_png(path):
    with path.open("rb") as file:
        start = file.read(24)
    return len(start) == 24 and start.startswith(b"\x89PNG\r\n\x1a\n")


def _cautions(result):
    found = []
    if (result.extrapolated_area_fraction or 0) > 0.5:
        found.append(f"Most of this map is extrapolated ({result.extrapolated_area_fraction:.0%} of its area).")
    if result.interval.warning:
        found.append(f"The interval is not claimed to cover: {result.interval.warning}.")
    schemes = [scheme.model_dump() for scheme in result.validation]
    known = {"validation": schemes, "interval": {"n_blocks": result.interval.n_blocks}}
    if result.interval.n_blocks and any(s["scheme"] == "blocks" for s in schemes) and not has_skill(known):
        found.append(
            "No skill that is more than chance: held out by region, amounts or their ranks do not correlate with their "
            "predictions. Do not use the map's pattern."
        )
    return found


def _credit(provenance):
    contributors = "; ".join(provenance.contributors)
    return ". Contributors: ".join(filter(None, [provenance.credit or provenance.recipe.credit, contributors]))


def _reason(error):
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        return f"result.json{f', {where}' * bool(where)}: {first['msg']}"
    if isinstance(error, (json.JSONDecodeError, UnicodeDecodeError, RecursionError)):
        return f"result.json is no JSON document: {error}"
    return str(error)


class _Part(BaseModel):
    """A part of `result.json`: what is shown must be there and be a number where one is meant; the rest is let be."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)


class _Row(_Part):
    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    region: str
    month: Literal["annual"] | Annotated[int, Field(ge=1, le=12)]
    median: float | None
    mean: float | None
    low: float | None
    high: float | None
    level: Annotated[float, Field(gt=0, lt=1)]
    units: str
    sampled_share: Share | None = None
    area_m2: float | None = None
    regions: str = "regions"


class _Reference(_Part):
    value: float
    units: str
    source: str


class _Scheme(_Part):
    scheme: str
    r2_correlation: Annotated[float, Field(ge=0, lt=1)] | None = None
    spearman: float | None = None
    n: int


class _Interval(_Part):
    warning: str = ""
    n_blocks: int = 0


class _Source(_Part):
    low: float
    high: float


class _Recipe(_Part):
    credit: str = ""
    licence: str = ""


class _Provenance(_Part):
    recipe: _Recipe = _Recipe()
    credit: str = ""
    contributors: list[str] = []


class _Result(_Part):
    title: Annotated[str, Field(min_length=1)]
    budget: Annotated[list[_Row], Field(min_length=1)]
    references: list[_Reference] = []
    validation: list[_Scheme] = []
    extrapolated_area_fraction: Share | None = None
    interval: _Interval = _Interval()
    uncertainty: list[_Source] = []
    provenance: _Provenance = _Provenance()

    @model_validator(mode="after")
    def _is_one_table(self):
        keys = [(row.regions, row.region, row.month) for row in self.budget]
        if len({*keys}) < len(keys):
            msg = "the budget has a region and month twice"
            raise ValueError(msg)
        if len({row.units for row in self.budget}) > 1:
            msg = "the budget has several units"
            raise ValueError(msg)
        if [key[1:] for key in keys].count((GLOBAL, ANNUAL)) != 1:
            msg = "the budget must have one row of the region 'global' and the month 'annual'"
            raise ValueError(msg)
        return self
