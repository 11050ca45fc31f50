//! What a provider asks for a device, and for the machine it is in.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::sourced::{OfOffer, Sourced, Written, check, checked};
use crate::units::UsdPerHour;

/// An offer to rent a device.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    /// Who rents it out, by the name that its cloud regions begin with where it has some: `aws`, `lambda`.
    pub provider: Option<String>,
    /// What the provider calls the machine: `p4d.24xlarge`.
    pub instance: Option<String>,
    /// How many devices that machine has.
    pub devices: u32,
    /// USD of one device for an hour. Where regions are named, in the cheapest.
    pub price: Sourced<UsdPerHour>,
    /// The same in each region that has the machine, where its source names them all; empty where it does not.
    pub regions: BTreeMap<String, f64>,
}

impl Offer {
    /// What sort of price it is: `on-demand`, `list`, `spot`, `reserved`.
    #[must_use]
    pub fn basis(&self) -> &str {
        self.price.basis.as_deref().unwrap_or("unnamed")
    }

    /// Whether anyone can have the device for it at any time.
    #[must_use]
    pub fn is_usual(&self) -> bool {
        matches!(self.basis(), "on-demand" | "list")
    }

    /// Whether its machine is called `name`. Azure's names are known with `Standard_` before them and without.
    #[must_use]
    pub fn is_instance(&self, name: &str) -> bool {
        let bare = |text: &str| text.to_lowercase().trim_start_matches("standard_").to_owned();
        self.instance.as_deref().is_some_and(|own| bare(own) == bare(name))
    }

    /// The same offer in a region, if the provider has the machine there as far as is known.
    #[must_use]
    pub fn in_region(&self, region: &str) -> Option<Self> {
        if self.regions.is_empty() {
            return Some(self.clone());
        }
        let usd = *self.regions.get(region)?;
        let mut there = self.clone();
        there.price.value = UsdPerHour(usd);
        there.price.what = Some(format!("{}, in {region}", self.price.what.as_deref().unwrap_or("offer")));
        there.regions = BTreeMap::from([(region.to_owned(), usd)]);
        Some(there)
    }

    /// The year that it is of.
    #[must_use]
    pub fn year(&self) -> Option<i32> {
        self.price.date.split('-').next().and_then(|year| year.parse().ok())
    }

    /// Whether it is of a year before `month`, the month from which it is looked at as year and month.
    #[must_use]
    pub fn is_older_than_a_year(&self, (year, month): (i32, u32)) -> bool {
        let mut parts = self.price.date.split('-').map_while(|part| part.parse::<i32>().ok());
        let Some(of_year) = parts.next() else { return false };
        // A year alone holds until its end.
        let of_month = parts.next().unwrap_or(12);
        (of_year + 1) * 12 + of_month < year * 12 + i32::try_from(month).unwrap_or(0)
    }
}

/// The offers to calculate with where no provider is named: those on demand, all if there are none; of each provider one.
#[must_use]
pub fn usual_of<'a>(offers: impl IntoIterator<Item = &'a Offer> + Clone) -> Vec<&'a Offer> {
    let on_demand = newest_of_each(offers.clone().into_iter().filter(|offer| offer.basis() == "on-demand"));
    if on_demand.is_empty() { newest_of_each(offers) } else { on_demand }
}

/// The newest offer of each provider, the cheapest of several of one date: who has many machines and old prices counts once.
#[must_use]
pub fn newest_of_each<'a>(offers: impl IntoIterator<Item = &'a Offer>) -> Vec<&'a Offer> {
    let mut sorted: Vec<&Offer> = offers.into_iter().collect();
    sorted.sort_by(|a, b| b.price.date.cmp(&a.price.date).then_with(|| a.price.base().total_cmp(&b.price.base())));
    let mut seen = BTreeSet::new();
    sorted.retain(|offer| offer.provider.is_none() || seen.insert(&offer.provider));
    sorted
}

