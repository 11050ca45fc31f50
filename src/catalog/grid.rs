//! How dirty electricity is: one file a zone under `profiles/grid/`.

use serde::{Deserialize, Serialize};

use super::entry::{Entry, EntryKind};
use super::intensity_basis::IntensityBasis;
use super::iso;
use super::site::check_pue;
use super::sourced::Sourced;
use crate::units::{GramsCo2ePerKwh, LitresPerKwh, Ratio, UsdPerKwh};

/// A file under `profiles/grid/`: a zone with its own intensity, or a cloud region that is fed by a zone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GridEntry {
    /// The name on the command line.
    pub id: String,
    /// The name for people.
    pub name: String,
    /// The country that it is a part of, by the id of its grid.
    pub country: Option<String>,
    /// Who runs the region, for a cloud region.
    pub provider: Option<String>,
    /// The zone whose electricity it uses; needed where `intensity` is not given.
    pub zone: Option<String>,
    /// Location-based average emissions of a kilowatt-hour.
    pub intensity: Option<Sourced<GramsCo2ePerKwh>>,
    /// Water used to generate a kilowatt-hour.
    pub water: Option<Sourced<LitresPerKwh>>,
    /// Price of a kilowatt-hour.
    pub electricity_price: Option<Sourced<UsdPerKwh>>,
    /// Power usage effectiveness of the region's data centres.
    pub pue: Option<Sourced<Ratio>>,
    /// Water used on site for a kilowatt-hour of computing.
    pub wue: Option<Sourced<LitresPerKwh>>,
    /// A caveat.
    pub notes: Option<String>,
}

impl Entry for GridEntry {
    const KIND: EntryKind = EntryKind::Grid;

    fn id(&self) -> &str {
        &self.id
    }

    fn called(&self) -> Vec<&str> {
        vec![&self.name]
    }

    fn also_called(&self) -> Vec<String> {
        // `California, United States`, `AWS eu-west-1 (Ireland)`
        let part = self.name.split_once(',').filter(|_| self.country.is_some()).map(|(part, _)| part.to_owned());
        let place = self.name.split_once('(').filter(|_| self.provider.is_some());
        let place = place.and_then(|(_, rest)| Some(rest.split(')').next()?.trim().to_owned()));
        part.into_iter().chain(place).collect()
    }

    fn check(&self) -> Result<(), (&'static str, String)> {
        if self.intensity.is_none() && self.zone.is_none() {
            return Err(("id", "expected an `intensity`, or the `zone` that feeds it".to_owned()));
        }
        check_pue(self.pue.as_ref())
    }
}

/// Where a grid is, as tables of others name it; what is not known is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Location {
    /// The country.
    pub country_name: Option<String>,
    /// Its three letters, in capitals.
    pub country_iso_code: Option<String>,
    /// The part of it, in lower case.
    pub region: Option<String>,
    /// Who runs the cloud.
    pub cloud_provider: Option<String>,
    /// What that provider calls the region.
    pub cloud_region: Option<String>,
}

impl Location {
    /// Of an entry and the zones that feed it; `name_of` is told the id of a country.
    pub(super) fn of(chain: &[GridEntry], name_of: impl Fn(&str) -> Option<String>) -> Self {
        let country_of =
            |e: &GridEntry| e.country.clone().or_else(|| Some(e.id.clone())).and_then(|c| iso::country(&c));
        let three = |e: &GridEntry| country_of(e).filter(|three| e.country.is_some() || *three == e.id);
        let country = chain.iter().find_map(three);
        let entry = &chain[0];
        let cloud = entry.provider.as_ref();
        let part = chain.iter().find(|e| e.country.is_some());
        let unplaced = (country.is_none() && cloud.is_none()).then(|| entry.id.clone());
        Self {
            country_name: country.as_deref().and_then(name_of),
            country_iso_code: country.map(|c| c.to_uppercase()),
            // `Quebec, Canada`, `eGRID CAMX, WECC California`
            region: part.map(|e| e.name.split(',').next().unwrap_or_default().to_lowercase()).or(unplaced),
            cloud_region: cloud.map(|p| {
                let own = entry.id.strip_prefix(p.as_str()).and_then(|rest| rest.strip_prefix('-'));
                own.unwrap_or(&entry.id).to_owned()
            }),
            cloud_provider: cloud.cloned(),
        }
    }
}

