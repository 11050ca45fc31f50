//! Clouds: who they are, and what they call their regions.

use super::device::Device;
use super::entry::Entry as _;
use super::error::CatalogError;
use super::files::Catalog;
use super::grid::GridEntry;
use super::offer::{Offer, offers_in};

/// Names of clouds besides their ids.
const ALIASES: [(&str, &str); 8] = [
    ("amazon", "aws"),
    ("amazon web services", "aws"),
    ("google", "gcp"),
    ("google cloud", "gcp"),
    ("microsoft", "azure"),
    ("microsoft azure", "azure"),
    ("oci", "oracle"),
    ("vast.ai", "vast"),
];

impl Catalog {
    /// The id of a provider, which has regions or offers in the catalog: `aws` for `AWS` and `amazon`.
    ///
    /// # Errors
    /// If the catalog knows no such provider, or cannot be read.
    pub fn provider(&self, name: &str) -> Result<String, CatalogError> {
        let lower = name.trim().to_lowercase();
        let id = ALIASES.iter().find(|(alias, _)| *alias == lower).map_or(lower, |(_, id)| (*id).to_owned());
        let mut known: Vec<String> = self.all::<GridEntry>()?.into_iter().filter_map(|entry| entry.provider).collect();
        let offers = self.all::<Device>()?.into_iter().flat_map(|device| device.prices);
        known.extend(offers.filter_map(|offer| offer.provider));
        known.sort();
        known.dedup();
        if known.contains(&id) {
            return Ok(id);
        }
        Err(CatalogError::UnknownProvider { name: name.to_owned(), known })
    }

    /// The device called `name`. Where several are, the one of them that `provider` rents, in `region` if it rents
    /// any there.
    ///
    /// # Errors
    /// As [`Catalog::load`], and if the provider rents several of them, or none.
    pub fn device_of(&self, name: &str, provider: Option<&str>, region: Option<&str>) -> Result<Device, CatalogError> {
        let (among, provider) = match (self.load::<Device>(name), provider) {
            (Err(CatalogError::Ambiguous { among, .. }), Some(provider)) => (among, provider),
            (other, _) => return other,
        };
        let rented_in = |region: Option<&str>| -> Vec<Device> {
            let rented = |id: &String| {
                let device: Device = self.load(id).ok()?;
                let own: Vec<&Offer> =
                    device.prices.iter().filter(|offer| offer.provider.as_deref() == Some(provider)).collect();
                (!offers_in(&own, region).is_empty()).then_some(device)
            };
            among.iter().filter_map(rented).collect()
        };
        let mut rented = rented_in(region);
        // What the provider has elsewhere alone is still what is meant: that it is not there is said where the price is missing.
        if rented.is_empty() {
            rented = rented_in(None);
        }
        match rented.len() {
            1 => Ok(rented.remove(0)),
            0 => Err(CatalogError::Ambiguous { name: name.to_owned(), among }),
            _ => Err(CatalogError::Ambiguous {
                name: name.to_owned(),
                among: rented.into_iter().map(|device| device.id).collect(),
            }),
        }
    }

    /// The id of the grid entry of a cloud's region: by the provider's name for it (`eu-west-1`), or by its city or country
    /// (`Ireland`). Without a cloud, the name has to be one that only one of them uses.
    ///
    /// # Errors
    /// If no region has the name, or several have it, with the regions that there are.
    pub fn cloud_region(&self, cloud: Option<&str>, region: &str) -> Result<String, CatalogError> {
        let entries: Vec<GridEntry> = self.all()?;
        let of_cloud =
            |entry: &&GridEntry| entry.provider.is_some() && (cloud.is_none() || entry.provider.as_deref() == cloud);
        let regions: Vec<&GridEntry> = entries.iter().filter(of_cloud).collect();
        let wanted = region.trim().to_lowercase();
        let is_id = |entry: &GridEntry| entry.id == wanted || own_id(entry) == wanted;
        let is_place = |entry: &GridEntry| entry.also_called().iter().any(|place| place.to_lowercase() == wanted);
        let mut found: Vec<&str> = regions.iter().filter(|e| is_id(e)).map(|e| e.id.as_str()).collect();
        if found.is_empty() {
            found = regions.iter().filter(|e| is_place(e)).map(|e| e.id.as_str()).collect();
        }
        match found.as_slice() {
            [only] => Ok((*only).to_owned()),
            [] => Err(CatalogError::UnknownRegion {
                name: region.to_owned(),
                cloud: cloud.map(str::to_owned),
                known: regions
                    .iter()
                    .map(|e| if cloud.is_some() { own_id(e).to_owned() } else { e.id.clone() })
                    .collect(),
            }),
            several => Err(CatalogError::Ambiguous {
                name: region.to_owned(),
                among: several.iter().map(|id| (*id).to_owned()).collect(),
            }),
        }
    }
}