/// The offers as they are in a region, if one is named. Where the regions of a machine are known, what is asked for it elsewhere does
/// not count.
#[must_use]
pub fn offers_in<'a>(offers: &[&'a Offer], region: Option<&str>) -> Vec<Cow<'a, Offer>> {
    let Some(region) = region else { return offers.iter().map(|offer| Cow::Borrowed(*offer)).collect() };
    let is_placed = |offer: &Offer| {
        let same = |other: &&&Offer| other.provider == offer.provider && other.instance == offer.instance;
        offers.iter().filter(same).any(|other| !other.regions.is_empty())
    };
    let counts = offers.iter().filter(|offer| !offer.regions.is_empty() || !is_placed(offer));
    counts.filter_map(|offer| offer.in_region(region).map(Cow::Owned)).collect()
}

/// The offer that stands for several: the middle one by price, the cheaper of the two in the middle of an even number.
#[must_use]
pub fn median_offer<'a>(offers: impl IntoIterator<Item = &'a Offer>) -> Option<&'a Offer> {
    let mut sorted: Vec<&Offer> = offers.into_iter().collect();
    sorted.sort_by(|a, b| a.price.base().total_cmp(&b.price.base()));
    sorted.get(sorted.len().saturating_sub(1) / 2).copied()
}

/// Checks while the parser is still inside the offer, so that an error bears its line.
struct OfferVisitor;

impl<'de> Deserialize<'de> for Offer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OfferVisitor)
    }
}

impl<'de> de::Visitor<'de> for OfferVisitor {
    type Value = Offer;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a price as `{value: .., unit: USD/h, year: .., provider: .., source: ..}`")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Offer, A::Error> {
        let mut written = Written::deserialize(de::value::MapAccessDeserializer::new(map))?;
        let OfOffer { provider, instance, devices, regions } = written.take_offer();
        let devices = devices.unwrap_or(1);
        let regions = regions.unwrap_or_default();
        if !(1..=65_536).contains(&devices) {
            return Err(de::Error::custom(format_args!("`devices` is {devices}: expected 1 to 65536")));
        }
        for (region, usd) in &regions {
            checked(region, *usd, 1.0).map_err(de::Error::custom)?;
        }
        let price: Sourced<UsdPerHour> = check(written).map_err(de::Error::custom)?;
        let cheapest = regions.values().copied().min_by(f64::total_cmp);
        if let Some(cheapest) = cheapest.filter(|usd| *usd != price.base()) {
            let value = price.base();
            return Err(de::Error::custom(format_args!(
                "`value` is {value}, and the cheapest of `regions` {cheapest}: expected the same"
            )));
        }
        Ok(Offer { provider, instance, devices, price, regions })
    }
}

