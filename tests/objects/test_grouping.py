"""Groups of unknown objects: planted clusters, and a log that survives kills, second thoughts and second people."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import QuantileTransformer

from aqqua_science.objects.grouping import Groups
from aqqua_science.objects.membership import ACCEPTED, FREE


def planted(seed=0, n=60, *, n_groups=4, spread=8.0, n_noise=30):
    """Objects around four centres, and some anywhere."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(1).normal(size=(n_groups, 6)) * spread / 2
    truth = np.repeat(np.arange(n_groups), n)
    noise = rng.uniform(-2.5 * spread, 2.5 * spread, size=(n_noise, 6))
    return np.concatenate([centres[truth] + rng.normal(size=(len(truth), 6)), noise]), np.append(truth, [-1] * n_noise)


@pytest.fixture
def features():
    return planted()[0]


@pytest.fixture
def groups(features, tmp_path):
    return Groups.from_features(features, log=tmp_path / "anna.jsonl", author="anna")


def state(groups):
    """All that a person sees."""
    return groups.table.to_json(), groups.summary().sort_values("group").to_json(orient="values")


def members(groups, group):
    return groups.table.query("group == @group")["object"].tolist()


def test_planted_clusters_are_found():
    x, truth = planted()
    table = Groups.from_features(x).table
    clustered = table["group"].notna().to_numpy()
    assert clustered[truth >= 0].mean() > 0.8
    assert adjusted_rand_score(truth[clustered], table["group"][clustered]) > 0.9


def test_groups_are_numbered_by_size():
    x, _ = planted(n_noise=0)
    summary = Groups.from_features(x[np.r_[0:60, 60:100, 120:150, 180:200]]).summary()
    assert summary["group"].tolist() == [f"g{k + 1}" for k in range(len(summary))]
    assert summary["n_objects"].is_monotonic_decreasing


def test_growing_proposes_true_members_first():
    x, truth = planted(n=120)
    groups = Groups.from_features(x)
    for name in groups.summary()["group"][:4]:
        inside = members(groups, name)
        kind = np.bincount(truth[inside].clip(0)).argmax()
        groups.reject(name, inside[::2])
        # Refused objects are not proposed to the same group, so a fresh one asks for them.
        seed = groups.create(inside[:20:2])
        proposed = groups.grow(seed, 40)
        assert (truth[proposed["object"]] == kind).mean() > 0.95
        assert proposed["distance"].is_monotonic_increasing
        assert groups.grow(name, 40)["object"].isin(inside[::2]).sum() == 0


def test_distances_are_means_over_the_five_nearest_members():
    x = np.array([[0.0], [1], [2], [3], [4], [5], [100], [10], [20]])
    groups = Groups.from_features(x, min_size=50)
    seed = groups.create(list(range(7)))
    proposed = groups.grow(seed, 5)
    assert proposed["object"].tolist() == [7, 8]
    # Members 1 to 5 are nearest to both: in the mean 7 and 17 away, on the scale of one standard deviation.
    np.testing.assert_allclose(proposed["distance"], np.array([7, 17]) / x.std())
    assert groups.grow(seed, 1)["object"].tolist() == [7]
    groups.accept(seed, [7, 8])
    assert groups.grow(seed, 5).empty


def test_a_group_of_two_kinds_is_parted():
    x, _ = planted(n_noise=0)
    groups = Groups.from_features(x)
    first, second = groups.summary()["group"][:2]
    expected = {frozenset(members(groups, first)), frozenset(members(groups, second))}
    groups.merge(first, second)
    assert len(members(groups, first)) == sum(map(len, expected))
    fresh = groups.split(first)
    assert {frozenset(members(groups, first)), frozenset(members(groups, fresh))} == expected
    assert len(members(groups, first)) >= len(members(groups, fresh))


