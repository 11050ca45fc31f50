//! What a device rents for: which of the catalog's offers counts.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::input::{Assumption, Input};
use crate::catalog::{Device, Offer, Per, median_offer, newest_of_each, offers_in, usual_of};
use crate::estimate::error::EstimateError;
use crate::record::Warning;
use crate::stats::Distribution;

const NAME: &str = "price of a device";

/// What was said of prices.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rent {
    /// `--usd-per-hour`
    pub usd_per_hour: Option<f64>,
    /// `--price`
    pub basis: Option<String>,
    /// `--price-year`
    pub year: Option<i32>,
    /// Who rents the devices out, if anyone was named.
    pub provider: Option<String>,
    /// In which of the provider's regions, if one was named.
    pub region: Option<String>,
    /// What the provider calls the machine.
    pub instance: Option<String>,
    /// The year and month in which it is asked, if old offers are to be said to be old.
    pub asked_in: Option<(i32, u32)>,
}

/// A price, or why there is none.
pub(in crate::estimate) struct Found {
    pub(in crate::estimate) price: Option<Input>,
    pub(in crate::estimate) choices: Vec<Assumption>,
    pub(in crate::estimate) missing: Option<String>,
    pub(in crate::estimate) warnings: Vec<Warning>,
}

impl Rent {
    /// Whether anything was said of how to rent.
    #[must_use]
    pub fn is_said(&self) -> bool {
        self.usd_per_hour.is_some() || self.basis.is_some() || self.year.is_some()
    }

    /// The rent of `device`: what was given; the newest offer of the provider that was named; or the median of all offers,
    /// anywhere in their range. Where a year was named, of that year's offers alone.
    pub(in crate::estimate) fn of(&self, device: Option<&Device>) -> Result<Found, EstimateError> {
        let mut found = Found { price: None, choices: Vec::new(), missing: None, warnings: Vec::new() };
        if let Some(price) = self.usd_per_hour {
            found.price = Some(Input::given(NAME, price, "USD/h", "--usd-per-hour"));
            return Ok(found);
        }
        let Some(device) = device.filter(|d| d.per == Per::Device) else { return Ok(found) };
        let offers = offers_in(&self.offers(device)?, self.region.as_deref());
        let known = offers.iter().map(AsRef::as_ref);
        let ranked: Vec<&Offer> = match (&self.provider, &self.basis) {
            (None, None) => usual_of(known),
            _ => newest_of_each(known),
        };
        let Some(usual) = median_offer(ranked.iter().copied()) else {
            found.missing = self.provider.as_ref().map(|provider| self.not_offered(device, provider));
            return Ok(found);
        };
        for offer in &offers {
            let chosen = if std::ptr::eq(offer.as_ref(), usual) { ", chosen" } else { "" };
            let what = offer.price.what.as_deref().unwrap_or("offer");
            found.choices.push(Assumption::choice(
                &format!("price offer ({}{chosen})", offer.basis()),
                format!("{} USD/h, {what}", offer.price.base()),
                offer.price.provenance(),
            ));
        }
        if self.year.is_none() && self.asked_in.is_some_and(|asked_in| usual.is_older_than_a_year(asked_in)) {
            found.warnings.push(Warning::new(
                format!("the price of {} is of {}, more than a year old", device.id, usual.price.date),
                "the cost may be off by what prices have changed by since",
                "give `--usd-per-hour`",
            ));
        }
        found.price = Some(self.input(&offers, ranked.len(), usual));
        Ok(found)
    }

    /// Whether an offer is of the provider and the machine that were named.
    fn is_of_named(&self, offer: &Offer) -> bool {
        self.provider.is_none()
            || offer.provider == self.provider && self.instance.as_deref().is_none_or(|name| offer.is_instance(name))
    }