/// As it is read.
impl Serialize for Offer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.price.each_entry(&mut map)?;
        if let Some(provider) = &self.provider {
            map.serialize_entry("provider", provider)?;
        }
        if let Some(instance) = &self.instance {
            map.serialize_entry("instance", instance)?;
        }
        map.serialize_entry("devices", &self.devices)?;
        if !self.regions.is_empty() {
            map.serialize_entry("regions", &self.regions)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(text: &str) -> Result<Offer, String> {
        serde_yaml::from_str(text).map_err(|e| e.to_string())
    }

    #[test]
    fn an_offer_is_a_price_of_a_provider_for_a_machine() {
        let text = "{value: 4.097, unit: USD/h, date: 2026-05, basis: list, provider: aws, instance: p4d.24xlarge, devices: 8, source: x}";
        let read = offer(text).expect("valid");
        assert_eq!((read.provider.as_deref(), read.devices, read.price.base()), (Some("aws"), 8, 4.097));
        assert!(read.is_usual() && read.is_instance("P4D.24xlarge") && !read.is_instance("p4de.24xlarge"));
        assert_eq!(offer(&serde_yaml::to_string(&read).expect("written")), Ok(read));
        let error = offer("{value: 1, unit: USD/h, year: 2026, source: x, devices: 0}").expect_err("none");
        assert!(error.contains("`devices` is 0: expected 1 to 65536"), "{error}");
    }

    #[test]
    fn a_machine_of_known_regions_is_rented_in_these_alone_at_their_prices() {
        let text = "{value: 2.5, unit: USD/h, year: 2026, provider: aws, instance: p4d, regions: {us-east-1: 2.5, eu-west-1: 3}, \
                    source: x}";
        let placed = offer(text).expect("valid");
        assert_eq!(offer(&serde_yaml::to_string(&placed).expect("written")).as_ref(), Ok(&placed));
        let elsewhere = "{value: 4, unit: USD/h, year: 2025, source: x, provider: aws, instance: p4d}";
        let unplaced = offer(elsewhere).expect("valid");
        let offers = [&placed, &unplaced];
        let usd = |region| offers_in(&offers, region).iter().map(|o| o.price.base()).collect::<Vec<f64>>();
        assert_eq!(usd(None), [2.5, 4.0]);
        assert_eq!(usd(Some("eu-west-1")), [3.0], "the older one is of some other region");
        assert!(usd(Some("eu-north-1")).is_empty());
        assert_eq!(offers_in(&offers[1..], Some("eu-north-1")).len(), 1, "nobody says where it is");
        let error = offer(&text.replace("2.5, u", "2, u")).expect_err("another price");
        assert!(error.contains("`value` is 2, and the cheapest of `regions` 2.5: expected the same"), "{error}");
        assert!(offer(&text.replace("1: 3", "1: -3")).is_err());
    }

    #[test]
    fn a_price_is_old_after_a_year_and_a_year_alone_lasts_until_its_end() {
        let of = |date: &str| offer(&format!("{{value: 1, unit: USD/h, {date}, source: x}}")).expect("valid");
        for (date, from, is_old) in [
            ("date: 2024-12", (2025, 12), false),
            ("date: 2024-12", (2026, 1), true),
            ("year: 2024", (2025, 12), false),
            ("year: 2024", (2026, 1), true),
            ("date: 2026-05-15", (2026, 11), false),
        ] {
            assert_eq!(of(date).is_older_than_a_year(from), is_old, "{date} from {from:?}");
        }
    }

    #[test]
    fn azures_machines_have_two_names() {
        let text = "{value: 1, unit: USD/h, year: 2026, source: x, provider: azure, instance: ND96isr_H100_v5}";
        assert!(offer(text).expect("valid").is_instance("Standard_ND96isr_H100_v5"));
    }

    #[test]
    fn a_provider_counts_once_with_its_newest_offer() {
        let of = |usd: f64, year: i32, who: &str, basis: &str| {
            offer(&format!("{{value: {usd}, unit: USD/h, year: {year}, basis: {basis}, source: x, {who}}}"))
                .expect("valid")
        };
        let (aws, lambda) = ("provider: aws", "provider: lambda");
        let offers = [
            of(9.0, 2024, aws, "on-demand"),
            of(5.0, 2026, aws, "on-demand"),
            of(4.0, 2026, aws, "on-demand"),
            of(3.0, 2025, lambda, "on-demand"),
            of(1.0, 2026, lambda, "spot"),
        ];
        let usd = |found: Vec<&Offer>| found.iter().map(|o| o.price.base()).collect::<Vec<f64>>();
        assert_eq!(usd(usual_of(&offers)), [4.0, 3.0]);
        assert_eq!(usd(usual_of(&offers[4..])), [1.0]);
        let unnamed = [of(7.0, 2026, "devices: 1", "list"), of(6.0, 2026, "devices: 1", "list")];
        assert_eq!(usd(newest_of_each(&unnamed)), [6.0, 7.0], "nobody says that they are one's");
    }

    #[test]
    fn the_middle_of_two_is_the_cheaper() {
        let of = |usd: f64| offer(&format!("{{value: {usd}, unit: USD/h, year: 2026, source: x}}")).expect("valid");
        let offers = [of(3.0), of(1.0), of(2.0), of(9.0)];
        assert_eq!(median_offer(&offers[..3]).map(|o| o.price.base()), Some(2.0));
        assert_eq!(median_offer(&offers[..2]).map(|o| o.price.base()), Some(1.0));
        assert_eq!(median_offer(&offers).map(|o| o.price.base()), Some(2.0));
        assert_eq!(median_offer([]), None);
    }
}