def test_decisions_show_in_the_table(groups):
    free = groups.table.query("status == @FREE")["object"].tolist()[:3]
    groups.accept("g1", free)
    groups.name("g1", "Copepoda")
    groups.approve("g1")
    table = groups.table.set_index("object")
    assert (table.loc[free, "status"] == ACCEPTED).all()
    assert (table.loc[table["group"] == "g1", "taxon"] == "Copepoda").all()
    assert table.loc[table["group"] != "g1", "taxon"].isna().all()
    assert groups.summary().set_index("group")["approved"].to_dict()["g1"]
    groups.split("g1")
    assert not groups.summary()["approved"].any()
    groups.reject("g2")
    assert "g2" not in groups.table["group"].tolist()


def test_what_two_groups_know_is_kept_when_they_merge(groups):
    odd = members(groups, "g2")[0]
    groups.reject("g2", [odd])
    groups.name("g2", "Copepoda")
    groups.approve("g1")
    groups.merge("g1", "g2")
    assert odd not in groups.grow("g1", 10**6)["object"].tolist()
    told = groups.summary().set_index("group").loc["g1"]
    assert told["taxon"] == "Copepoda"
    assert not told["approved"]
    assert "g2" not in groups.summary()["group"].tolist()
    fresh = groups.split("g1")
    assert odd not in groups.grow(fresh, 10**6)["object"].tolist()


def busy(groups):
    """A session in which everything happens."""
    free = groups.table.query("status == @FREE")["object"].tolist()
    groups.accept("g1", free[:2])
    groups.name("g1", "Ctenophora")
    groups.reject("g2", members(groups, "g2")[:4])
    fresh = groups.split("g3")
    groups.approve(fresh)
    groups.merge("g1", fresh)
    groups.create(free[5:8])
    groups.undo()
    groups.reject("g4")
    return groups


def test_the_log_alone_gives_the_same_state(groups, features):
    busy(groups)
    again = Groups.open(groups.log.path, features, author="anna")
    assert state(again) == state(groups)
    assert again.conflicts == []


def test_same_decisions_same_bytes(features, tmp_path):
    logs = [busy(Groups.from_features(features, log=tmp_path / name)).log.path for name in ("one", "two")]
    assert logs[0].read_bytes() == logs[1].read_bytes()


def test_undoing_all_brings_back_the_beginning(groups, features):
    before = state(groups)
    history = []
    for step in (
        lambda: groups.name("g1", "Salpida"),
        lambda: groups.merge("g1", "g2"),
        lambda: groups.split("g3"),
        lambda: groups.approve("g3"),
        lambda: groups.reject("g4"),
    ):
        history.append(state(groups))
        step()
    for expected in reversed(history):
        groups.undo()
        assert state(groups) == expected
    assert state(groups) == before == state(Groups.open(groups.log.path, features))
    with pytest.raises(ValueError, match="nothing"):
        groups.undo()


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_line_cut_by_a_kill_is_lost_alone(groups, features, cut):
    groups.name("g1", "Appendicularia")
    expected = state(groups)
    groups.name("g2", "Thaliacea")
    path = groups.log.path
    path.write_bytes(path.read_bytes()[:-cut])
    again = Groups.open(path, features, author="anna")
    assert state(again) == expected
    again.name("g3", "Doliolida")
    assert state(Groups.open(path, features)) == state(again)
    assert all(json.loads(line) for line in path.read_text().splitlines())


SESSION = """
import sys
import numpy as np
from aqqua_science.objects.grouping import Groups
groups = Groups.open(sys.argv[1], np.load(sys.argv[2]), author="anna")
for number in range(10**6):
    groups.name("g1", f"taxon {number}")
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
"""


