"""Types and checks of the file with everything that forecasting data learned."""

from typing import Annotated, Any, Literal, TypedDict

from annotated_types import MinLen

from rnnkit.data.forecasting.format import NUMERIC, Format, columns_of
from rnnkit.notices import notice
from rnnkit.ranges import Positive, PositiveInt, Steps
from rnnkit.structure import check

Statistics = list[tuple[float, Positive]]


class LearnedFormat(TypedDict):
    """The roles of columns that the first file resolved."""

    header: bool
    first_column: Literal[0, 1]
    time: list[str]
    time_format: str | None
    id: str | None
    target: Annotated[list[str], MinLen(1)]
    past_covariates: list[str]
    known_covariates: list[str]
    static_covariates: list[str]
    categorical: list[str]


class Learned(TypedDict):
    """See `rnnkit.data.forecasting.encoding.Encoding`."""

    format: LearnedFormat
    frequency: str | None
    season: PositiveInt
    context: Steps
    scaling: Literal["none", "standard", "mean", "robust"]
    location: Annotated[dict[str, list[float]], MinLen(1)]
    scale: Annotated[dict[str, list[Positive]], MinLen(1)]
    numbers: Statistics
    static: Statistics
    vocabularies: list[list[str]]
    static_vocabularies: list[list[str]]
    calendar: list[str]


def check_learned(learned: Any, given: Format, season: int | None) -> None:
    """Check the content of the file.

    Raises:
        ValueError: a value has another type, or values contradict each other or the arguments of the user.
    """
    check(learned, Learned)
    form = given.with_learned(learned["format"])
    for name in ("time", "target", "past_covariates", "known_covariates", "static_covariates", "categorical"):
        chosen = [one for one in getattr(given, name) if isinstance(one, str) and one != NUMERIC]
        if chosen and not set(chosen) <= set(getattr(form, name)):
            raise ValueError(f"format.{name} is {getattr(form, name)}, but data.{name}={chosen}")
    if not form.time and form.time_format != given.time_format:
        raise ValueError(f"format.time_format is {form.time_format}, but there are no columns of times")
    if season is not None and learned["season"] != season:
        raise ValueError(f"season is {learned['season']}, but data.times.season={season}")
    if learned["location"].keys() != learned["scale"].keys():
        raise ValueError("location and scale are of different series")
    channels = len(form.target) if form.multivariate else 1
    for name in ("location", "scale"):
        series = next((one for one, values in learned[name].items() if len(values) != channels), None)
        if series is not None:
            raise ValueError(f"{name}.{series} has {len(learned[name][series])} numbers for {channels} channels")
    columns = {
        "numbers": form.past(categorical=False),
        "vocabularies": form.past(categorical=True),
        "static": form.static(categorical=False),
        "static_vocabularies": form.static(categorical=True),
    }
    for name, names in columns.items():
        if len(learned[name]) != len(names):
            raise ValueError(f"{name} has {len(learned[name])} entries for {len(names)} columns")
    for name in ("vocabularies", "static_vocabularies"):
        if any(words != sorted(set(words)) for words in learned[name]):
            raise ValueError(f"{name} has names that are unsorted or repeated")


def upgraded(learned: dict[str, Any], form: Format, context: int | None, scaling: str | None) -> dict[str, Any]:
    """Convert the content of a file that an earlier version wrote, for data with these arguments."""
    found = learned["format"]
    if "time_format" not in found:  # the first version detected the format of times for each file
        found = {**found, "time_format": form.time_format}
        notice(
            "the run was trained by an earlier version, which used rows as steps and ignored time zones: train it "
            "again if rows were missing or times had a zone"
        )
    found = {**found, "time": list(columns_of(found["time"]))}
    if "header" not in found:  # the first version numbered columns without a header from 1
        found = form.learned() | found | {"first_column": int(form.table.header is False)}
    chosen = {"context": context or 96, "scaling": scaling or "standard"}  # the defaults of versions that chose nothing
    return {**chosen, **learned, "format": found}