/// The devices of the machine that providers call `instance`, with their offers of it.
#[must_use]
pub fn devices_of_instance<'a>(devices: &'a [Device], instance: &str) -> Vec<(&'a Device, Vec<&'a Offer>)> {
    let offers = |device: &'a Device| device.prices.iter().filter(|offer| offer.is_instance(instance)).collect();
    devices
        .iter()
        .map(|device| (device, offers(device)))
        .filter(|(_, offers): &(_, Vec<_>)| !offers.is_empty())
        .collect()
}

/// What the provider calls a region.
fn own_id(entry: &GridEntry) -> &str {
    let provider = entry.provider.as_deref().unwrap_or_default();
    entry.id.strip_prefix(provider).and_then(|rest| rest.strip_prefix('-')).unwrap_or(&entry.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_found_by_its_name_its_place_and_its_cloud() {
        let catalog = Catalog::default();
        for (cloud, region, id) in [
            (Some("aws"), "eu-west-1", "aws-eu-west-1"),
            (Some("aws"), "EU-West-1", "aws-eu-west-1"),
            (Some("aws"), "Ireland", "aws-eu-west-1"),
            (Some("gcp"), "europe-north1", "gcp-europe-north1"),
            (None, "eu-west-1", "aws-eu-west-1"),
            (None, "azure-eastus", "azure-eastus"),
        ] {
            assert_eq!(catalog.cloud_region(cloud, region).expect(region), id);
        }
    }

    #[test]
    fn what_no_region_is_called_is_refused_with_those_that_there_are() {
        let error = Catalog::default().cloud_region(Some("aws"), "mars-1").expect_err("none").to_string();
        assert!(error.starts_with("aws has no region `mars-1`") && error.contains("`eu-west-1`"), "{error}");
    }

    #[test]
    fn of_several_devices_the_one_that_the_cloud_rents_is_meant() {
        let catalog = Catalog::default();
        assert_eq!(catalog.device_of("a100-40gb", Some("aws"), None).expect("one").id, "a100-sxm4-40gb");
        let error = catalog.device_of("a100", Some("aws"), None).expect_err("two").to_string();
        assert!(error.contains("`a100-sxm4-40gb`, `a100-sxm4-80gb`"), "{error}");
        // Those of 80 GB are in other regions.
        assert_eq!(catalog.device_of("a100", Some("aws"), Some("eu-west-1")).expect("one").id, "a100-sxm4-40gb");
        assert!(catalog.device_of("a100", Some("aws"), Some("us-east-1")).is_err());
        // In Brazil it has neither.
        assert_eq!(catalog.device_of("a100-40gb", Some("aws"), Some("sa-east-1")).expect("one").id, "a100-sxm4-40gb");
        assert!(catalog.device_of("a100-40gb", None, None).is_err());
    }

    #[test]
    fn clouds_have_names_besides_their_ids() {
        let catalog = Catalog::default();
        for (name, id) in [("AWS", "aws"), ("google", "gcp"), ("Microsoft Azure", "azure"), ("lambda", "lambda")] {
            assert_eq!(catalog.provider(name).expect(name), id);
        }
        let error = catalog.provider("nimbus").expect_err("none").to_string();
        assert!(error.contains("unknown cloud `nimbus`: expected") && error.contains("`aws`"), "{error}");
    }
}