def test_what_was_decided_before_a_kill_is_there(groups, features, tmp_path):
    np.save(tmp_path / "features.npy", features)
    arguments = [sys.executable, "-c", SESSION, groups.log.path, tmp_path / "features.npy"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        said = [process.stdout.readline() for _ in range(20)]
        process.kill()
        said += process.stdout.readlines()
    again = Groups.open(groups.log.path, features, author="anna")
    found = int(again.summary().set_index("group")["taxon"]["g1"].removeprefix("taxon "))
    # The event is on disk before the session goes on, so at most one more than was said has been written.
    whole = [int(line) for line in said if line.endswith("\n")]
    assert found - whole[-1] in (0, 1)
    again.name("g1", "Copepoda")


def test_damage_within_the_log_is_told(groups, features):
    groups.name("g1", "Appendicularia")
    groups.name("g2", "Thaliacea")
    lines = groups.log.path.read_text().splitlines()
    lines[1] = lines[1][:20]
    groups.log.path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match="line 2"):
        Groups.open(groups.log.path, features)
    groups.log.path.write_text("{}\n")
    with pytest.raises(ValueError, match="line 1"):
        Groups.open(groups.log.path, features)


def test_a_log_that_another_process_wrote_to_is_not_garbled(groups, features):
    other = Groups.open(groups.log.path, features, author="ben")
    other.name("g1", "Annelida")
    with pytest.raises(OSError, match="Open it again"):
        groups.name("g1", "Chaetognatha")
    assert state(Groups.open(groups.log.path, features)) == state(other)
    groups.log.path.write_bytes(b"")
    with pytest.raises(OSError, match="Open it again"):
        other.name("g1", "Chaetognatha")


def two_people(features, folder):
    anna = Groups.from_features(features, log=folder / "anna.jsonl", author="anna")
    (folder / "ben.jsonl").write_bytes(anna.log.path.read_bytes())
    return anna, Groups.open(folder / "ben.jsonl", features, author="ben")


def test_work_of_two_people_is_one_whoever_merges(features, tmp_path):
    anna, ben = two_people(features, tmp_path)
    anna.name("g1", "Copepoda")
    fresh = anna.split("g2")
    ben.merge("g3", "g4")
    ben.approve("g3")
    assert anna.merge_log(ben) == 2
    assert ben.merge_log(tmp_path / "anna.jsonl") == 2
    assert state(anna) == state(ben)
    assert anna.conflicts == ben.conflicts == []
    assert anna.merge_log(ben) == 0
    summary = anna.summary().set_index("group")
    assert fresh in summary.index
    assert "g4" not in summary.index
    assert summary.loc["g3", "approved"]
    assert state(Groups.open(anna.log.path, features)) == state(ben)
    anna.name("g3", "Ostracoda")
    assert "ben" in {event["author"] for event in anna.log.events}


def test_where_two_people_disagree_the_first_holds_and_the_other_is_told(features, tmp_path):
    anna, ben = two_people(features, tmp_path)
    free = anna.table.query("status == @FREE")["object"].tolist()
    anna.accept("g1", free[:2])
    ben.accept("g2", free[1:3])
    ben.merge("g3", "g4")
    anna.name("g4", "Radiolaria")
    anna.reject("g2")
    ben.name("g2", "Foraminifera")
    anna.merge_log(ben)
    ben.merge_log(anna)
    assert state(anna) == state(ben)
    table = anna.table.set_index("object")
    assert table.loc[free[:2], "group"].tolist() == ["g1", "g1"]
    assert anna.summary().set_index("group").loc["g3", "taxon"] == "Radiolaria"
    reasons = [event["reason"] for event in anna.conflicts]
    assert any(str(free[1]) in reason for reason in reasons)
    assert any("g2" in reason for reason in reasons)


def test_what_is_said_of_a_merged_group_holds_for_its_heir(features, tmp_path):
    anna, ben = two_people(features, tmp_path)
    anna.merge("g3", "g4")
    ben.name("g4", "Radiolaria")
    ben.approve("g4")
    anna.merge_log(ben)
    assert anna.summary().set_index("group").loc["g3", ["taxon", "approved"]].tolist() == ["Radiolaria", True]
    assert anna.conflicts == []


