"""EcoTaxa's own exports of abundance, concentration and biovolume, reproduced from its objects to the last digit."""

import numpy as np
import pandas as pd
import pytest

from aqqua_science.samples.aggregate import by_group

# What EcoTaxa's own tests do to their project before they export it: 100 m3 filtered and 1/2 looked at in three
# samples; of the fourth, 400 m3, parts of which 1/4, 1/8 and unknown shares were looked at; every second object, in the
# order of their names, is validated (ecotaxa_back, QA/py/tests/test_export_sci.py).
FOURTH = [
    ("m106_mn01_n4_sml_1", "Micrococcineae", 413.0, "generic_m106_mn01_n4_sml", 1 / 4),
    ("m106_mn01_n4_sml_2", "Micrococcineae", 929.0, "generic_m106_mn01_n8_sml", 1 / 8),
    ("m106_mn01_n4_sml_3", "Pilimelia", 490.0, "generic_m106_mn01_nX_sml", np.nan),
    ("m106_mn01_n4_sml_4", "Pilimelia", 490.0, "generic_m106_mn01_nZ_sml", np.nan),
]
PIXEL_UM = 10.6


@pytest.fixture(scope="module")
def exports(shared_data):
    return shared_data / "images" / "ecotaxa+ecotaxa_back" / "QA" / "py" / "data" / "ref_exports"


@pytest.fixture(scope="module")
def project(exports):
    """Objects of the project, as EcoTaxa exports them."""
    files = sorted((exports / "tsv_all_entities_no_img_no_ids").glob("*.tsv"))
    table = pd.concat([pd.read_csv(path, sep="\t") for path in files])
    table = table[table["object_id"] != "m106_mn01_n3_sml_1112"]  # a second image of the object before
    return pd.DataFrame(
        {
            "object_id": table["object_id"],
            "sample_id": table["sample_id"],
            "acquisition_id": table["acq_id"],
            "taxon": table["object_annotation_category"],
            "area_px": table["object_area"].astype(float),
        }
    ).reset_index(drop=True)


@pytest.fixture(scope="module")
def measured(project):
    """The project with volumes, fractions, biovolumes and states."""
    columns = ["object_id", "taxon", "area_px", "acquisition_id", "subsample_fraction"]
    fourth = pd.DataFrame(FOURTH, columns=columns).assign(sample_id="m106_mn01_n4_sml")
    objects = pd.concat([project.assign(subsample_fraction=1 / 2), fourth], ignore_index=True)
    esd = 2 * np.sqrt(objects["area_px"] / np.pi) * PIXEL_UM
    return objects.assign(
        taxon_status=np.where(np.arange(len(objects)) % 2 == 0, "V", "P"), biovolume_um3=np.pi / 6 * esd**3
    )


def aggregated(objects, key):
    """By group, for all samples of the objects' key."""
    samples = objects[key].drop_duplicates()
    samples = samples.assign(volume_m3=np.where(samples["sample_id"] == "m106_mn01_n4_sml", 400.0, 100.0))
    return by_group(objects, samples, key=key, totals=["biovolume_um3"])


def counted(objects, key, *, chosen=None):
    """Objects seen, all of them validated; of the `chosen` ones in all samples."""
    samples = objects[key].drop_duplicates().assign(volume_m3=1.0)
    found = by_group(objects if chosen is None else objects[chosen], samples, key=key)
    return found.rename(columns={"count": "seen"}).assign(taxon_status="V")


def compared(ours, exports, name, column, value):
    """Our values and EcoTaxa's, row by row."""
    reference = pd.read_csv(exports / name / "ref.tsv", sep="\t", dtype=str, keep_default_na=False).rename(
        columns={"sampleid": "sample_id", "acquisid": "acquisition_id", "status": "taxon_status", "taxonid": "taxon"}
    )
    reference[value] = [float(text) for text in reference[value]]
    keys = [name for name in reference.columns if name != value]
    joined = reference.merge(ours, on=keys, how="outer", validate="one_to_one", indicator=True)
    assert (joined["_merge"] == "both").all()
    return joined[f"{column}"].to_numpy(), joined[value].to_numpy()


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("abundances_by_sample", ["sample_id"]),
        ("abundances_by_subsample", ["sample_id", "acquisition_id"]),
        ("abundances_whole_project", ["project"]),
    ],
)
def test_abundances_are_those_of_ecotaxa(project, exports, name, key):
    ours = counted(project.assign(project="p"), key).drop(columns="project", errors="ignore")
    np.testing.assert_array_equal(*compared(ours, exports, name, "seen", "count"))


def test_abundances_of_chosen_taxa_and_samples(project, exports):
    """Of chosen taxa there are zeros in all samples; in chosen samples there are zeros of their own taxa only."""
    ours = counted(project, ["sample_id"], chosen=project["taxon"].isin(["Cyclopoida", "Oncaeidae"]))
    np.testing.assert_array_equal(*compared(ours, exports, "abundances_by_sample_filtered_on_cat", "seen", "count"))
    ours = counted(project[project["sample_id"] != "m106_mn01_n2_sml"], ["sample_id"])
    np.testing.assert_array_equal(*compared(ours, exports, "abundances_by_sample_filtered_on_sample", "seen", "count"))


def test_abundances_of_taxa_that_were_renamed(project, exports):
    """Two taxa are left out, and eggs counted as Oncaeidae."""
    renamed = project.assign(taxon=project["taxon"].replace({"egg<other": "Oncaeidae", "small<egg": "Oncaeidae"}))
    chosen = ~project["taxon"].isin(["t001", "detritus"])
    ours = counted(renamed, ["sample_id", "acquisition_id"], chosen=chosen)
    np.testing.assert_array_equal(*compared(ours, exports, "abundances_by_subsample_mapped", "seen", "count"))


def test_an_earlier_state_of_the_project(exports):
    """One egg had another name then; an object with two images has two lines of one number."""
    table = pd.concat([pd.read_csv(path, sep="\t") for path in sorted((exports / "tsv_with_ids").glob("*.tsv"))])
    objects = table.drop_duplicates("objid").rename(columns={"object_annotation_category": "taxon"})
    np.testing.assert_array_equal(
        *compared(counted(objects, ["sample_id"]), exports, "concentrations", "seen", "count")
    )


def test_concentrations_are_those_of_ecotaxa_to_the_last_digit(measured, exports):
    ours = aggregated(measured, ["sample_id", "taxon_status"])
    pair = compared(ours, exports, "concentrations_by_sample", "objects_m3", "concentration")
    assert np.isnan(pair[1]).sum() == 2
    np.testing.assert_array_equal(*pair)


@pytest.mark.parametrize(
    ("name", "key", "only"),
    [
        ("biovolumes_by_sample", ["sample_id", "taxon_status"], "VP"),
        ("biovolumes_by_subsample", ["sample_id", "acquisition_id", "taxon_status"], "VP"),
        ("biovolumes_by_subsample_only_v", ["sample_id", "acquisition_id", "taxon_status"], "V"),
    ],
)
def test_biovolumes_are_those_of_ecotaxa_to_the_last_digit(measured, exports, name, key, only):
    ours = aggregated(measured[measured["taxon_status"].isin(list(only))], key)
    np.testing.assert_array_equal(*compared(ours, exports, name, "biovolume_um3_m3", "biovolume"))
