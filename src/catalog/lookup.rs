//! Which entry a name means.

use super::entry::EntryKind;
use super::error::CatalogError;
use super::identify::same_device_name;
use super::iso;

/// The id among `ids` that `name` means; `called` gives the names of entries, each with its id.
///
/// A beginning of an id is a convenience, and comes last: a country's code must never mean another one.
pub(super) fn look_up(
    kind: EntryKind,
    name: &str,
    ids: &[&str],
    called: impl Fn() -> Vec<(String, String)>,
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
    let mut named: Vec<String> =
        called.iter().filter(|(n, _)| same_device_name(n, name)).map(|(_, id)| id.clone()).collect();
    named.sort();
    named.dedup();
    let lower = name.to_lowercase();
    let begun = || ids.iter().filter(|id| !lower.is_empty() && id.starts_with(&lower)).map(|id| (*id).to_owned());
    let among = if named.is_empty() { begun().collect() } else { named };
    match among.as_slice() {
        [only] => Ok(only.clone()),
        [] => unknown(near(&lower, ids, &called)),
        _ => Err(CatalogError::Ambiguous { name: name.to_owned(), among }),
    }
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