def test_undo_takes_back_own_events_only(features, tmp_path):
    anna, ben = two_people(features, tmp_path)
    anna.name("g1", "Copepoda")
    ben.name("g2", "Rhizaria")
    anna.merge_log(ben)
    assert anna.undo()["taxon"] == "Copepoda"
    assert anna.summary().set_index("group")["taxon"].dropna().to_dict() == {"g2": "Rhizaria"}


def test_logs_that_do_not_belong_together_are_refused(features, tmp_path):
    anna, ben = two_people(features, tmp_path)
    namesake = Groups.open(ben.log.path, features, author="anna")
    anna.name("g1", "Copepoda")
    namesake.name("g1", "Rhizaria")
    with pytest.raises(ValueError, match="anna"):
        anna.merge_log(namesake)
    with pytest.raises(ValueError, match="different clusters"):
        anna.merge_log(Groups.from_features(features, min_size=25))


KINDS = st.sampled_from(["accept", "reject", "split", "merge", "name", "approve", "dissolve", "undo"])


@settings(max_examples=10)
@given(st.lists(st.tuples(st.booleans(), KINDS, st.integers(0, 50), st.integers(0, 50)), max_size=12))
def test_any_two_sessions_merge_alike(steps):
    x, _ = planted(n=15, n_noise=10)
    people = [Groups.from_features(x, min_size=5, author=name) for name in ("anna", "ben")]
    for who, kind, a, b in steps:
        act(people[who], kind, a, b)
    people[0].merge_log(people[1])
    people[1].merge_log(people[0])
    assert state(people[0]) == state(people[1])
    table = people[0].table
    assert (table["group"].isna() == (table["status"] == FREE)).all()
    assert set(table["group"].dropna()) <= set(people[0].summary()["group"])


def act(groups, kind, a, b):
    """One step of a session, if it is possible."""
    names = groups.summary()["group"].tolist()
    free = groups.table.query("status == @FREE")["object"].tolist()
    name, other = (names[k % len(names)] if names else "none" for k in (a, b))
    steps = {
        "accept": lambda: groups.accept(name, free[b % 5 : b % 5 + 3]),
        "reject": lambda: groups.reject(name, members(groups, name)[:3]),
        "split": lambda: groups.split(name),
        "merge": lambda: groups.merge(name, other),
        "name": lambda: groups.name(name, f"taxon {b}"),
        "approve": lambda: groups.approve(name),
        "dissolve": lambda: groups.reject(name),
        "undo": groups.undo,
    }
    try:
        steps[kind]()
    except ValueError:
        return


def test_of_many_objects_a_part_is_clustered(features):
    groups = Groups.from_features(features, n_clustered=150, min_size=8)
    assert (groups.table["status"] == FREE).sum() >= len(features) - 150
    assert len(groups.summary()) >= 3
    assert state(groups) == state(Groups.from_features(features, n_clustered=150, min_size=8))


