//! Which entry a name means.

use std::collections::BTreeSet;

use super::entry::EntryKind;
use super::error::CatalogError;
use super::identify::same_device_name;
use super::iso;

/// Fewer letters are no beginning of a grid's id.
const LEAST_OF_A_GRID: usize = 4;

/// The id among `ids` that `name` means; `called` gives the names of entries, each with its id.
///
/// A beginning of an id is a convenience, and comes last: a country's code must never mean another one.
pub(super) fn look_up(
    kind: EntryKind,
    name: &str,
    ids: &[&str],
    called: impl Fn() -> Vec<(String, String)>,
    also_called: impl Fn() -> Vec<(String, String)>,
) -> Result<String, CatalogError> {
    if ids.contains(&name) {
        return Ok(name.to_owned());
    }
    let unknown = |near| Err(CatalogError::Unknown { what: kind.name(), name: name.to_owned(), near });
    if kind == EntryKind::Grid
        && let Some(country) = iso::country(name)
    {
        return if ids.contains(&country.as_str()) { Ok(country) } else { unknown(Vec::new()) };
    }
    if let Some(id) = ids.iter().find(|id| id.eq_ignore_ascii_case(name)) {
        return Ok((*id).to_owned());
    }
    let called = called();
    let same = |names: &[(String, String)]| -> Vec<String> {
        let same = names.iter().filter(|(n, _)| same_device_name(n, name));
        same.map(|(_, id)| id.clone()).collect::<BTreeSet<_>>().into_iter().collect()
    };
    let lower = name.to_lowercase();
    let ids_that = |fits: &dyn Fn(&str) -> bool| -> Vec<String> {
        ids.iter().filter(|id| fits(id)).map(|id| (*id).to_owned()).collect()
    };
    // Three letters may be the code of a country that has no entry: they begin no other's name.
    let least = if kind == EntryKind::Grid { LEAST_OF_A_GRID } else { 1 };
    let mut among = same(&called);
    if among.is_empty() {
        among = same(&also_called());
    }
    if among.is_empty() && lower.len() >= least {
        among = ids_that(&|id| id.starts_with(&lower));
    }
    if among.len() != 1 && kind == EntryKind::Hardware {
        let words = words_of(&lower);
        let with_words = ids_that(&|id| words_of(id).is_superset(&words));
        if !words.is_empty() && !with_words.is_empty() {
            among = with_words;
        }
    }
    match among.as_slice() {
        [only] => Ok(only.clone()),
        [] => unknown(near(&lower, ids, &called)),
        _ => Err(CatalogError::Ambiguous { name: name.to_owned(), among }),
    }
}

/// The words of a device's name, but for those that all have: `a100-40gb` and `NVIDIA A100 40GB` are `a100`, `40gb`.
fn words_of(name: &str) -> BTreeSet<String> {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty());
    words
        .map(str::to_lowercase)
        .filter(|w| !["nvidia", "amd", "intel", "geforce", "instinct", "gpu"].contains(&w.as_str()))
        .collect()
}

/// Up to five ids that look like `name`, or whose entries are called something like it, best first.
fn near(name: &str, ids: &[&str], called: &[(String, String)]) -> Vec<String> {
    let own = ids.iter().map(|id| ((*id).to_owned(), (*id).to_owned()));
    let names = called.iter().map(|(n, id)| (n.to_lowercase(), id.clone()));
    let mut scored: Vec<(f64, String)> = own
        .chain(names)
        .map(|(n, id)| (strsim::jaro_winkler(name, &n) + if n.contains(name) { 1.0 } else { 0.0 }, id))
        .filter(|(score, _)| *score > 0.75)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let mut best: Vec<String> = Vec::new();
    for (_, id) in scored {
        if best.len() < 5 && !best.contains(&id) {
            best.push(id);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use crate::catalog::{Catalog, Device, GridEntry};

    #[test]
    fn codes_and_names_of_countries_come_before_beginnings_of_ids_in_any_case() {
        for (name, id) in [
            ("uk", "gbr"),
            ("UK", "gbr"),
            ("gb", "gbr"),
            ("ua", "ukr"),
            ("us", "usa"),
            ("CH", "che"),
            ("cl", "chl"),
            ("FRA", "fra"),
            ("France", "fra"),
            ("united kingdom", "gbr"),
            ("Canada", "can"),
            ("US-State-CA", "us-state-ca"),
            ("World", "world"),
            ("AWS-eu-north", "aws-eu-north-1"),
        ] {
            assert_eq!(Catalog::default().load::<GridEntry>(name).expect(name).id, id, "{name}");
        }
    }

    #[test]
    fn states_and_cities_of_cloud_regions_have_their_names_and_three_letters_begin_none() {
        for (name, id) in [
            ("california", "us-state-ca"),
            ("Quebec", "canada-qc"),
            ("Hamina", "gcp-europe-north1"),
            // The country, and not the state.
            ("Ireland", "irl"),
        ] {
            assert_eq!(Catalog::default().load::<GridEntry>(name).expect(name).id, id, "{name}");
        }
        let error = Catalog::default().load::<GridEntry>("us-").expect_err("three letters").to_string();
        assert!(error.contains("unknown grid `us-`"), "{error}");
    }

    #[test]
    fn a_device_is_found_by_some_of_its_words_and_asked_about_where_several_have_them() {
        for (name, id) in [
            ("4090", "rtx-4090-24gb"),
            ("RTX 4090", "rtx-4090-24gb"),
            ("NVIDIA H200", "h200-sxm5-141gb"),
            ("a100 pcie 40gb", "a100-pcie-40gb"),
            ("MI300X", "mi300x-192gb"),
        ] {
            assert_eq!(Catalog::default().load::<Device>(name).expect(name).id, id, "{name}");
        }
        for (name, some) in
            [("A100", "`a100-sxm4-80gb`"), ("H100", "`h100-pcie-80gb`"), ("a100-40gb", "`a100-pcie-40gb`")]
        {
            let error = Catalog::default().load::<Device>(name).expect_err(name).to_string();
            assert!(error.contains("could be several entries") && error.contains(some), "{name}: {error}");
        }
    }

    #[test]
    fn the_code_of_a_country_that_has_no_entry_means_no_other() {
        // Monaco, Afghanistan, American Samoa
        for name in ["mc", "AFG", "as"] {
            let error = Catalog::default().load::<GridEntry>(name).expect_err(name).to_string();
            assert!(error.contains(&format!("unknown grid `{name}`\n")), "{error}");
        }
    }

    #[test]
    fn the_names_that_drivers_print_are_understood_or_suggested() {
        for (name, id) in [("NVIDIA A100-SXM4-80GB", "a100-sxm4-80gb"), ("A100-SXM4-80GB", "a100-sxm4-80gb")] {
            assert_eq!(Catalog::default().load::<Device>(name).expect(name).id, id);
        }
        let error = Catalog::default().load::<Device>("NVIDIA A100-SXM4-80G").expect_err("none").to_string();
        assert!(error.contains("did you mean `a100-sxm4-80gb`"), "{error}");
        let error = Catalog::default().load::<GridEntry>("Frnace").expect_err("none").to_string();
        assert!(error.contains("did you mean `fra`"), "{error}");
    }
}