/// A grid with its intensity resolved.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Grid {
    /// The name on the command line.
    pub id: String,
    /// The name for people.
    pub name: String,
    /// Location-based average emissions of a kilowatt-hour.
    pub intensity: Sourced<GramsCo2ePerKwh>,
    /// Water used to generate a kilowatt-hour.
    pub water: Option<Sourced<LitresPerKwh>>,
    /// Price of a kilowatt-hour.
    pub electricity_price: Option<Sourced<UsdPerKwh>>,
    /// Power usage effectiveness published for the region.
    pub pue: Option<Sourced<Ratio>>,
    /// Water used on site for a kilowatt-hour of computing.
    pub wue: Option<Sourced<LitresPerKwh>>,
    /// Where it is.
    #[serde(skip)]
    pub location: Location,
}

impl Grid {
    /// What its intensity counts, where its source says so.
    #[must_use]
    pub fn basis(&self) -> Option<IntensityBasis> {
        self.intensity.basis.as_deref().and_then(IntensityBasis::of)
    }

    /// An entry with the intensity, water and price of its own or of the first zone that gives them, of the zones that feed
    /// it one after the other.
    pub(super) fn resolve(chain: Vec<GridEntry>, location: Location) -> Option<Self> {
        let intensity = chain.iter().find_map(|e| e.intensity.clone())?;
        let water = chain.iter().find_map(|e| e.water.clone());
        let electricity_price = chain.iter().find_map(|e| e.electricity_price.clone());
        let GridEntry { id, name, pue, wue, .. } = chain.into_iter().next()?;
        Some(Self { id, name, intensity, water, electricity_price, pue, wue, location })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;

    #[test]
    fn states_provinces_and_cloud_regions_are_in_their_countries() {
        for (id, columns) in [
            ("fra", ["France", "FRA", "", "", ""]),
            ("us-state-ca", ["United States", "USA", "california", "", ""]),
            ("us-egrid-camx", ["United States", "USA", "egrid camx", "", ""]),
            ("canada-qc", ["Canada", "CAN", "quebec", "", ""]),
            ("aws-eu-north-1", ["Sweden", "SWE", "", "aws", "eu-north-1"]),
            ("azure-eastus", ["United States", "USA", "egrid srvc", "azure", "eastus"]),
            ("gcp-northamerica-northeast2", ["Canada", "CAN", "ontario", "gcp", "northamerica-northeast2"]),
            ("oracle-uk-london-1", ["United Kingdom", "GBR", "", "oracle", "uk-london-1"]),
            ("world", ["", "", "world", "", ""]),
        ] {
            let location = Catalog::default().grid(id).expect(id).location;
            let Location { country_name, country_iso_code, region, cloud_provider, cloud_region } = location;
            let found = [country_name, country_iso_code, region, cloud_provider, cloud_region];
            assert_eq!(found.map(Option::unwrap_or_default), columns, "{id}");
        }
    }

    #[test]
    fn all_but_the_world_are_in_a_country() {
        let catalog = Catalog::default();
        for entry in catalog.all::<GridEntry>().expect("valid") {
            let location = catalog.grid(&entry.id).expect("valid").location;
            assert_eq!(
                location.country_iso_code.is_some() && location.country_name.is_some(),
                entry.id != "world",
                "{location:?}"
            );
            assert_eq!(location.cloud_region.is_some(), entry.provider.is_some(), "{location:?}");
        }
    }
}