    /// The offers that count, wherever.
    fn offers<'a>(&self, device: &'a Device) -> Result<Vec<&'a Offer>, EstimateError> {
        let of_any_year: Vec<&Offer> = device.prices.iter().filter(|offer| self.is_of_named(offer)).collect();
        let all = self.of_year(device, of_any_year)?;
        let Some(basis) = &self.basis else {
            let usual: Vec<&Offer> = all.iter().copied().filter(|offer| offer.is_usual()).collect();
            // Only one who names a provider is offered no more than its usual prices.
            return Ok(if self.provider.is_some() && !usual.is_empty() { usual } else { all });
        };
        let offers: Vec<&Offer> = all.iter().copied().filter(|offer| offer.basis() == basis).collect();
        if offers.is_empty() {
            let mut allowed: Vec<String> = all.iter().map(|offer| offer.basis().to_owned()).collect();
            allowed.sort();
            allowed.dedup();
            return Err(EstimateError::Price { device: device.id.clone(), basis: basis.clone(), allowed });
        }
        Ok(offers)
    }

    /// Those of the year that was named. A provider without any offer has none of a year either, which is said elsewhere.
    fn of_year<'a>(&self, device: &Device, offers: Vec<&'a Offer>) -> Result<Vec<&'a Offer>, EstimateError> {
        let Some(year) = self.year else { return Ok(offers) };
        let known: BTreeSet<i32> = offers.iter().filter_map(|offer| offer.year()).collect();
        let is_said_elsewhere = offers.is_empty() && self.provider.is_some();
        if !is_said_elsewhere && !known.contains(&year) {
            let provider = self.provider.clone();
            return Err(EstimateError::PriceYear {
                device: device.id.clone(),
                provider,
                year,
                known: known.into_iter().collect(),
            });
        }
        Ok(offers.into_iter().filter(|offer| offer.year() == Some(year)).collect())
    }

    /// The price of `usual`, the middle of `ranked` offers of as many providers.
    fn input(&self, offers: &[Cow<'_, Offer>], ranked: usize, usual: &Offer) -> Input {
        let what = usual.price.what.as_deref().map(|w| format!("{w}; ")).unwrap_or_default();
        let provenance = usual.price.provenance();
        if self.provider.is_some() {
            let is_placed = self.region.is_some() && !usual.regions.is_empty();
            let elsewhere = if is_placed { "" } else { "; other regions of the provider may ask more" };
            let source = format!("{what}{provenance}{elsewhere}");
            return Input::new(NAME, Distribution::Point(usual.price.base()), "USD/h", source);
        }
        let prices = || offers.iter().map(|o| o.price.base());
        let (low, high) = (prices().fold(f64::INFINITY, f64::min), prices().fold(0.0, f64::max));
        let place = match ranked {
            1 => String::new(),
            2 => format!("the cheaper of 2 {} offers: ", usual.basis()),
            n => format!("median of {n} {} offers: ", usual.basis()),
        };
        let of_year = self.year.map_or_else(String::new, |year| format!(" of {year}"));
        let source = format!(
            "{place}{what}{provenance}; range over {} dated offers{of_year} of any provider: name one with `--cloud`",
            offers.len()
        );
        Input::new(NAME, Distribution::between(low, usual.price.base(), high), "USD/h", source)
    }

    fn not_offered(&self, device: &Device, provider: &str) -> String {
        let mut others: Vec<&str> = device.prices.iter().filter_map(|offer| offer.provider.as_deref()).collect();
        others.sort_unstable();
        others.dedup();
        let others = if others.is_empty() { "nobody".to_owned() } else { others.join(", ") };
        let what = self.instance.as_deref().unwrap_or(&device.id);
        let regions: BTreeSet<&str> = (device.prices.iter())
            .filter(|offer| self.is_of_named(offer))
            .flat_map(|offer| offer.regions.keys().map(String::as_str))
            .collect();
        match &self.region {
            Some(region) if !regions.is_empty() => {
                let regions: Vec<&str> = regions.into_iter().collect();
                let regions = regions.join(", ");
                format!(
                    "the catalog knows {what} of {provider} in {regions}, not in {region}: give --usd-per-hour, or another --region"
                )
            }
            _ => format!(
                "the catalog knows no offer of {provider} for {what} (of {others} it does): give --usd-per-hour, or another --cloud"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;

    fn device(name: &str) -> Device {
        Catalog::default().load(name).expect("in the catalog")
    }

    fn of_provider(name: &str) -> Rent {
        Rent { provider: Some(name.to_owned()), ..Rent::default() }
    }

    #[test]
    fn the_price_is_that_of_the_provider_and_the_newest_of_it() {
        for (provider, usd) in [("aws", 2.745), ("gcp", 3.673), ("azure", 3.4), ("lambda", 1.99)] {
            let price = of_provider(provider).of(Some(&device("a100-sxm4-40gb"))).expect("valid").price.expect("known");
            assert_eq!(price.distribution, Distribution::Point(usd), "{provider}");
        }
        let there = |region: &str| Rent { region: Some(region.to_owned()), ..of_provider("aws") };
        let a100 = device("a100-sxm4-40gb");
        let price = there("eu-west-1").of(Some(&a100)).expect("valid").price.expect("known");
        assert_eq!(price.distribution, Distribution::Point(2.964), "23.71569 USD for eight");
        assert!(price.source.contains("in eu-west-1; ") && !price.source.contains("may ask more"), "{}", price.source);
        let missing = there("sa-east-1").of(Some(&a100)).expect("valid").missing.expect("said");
        assert!(missing.starts_with("the catalog knows a100-sxm4-40gb of aws in ap-northeast-1, "), "{missing}");
        assert!(missing.ends_with(", not in sa-east-1: give --usd-per-hour, or another --region"), "{missing}");
        // Nobody says of which region the prices of other years and other sorts are.
        let of_2024 = Rent { year: Some(2024), ..there("eu-west-1") };
        let price = of_2024.of(Some(&a100)).expect("valid").price.expect("known");
        assert_eq!(price.distribution, Distribution::Point(4.097));
        assert!(price.source.ends_with("other regions of the provider may ask more"), "{}", price.source);
        let rented = Rent { basis: Some("reserved".to_owned()), ..there("eu-west-1") };
        let price = rented.of(Some(&a100)).expect("valid").price.expect("known");
        assert_eq!(price.distribution, Distribution::Point(1.844));
        // Of several machines with the device, the one that is named is in regions of its own.
        let small = Rent { instance: Some("p5.4xlarge".to_owned()), ..there("eu-north-1") };
        let missing = small.of(Some(&device("h100-sxm5-80gb"))).expect("valid").missing.expect("said");
        assert!(
            missing.starts_with("the catalog knows p5.4xlarge of aws in ap-northeast-1, ap-south-1, "),
            "{missing}"
        );
        assert!(!missing.contains("eu-north-1, "), "p5.48xlarge alone is there: {missing}");
        let rent = Rent { basis: Some("reserved".to_owned()), ..of_provider("aws") };
        let price = rent.of(Some(&device("a100-sxm4-40gb"))).expect("valid").price.expect("known");
        assert_eq!(price.distribution, Distribution::Point(1.844));
    }

    #[test]
    fn a_past_run_is_priced_by_the_offers_of_its_year() {
        let of = |year, provider: Option<&str>| {
            let rent = Rent {
                year: Some(year),
                provider: provider.map(str::to_owned),
                asked_in: Some((2026, 11)),
                ..Rent::default()
            };
            rent.of(Some(&device("h100-sxm5-80gb")))
        };
        let found = of(2024, None).expect("there are offers of 2024");
        assert!(found.warnings.is_empty(), "who asks for an old price is not told that it is old");
        let price = found.price.expect("known");
        // Two of 2024: 12.29 on demand, and 4.916 reserved.
        assert_eq!(price.distribution, Distribution::Halves(4.916, 12.29, 12.29));
        assert!(price.source.contains("range over 2 dated offers of 2024 of any provider"), "{}", price.source);
        assert_eq!(found.choices.len(), 2);
        let price = of(2024, Some("aws")).expect("valid").price.expect("known");
        assert_eq!(price.distribution, Distribution::Point(12.29));
        let error = of(2021, None).err().expect("none of that year").to_string();
        assert_eq!(error, "no price of `h100-sxm5-80gb` is known of `2021`: expected `2024`, `2026`");
        let price = of(2026, Some("aws")).map(|found| found.price).expect("valid").expect("known");
        assert_eq!(price.distribution, Distribution::Point(6.88));
        let error = of(2024, Some("gcp")).err().expect("gcp has none of 2024").to_string();
        assert_eq!(error, "no price of `h100-sxm5-80gb` at gcp is known of `2024`: expected `2026`");
    }

    #[test]
    fn no_other_providers_price_is_taken() {
        let found = of_provider("azure").of(Some(&device("tpu-v4"))).expect("valid");
        assert!(found.price.is_none());
        let missing = found.missing.expect("said");
        assert!(missing.starts_with("the catalog knows no offer of azure for tpu-v4 (of gcp it does)"), "{missing}");
    }

    #[test]
    fn without_a_provider_the_middle_is_named_as_what_it_is() {
        let found = Rent::default().of(Some(&device("a100-sxm4-40gb"))).expect("valid").price.expect("known");
        assert!(found.source.starts_with("the cheaper of 2 on-demand offers: "), "{}", found.source);
        assert_eq!(found.distribution, Distribution::Halves(1.844, 1.99, 4.097));
        let found = Rent::default().of(Some(&device("h100-sxm5-80gb"))).expect("valid").price.expect("known");
        assert!(found.source.starts_with("median of 3 on-demand offers: "), "{}", found.source);
    }

    #[test]
    fn an_old_price_says_so_to_one_who_says_when_it_is() {
        let rent = Rent { asked_in: Some((2026, 11)), ..of_provider("aws") };
        let old = rent.of(Some(&device("k80-24gb"))).expect("valid").warnings;
        assert_eq!(old[0].fact, "the price of k80-24gb is of 2024, more than a year old");
        assert!(rent.of(Some(&device("a100-sxm4-40gb"))).expect("valid").warnings.is_empty());
        assert!(of_provider("aws").of(Some(&device("k80-24gb"))).expect("valid").warnings.is_empty());
    }
}
