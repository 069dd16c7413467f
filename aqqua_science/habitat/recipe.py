"""A recipe: everything a published map was made from, in one short file."""

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError, field_validator, model_validator

from aqqua_science.samples.martin import MARTIN_B
from aqqua_science.schema import SchemaError, nearest_name

Scalar = str | int | float | bool

SUN = "solar_elevation"
"""The predictor that tells day from night."""

HILL = "hill_number"
"""The target that `observations.diversity` makes."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Traps(_Part):
    """How fluxes of sediment traps are brought to one depth and pooled, see `samples.traps.pool_fluxes`."""

    horizon: float = Field(gt=0)
    between: tuple[float, float] | None = None
    exponent: float = Field(default=MARTIN_B, ge=0)
    exponent_sd: float = Field(default=0.0, ge=0)
    cell_degrees: float = Field(default=1.0, gt=0, le=10)


class Diversity(_Part):
    """Columns that each hold a taxon, and the order of the Hill number that is made of them."""

    taxa: list[str] = Field(min_length=1)
    order: float = Field(default=1, ge=0)


class Observations(_Part):
    """Which table, which rows, which column."""

    file: str
    target: str
    units: str
    where: dict[str, Scalar | list[Scalar]] = {}
    between: dict[str, tuple[float, float]] = {}
    sum_over: str | None = None
    time: str | None = None
    volume: str | None = None
    group: str | None = None
    traps: Traps | None = None
    transformed: Literal["log", "log10", "log1p", "square root", "cube root"] | None = None
    diversity: Diversity | None = None

    @model_validator(mode="after")
    def _one_making(self):
        if self.traps is not None and (self.transformed or self.diversity):
            msg = "observations.traps makes its target of deployments as they are: leave out transformed and diversity"
            raise ValueError(msg)
        if self.diversity is not None and self.target != HILL:
            msg = f'observations.diversity makes the target "{HILL}", and target is "{self.target}": ask for that one'
            raise ValueError(msg)
        return self


class Environment(_Part):
    """Which grids, and which of their variables predict."""

    files: list[str] = Field(min_length=1)
    predictors: list[str] = []
    step: float | None = Field(default=None, gt=0, le=30)
    fill_months: int = Field(default=0, ge=0, le=6, strict=True)
    derived: list[str] = []
    using: dict[str, str] = {}
    fixed: dict[str, float] = {}
    day_and_night: StrictBool = False
    radius_km: float | None = Field(default=None, gt=0)
    window_days: float | None = Field(default=None, gt=0)

    @property
    def sampled(self):
        """Predictors that the samples have by themselves."""
        return [*self.fixed, *([SUN] if self.day_and_night else [])]

    @property
    def further(self):
        """Predictors that no file holds."""
        pairs = {"season": ["season_sine", "season_cosine"]}
        return [n for name in self.derived for n in pairs.get(name, [name])] + self.sampled


class Scenario(_Part):
    """Changes of predictors, see `scenarios.add_changes`."""

    files: list[str] = Field(min_length=1)
    ratios: list[str] = []
    source: str = ""


class Model(_Part):
    """Settings of `BoostedTrees`; what is left out keeps its default."""

    objective: Literal["poisson", "tweedie", "gamma", "two-part", "log"] = "poisson"
    scale: float | None = Field(default=None, gt=0)
    n_members: int = Field(default=100, ge=2, strict=True)
    resampling: Literal["blocks", "groups", "stratified"] = "blocks"
    n_trees: int | None = Field(default=None, ge=1, strict=True)
    learning_rate: float = Field(default=0.075, gt=0, le=1)
    max_depth: int = Field(default=4, ge=1, le=16, strict=True)
    min_child_weight: float = Field(default=3, ge=0)
    subsample: float = Field(default=0.5, gt=0, le=1)
    tree_method: Literal["hist", "exact", "approx"] = "hist"
    base_score: float | Literal["mean"] = "mean"
    missing: Literal["allow", "impute", "refuse"] = "refuse"
    monotone: dict[str, Literal[-1, 0, 1]] = {}
    volume_as: Literal["weight", "offset"] = "weight"
    random_state: int = 0


class Uncertainty(_Part):
    """Sources beside the sampling that the ledger of a total names, see `ledger.uncertainty_ledger`."""

    counts: str | None = None
    draws: dict[str, str] = {}
    factors: dict[str, float] = {}
    objectives: list[Literal["poisson", "tweedie", "gamma", "two-part", "log"]] = []
    learners: list[Literal["forest", "splines", "process", "network"]] = []


class Validation(_Part):
    """How the model is put to the test."""

    folds: int = Field(default=5, ge=2, le=50, strict=True)
    blocks_degrees: float = Field(default=15, gt=0, le=90)
    applicability_by_member: StrictBool = False


class Explain(_Part):
    """What is told about the predictors; all but the first takes minutes."""

    importance: StrictBool = True
    effects: StrictBool = False
    drivers: StrictBool = False


class Budget(_Part):
    """What is added up."""

    depth: tuple[float, float] | None = None
    regions: list[str] = Field(default=["basins"], min_length=1)
    clip_to_seafloor: StrictBool | None = None
    kind: Literal["stock", "flux", "mean"] | None = None

    @field_validator("regions", mode="before")
    @classmethod
    def _one_or_several(cls, given):
        return [given] if isinstance(given, str) else given

    @field_validator("depth")
    @classmethod
    def _top_above_bottom(cls, depth):
        if depth is not None and not 0 <= depth[0] < depth[1]:
            msg = f"depth must be [top, bottom] in metres, positive down; got {list(depth)}. Example: [0, 200]"
            raise ValueError(msg)
        return depth


class Reference(_Part):
    """A published value to stand beside."""

    value: float
    units: str
    source: str


class Recipe(_Part):
    """
    A map's recipe, as read from TOML.

    Parameters
    ----------
    title : str
    observations, environment, scenarios, model, validation, uncertainty, explain, budget, reference
        The tables of the file; all but the first two may be left out.
    credit : str
        Who is to be thanked wherever the map goes: data sources, citations, licences.
    licence : str
        Under which the map may be used, such as CC BY 4.0.
    remarks : str
        Plain words for the report.

    Examples
    --------
    >>> recipe = Recipe(
    ...     title="Copepods",
    ...     observations={"file": "samples.csv", "target": "biomass", "units": "mg m-3"},
    ...     environment={"files": ["environment.nc"]},
    ... )
    >>> recipe.model.objective
    'poisson'
    """

    title: str
    credit: str = ""
    licence: str = ""
    remarks: str = ""
    observations: Observations
    environment: Environment
    scenarios: dict[str, Scenario] = {}
    model: Model = Model()
    validation: Validation = Validation()
    uncertainty: Uncertainty = Uncertainty()
    explain: Explain = Explain()
    budget: Budget = Budget()
    reference: list[Reference] = []

    @field_validator("reference", mode="before")
    @classmethod
    def _one_or_several(cls, given):
        return [given] if isinstance(given, dict) else given

    @model_validator(mode="after")
    def _one_sun(self):
        told = self.environment
        if told.day_and_night and SUN in (*told.derived, *told.fixed):
            msg = f"environment.day_and_night brings {SUN} by itself: take {SUN} out of derived and fixed"
            raise ValueError(msg)
        if told.day_and_night and told.predictors and SUN not in told.predictors:
            msg = f"environment.day_and_night brings {SUN}, which is not among the predictors: add it to them"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _groups_are_named(self):
        if self.model.resampling == "groups" and self.observations.group is None:
            msg = "model.resampling = 'groups' needs observations.group: name the column of the cruise, or use 'blocks'"
            raise ValueError(msg)
        return self

    def digest(self):
        """
        Identify the recipe by its content.

        Returns
        -------
        str
            SHA-256 of the canonical JSON.
        """
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def read_recipe(path):
    """
    Read and check a recipe.

    Parameters
    ----------
    path : str or pathlib.Path
        A TOML file.

    Returns
    -------
    Recipe

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    SchemaError
        If the file is no TOML, or a key is unknown, missing or has a wrong value; the message names the key,
        the rule and the nearest right name.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "recipe.toml")
    >>> _ = path.write_text('titel = "Copepods"')
    >>> read_recipe(path)
    Traceback (most recent call last):
    ...
    aqqua_science.schema.SchemaError: recipe.toml: unknown key 'titel'. Did you mean 'title'? ...
    """
    path = Path(path)
    if not path.is_file():
        msg = f"there is no recipe {path}. Pass the path of a TOML file; maps/README.md lists those that come along."
        raise FileNotFoundError(msg)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"{path.name} is not valid TOML: {error}. Strings stand in double quotes, tables in [brackets]."
        raise SchemaError(msg) from error
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        faults = sorted(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
        raise SchemaError("; ".join(f"{path.name}: {_explain(fault)}" for fault in faults[:5])) from None


def _explain(fault):
    """One fault as value, rule and remedy."""
    place = [p for p in fault["loc"] if not (isinstance(p, str) and p in _UNION_TAGS)]
    key = ".".join(map(str, place))
    if fault["type"] == "extra_forbidden":
        names = list(_fields_at(place[:-1]))
        return f"unknown key {key!r}.{nearest_name(place[-1], names)} Allowed here: {', '.join(names)}"
    if fault["type"] == "missing":
        return f"the key {key!r} is missing. {_EXAMPLES.get(key, 'Add it to the recipe.')}"
    if fault["type"] in ("tuple_type", "too_short", "too_long", "missing_argument") or "tuple" in fault["msg"].lower():
        return f"{key} = {fault['input']!r} will not do: give two numbers, [lowest, highest]"
    rule = fault["msg"].removeprefix("Value error, ")
    if not key:
        return rule
    return f"{key} = {fault['input']!r} will not do: {rule[:1].lower()}{rule[1:]}"


_UNION_TAGS = {"str", "int", "float", "bool", "literal['mean']", "list[union[str,int,float,bool]]"}
_EXAMPLES = {
    "title": 'Add for example: title = "Copepod biomass, 0-200 m".',
    "observations": "Add a table [observations] with file, target and units.",
    "observations.file": 'Add for example: file = "samples.csv".',
    "observations.target": 'Add for example: target = "biomass".',
    "observations.units": 'Add for example: units = "mg m-3".',
    "environment": "Add a table [environment] with files and predictors.",
    "environment.files": 'Add for example: files = ["environment.nc"].',
}


def _fields_at(place):
    if place[:1] == ["scenarios"]:
        return Scenario.model_fields
    part = Recipe
    for name in place:
        if isinstance(name, str):
            annotation = part.model_fields[name].annotation
            part = {"reference": Reference, "traps": Traps, "diversity": Diversity}.get(name, annotation)
    return part.model_fields