def test_identifiers_come_from_the_features(features, tmp_path):
    names = [f"o{k}" for k in range(len(features))]
    array = xr.DataArray(features, dims=("object", "feature"), attrs={"fingerprint": "abc"})
    array = array.assign_coords(object_id=("object", names))
    groups = Groups.from_features(array, log=tmp_path / "log")
    assert groups.table["object"].tolist() == names
    groups.reject("g1", members(groups, "g1")[:2])
    assert state(Groups.open(tmp_path / "log", array)) == state(groups)
    with pytest.raises(ValueError, match=r"fingerprint def.*the groups were made from features of fingerprint abc"):
        Groups.open(tmp_path / "log", array.assign_attrs(fingerprint="def"))
    with pytest.raises(ValueError, match="same order"):
        Groups.open(tmp_path / "log", array[::-1])
    with pytest.raises(FileExistsError, match="never overwritten"):
        Groups.from_features(array, log=tmp_path / "log")


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A log of many objects with features of length one, as many encoders give them."""
    x = np.random.default_rng(0).normal(size=(10_000, 16))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    log = tmp_path_factory.mktemp("many") / "log"
    Groups.from_features(x, log=log, n_clustered=0)
    return log, x


def opens(log, features):
    try:
        Groups.open(log, features)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("seed", range(5))
def test_another_order_is_noticed(many, seed):
    log, x = many
    rng = np.random.default_rng(seed)
    swapped, (one, other) = x.copy(), rng.choice(len(x), 2, replace=False)
    swapped[[one, other]] = x[[other, one]]
    assert not opens(log, x[rng.permutation(len(x))])
    assert not opens(log, swapped)


def test_the_last_bits_of_features_do_not_matter(many):
    log, x = many
    assert opens(log, x)
    assert opens(log, x.astype(np.float32))
    assert opens(log, x + 1e-6 * np.random.default_rng(0).normal(size=x.shape))


def test_features_of_other_objects_are_refused(features, tmp_path):
    names = np.array([f"o{k}" for k in range(len(features))])
    array = xr.DataArray(features, dims=("object", "feature")).assign_coords(object_id=("object", names))
    Groups.from_features(array, log=tmp_path / "log")
    assert opens(tmp_path / "log", features)
    assert not opens(tmp_path / "log", array.assign_coords(object_id=("object", names[::-1])))
    # Who names the objects in other words than the features do is not held to the latter.
    Groups.from_features(array, log=tmp_path / "own", objects=range(len(features)))
    assert opens(tmp_path / "own", array)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda g: g.name("g99", "Copepoda"), "g99"),
        (lambda g: g.merge("g1", "g1"), "itself"),
        (lambda g: g.accept("g1", members(g, "g2")[:1]), "'g2'"),
        (lambda g: g.accept("g1", [10**6]), "1000000"),
        (lambda g: g.accept("g1", []), "none"),
        (lambda g: g.reject("g1", ["x"]), "x"),
        (lambda g: g.create(members(g, "g2")[:1]), "'g2'"),
        (lambda g: g.grow("g99"), "g99"),
    ],
)
def test_what_cannot_be_done_is_refused_and_not_logged(groups, act, message):
    before = groups.log.path.read_bytes()
    with pytest.raises(ValueError, match=message):
        act(groups)
    assert groups.log.path.read_bytes() == before


def test_features_that_cannot_be_grouped_are_refused(features):
    holed = features.copy()
    holed[2, 0] = np.nan
    with pytest.raises(ValueError, match="row 2"):
        Groups.from_features(holed)
    with pytest.raises(ValueError, match="two objects"):
        Groups.from_features(features[:1])
    with pytest.raises(ValueError, match="once"):
        Groups.from_features(features, objects=["a"] * len(features))
    few = Groups.from_features(features[:5])
    assert few.table["status"].eq(FREE).all()
    assert few.summary().empty
    assert isinstance(few.table, pd.DataFrame)


@pytest.mark.slow
def test_groups_of_real_objects_grow_by_their_kind(shared_data):
    table = pd.read_csv(shared_data / "insitu/gkampolis+WandererID/Data/Data.txt", sep="\t")
    place = ["!Item", "Label", "X", "Y", "XM", "YM", "BX", "BY", "XStart", "YStart", "Angle", "Tag", "Ident", "Status"]
    x = QuantileTransformer(n_quantiles=200, output_distribution="normal").fit_transform(table.drop(columns=place))
    taxon, rng = table["Ident"].to_numpy(), np.random.default_rng(0)
    gains = []
    for name in ("Copepoda", "Chaetognatha", "Cladocera", "Pisces", "Euphausiids", "barn_cyprids"):
        groups = Groups.from_features(x, n_clustered=0)
        seed = groups.create(rng.choice(np.flatnonzero(taxon == name), 15, replace=False).tolist())
        gains.append((taxon[groups.grow(seed, 50)["object"]] == name).mean() / (taxon == name).mean())
    assert np.mean(gains) > 5
    assert min(gains) > 2
