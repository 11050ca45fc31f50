//! What a user says of grid, site and prices, by name: the catalog knows the rest.

use std::path::Path;

use super::conditions::{Conditions, ConditionsBuilder};
use super::rent::Rent;
use super::training::{Hardware, device_of};
use crate::catalog::{Catalog, Device, DeviceKind, Grid, Hourly, IntensityBasis, Location, Site, devices_of_instance};
use crate::estimate::error::EstimateError;
use crate::meter::Coverage;
use crate::record::Record;

/// The zone that is assumed when none is named.
const ASSUMED_GRID: &str = "world";
/// More devices than these are no machine at a desk.
const MOST_AT_HOME: u32 = 8;

/// Grid, site and prices as they are named on the command line; nothing of it has to be.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ConditionsSpec {
    /// Whose electricity: a zone, a YAML file, or a file of hours.
    pub grid: Option<String>,
    /// Hours within which the run may start.
    pub start_within_h: Option<usize>,
    /// Who runs the cloud: `aws`.
    pub cloud: Option<String>,
    /// What it calls the region, or where that is: `eu-west-1`, `Ireland`.
    pub region: Option<String>,
    /// What it calls the machine: `p4d.24xlarge`.
    pub instance: Option<String>,
    /// gCO2e of a kilowatt-hour, instead of the grid's.
    pub intensity: Option<f64>,
    /// What intensities count; those on the other basis are brought to this one.
    pub basis: IntensityBasis,
    /// Where the machine stands: a name or a YAML file.
    pub site: Option<String>,
    /// Facility energy over IT energy, instead of the site's.
    pub pue: Option<f64>,
    /// USD of a device-hour.
    pub usd_per_hour: Option<f64>,
    /// Which of the catalog's offers: `on-demand`, `spot` and so on.
    pub price_basis: Option<String>,
    /// Of which year's offers, for a run of the past.
    pub price_year: Option<i32>,
    /// USD of a kilowatt-hour, for machines that are not rented.
    pub usd_per_kwh: Option<f64>,
    /// The year and month in which it is asked, if old prices are to be said to be old.
    pub asked_in: Option<(i32, u32)>,
}

/// Where a run is, by name: what `--cloud`, `--region`, `--instance` and `--grid` come to.
struct Place {
    grid: Option<String>,
    provider: Option<String>,
    /// What the provider calls the region.
    region: Option<String>,
}

/// On what sort of site a device stands where nothing is said of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsualSite {
    /// A desk, or a cupboard of a laboratory.
    Workstation,
    /// A data centre like the average of its industry.
    DataCentre,
}

impl UsualSite {
    /// A few processors, or a few cards that are made for desks, stand there; all else, and many of them, in a data centre.
    #[must_use]
    pub fn of(device: Option<&Device>, devices: u32) -> Self {
        let for_a_desk = device.is_none_or(|d| d.kind == DeviceKind::Cpu || d.is_for_a_workstation());
        if for_a_desk && devices <= MOST_AT_HOME { Self::Workstation } else { Self::DataCentre }
    }

    /// Its place in a pair of both.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self == Self::Workstation)
    }

    fn id(self) -> &'static str {
        match self {
            Self::Workstation => "workstation",
            Self::DataCentre => "industry-2025",
        }
    }
}

impl ConditionsSpec {
    /// The device called `name`: of several, the one that the cloud rents which was named.
    ///
    /// # Errors
    /// If no device, or several, have the name.
    pub fn device(&self, name: &str, catalog: &Catalog) -> Result<Device, EstimateError> {
        let place = self.where_it_is(catalog)?;
        Ok(catalog.device_of(name, place.provider.as_deref(), place.region.as_deref())?)
    }

    /// The device of `--instance` and how many of them that machine has, if it was named.
    ///
    /// # Errors
    /// If the catalog knows no such machine, or it is another's.
    pub fn instance(&self, catalog: &Catalog) -> Result<Option<(Device, u32)>, EstimateError> {
        let Some(name) = &self.instance else { return Ok(None) };
        let devices: Vec<Device> = catalog.all()?;
        let provider = self.cloud.as_deref().map(|cloud| catalog.provider(cloud)).transpose()?;
        let found = devices_of_instance(&devices, name);
        let offered = found.iter().find_map(|(device, offers)| {
            let own = offers.iter().find(|offer| provider.is_none() || offer.provider == provider)?;
            Some(((*device).clone(), own.devices))
        });
        if offered.is_some() {
            return Ok(offered);
        }
        let offers = devices.iter().flat_map(|device| &device.prices);
        let mut known: Vec<String> = offers
            .filter(|offer| provider.is_none() || offer.provider == provider)
            .filter_map(|offer| offer.instance.clone())
            .collect();
        known.sort();
        known.dedup();
        Err(EstimateError::Instance { name: name.clone(), provider, known })
    }

    fn where_it_is(&self, catalog: &Catalog) -> Result<Place, EstimateError> {
        let named = self.cloud.as_deref().map(|cloud| catalog.provider(cloud)).transpose()?;
        let of_instance = match &self.instance {
            Some(name) => {
                let devices: Vec<Device> = catalog.all()?;
                let offers = devices_of_instance(&devices, name);
                offers.into_iter().find_map(|(_, offers)| offers.first().and_then(|offer| offer.provider.clone()))
            }
            None => None,
        };
        let provider = named.or(of_instance);
        if let Some(region) = &self.region {
            let grid = catalog.cloud_region(provider.as_deref(), region)?;
            let location = catalog.grid(&grid)?.location;
            let provider = location.cloud_provider.or(provider);
            return Ok(Place { grid: Some(grid), provider, region: location.cloud_region });
        }
        let location = match self.grid.as_deref().filter(|name| !is_hours(name)) {
            Some(name) => catalog.grid(name)?.location,
            None => Location::default(),
        };
        // The grid of another cloud's region is no region of this one.
        let is_other = provider.is_some() && provider != location.cloud_provider;
        let region = location.cloud_region.filter(|_| !is_other);
        Ok(Place { grid: self.grid.clone(), provider: provider.or(location.cloud_provider), region })
    }

    /// The grid, if one was named; a file of hours has no place.
    ///
    /// # Errors
    /// If the catalog has no such grid.
    pub fn grid_if_named(&self, catalog: &Catalog) -> Result<Option<Grid>, EstimateError> {
        let name = self.where_it_is(catalog)?.grid.filter(|name| !is_hours(name));
        Ok(name.map(|name| catalog.grid(&name)).transpose()?)
    }

    /// Whether nothing was said of the grid.
    #[must_use]
    pub fn grid_is_assumed(&self) -> bool {
        self.grid.is_none() && self.region.is_none() && self.intensity.is_none()
    }

    /// Whether the grid is a file of hours.
    #[must_use]
    pub fn is_hourly(&self) -> bool {
        self.grid.as_deref().is_some_and(is_hours) || self.start_within_h.is_some()
    }

    /// Whether a price of electricity was given and no rent: the machines are not rented.
    #[must_use]
    pub fn owns_machines(&self) -> bool {
        self.usd_per_kwh.is_some() && !self.rent(None, None).is_said()
    }

    /// The same in another grid. When to start is a question of the hours of the first.
    #[must_use]
    pub fn in_grid(&self, name: &str) -> Self {
        let start_within_h = self.start_within_h.filter(|_| is_hours(name));
        Self { grid: Some(name.to_owned()), region: None, start_within_h, ..self.clone() }
    }

    /// The same whatever the basis and the year of prices.
    #[must_use]
    pub fn without_price_basis(&self) -> Self {
        Self { price_basis: None, price_year: None, ..self.clone() }
    }

    /// What was said of rents, by whom it is rented if anyone was named, and in which region.
    #[must_use]
    pub fn rent(&self, provider: Option<String>, region: Option<String>) -> Rent {
        Rent {
            usd_per_hour: self.usd_per_hour,
            basis: self.price_basis.clone(),
            year: self.price_year,
            provider,
            region,
            instance: self.instance.clone(),
            asked_in: self.asked_in,
        }
    }

    /// The conditions of a run that is still to come on `hardware`.
    ///
    /// # Errors
    /// If a name is not known, or a number makes no sense.
    pub fn on(&self, hardware: &Hardware<'_>, devices: u32, catalog: &Catalog) -> Result<Conditions, EstimateError> {
        let (device, coverage, share) = match hardware {
            Hardware::Measured(record) => return self.of_record(record, catalog),
            Hardware::Transferred(_, device)
            | Hardware::Catalog(device)
            | Hardware::Given { device: Some(device), power_w: None, .. } => {
                (Some(device), Some(coverage_of(device)), 1.0)
            }
            // Watts that a user measured are taken at the wall.
            Hardware::Given { device, .. } => (device.as_ref(), Some(Coverage::NodeShare), 1.0),
        };
        let builder = self.builder(catalog, device, devices, coverage, share)?;
        // What was forecast has its pauses in it.
        let hours_are_known = matches!(hardware, Hardware::Given { is_forecast: true, .. });
        ConditionsBuilder { hours_are_known, ..builder }.build()
    }

    /// The conditions of the machine of a record. A virtual machine uses a part of its host.
    ///
    /// # Errors
    /// As [`Self::on`].
    pub fn of_record(&self, record: &Record, catalog: &Catalog) -> Result<Conditions, EstimateError> {
        let compute = &record.environment.compute;
        let coverage = record.environment.meters.first().map(|m| m.coverage);
        let device = compute.hardware.is_some().then(|| device_of(record));
        self.builder(catalog, device.as_ref(), 1, coverage, compute.hardware_share.min(1.0))?.build()
    }

    /// The conditions of a run whose hours are known, on `share` of a device; `is_power_modelled` says whether its power is the
    /// device's alone, and not of the machine at the wall.
    ///
    /// # Errors
    /// As [`Self::on`], and if the run is to be started when the grid is clean.
    pub fn of_known_hours(
        &self,
        device: Option<&Device>,
        (devices, share): (u32, f64),
        is_power_modelled: bool,
        catalog: &Catalog,
    ) -> Result<Conditions, EstimateError> {
        if self.start_within_h.is_some() {
            return Err(EstimateError::StartOfKnownHours);
        }
        let coverage = device.filter(|_| is_power_modelled).map(coverage_of);
        let builder = self.builder(catalog, device, devices, coverage, share)?;
        ConditionsBuilder { hours_are_known: true, ..builder }.build()
    }

    /// The conditions of a device among many; without a price where it has no offer of the basis that was asked for.
    ///
    /// # Errors
    /// As [`Self::on`].
    pub fn of_device(&self, device: &Device, catalog: &Catalog) -> Result<Conditions, EstimateError> {
        let of = |spec: &Self| spec.builder(catalog, Some(device), 1, Some(coverage_of(device)), 1.0)?.build();
        match of(self) {
            Err(EstimateError::Price { .. } | EstimateError::PriceYear { .. }) => {
                let conditions = of(&self.without_price_basis())?;
                Ok(Conditions { usd_per_device_hour: None, usd_per_kwh: None, ..conditions })
            }
            other => other,
        }
    }

    /// The grid, and what it and the site bring to devices in a data centre and at a desk: by [`UsualSite::index`], where no
    /// site is named.
    ///
    /// # Errors
    /// As [`Self::on`].
    pub fn of_grid(&self, catalog: &Catalog) -> Result<(Grid, [Conditions; 2]), EstimateError> {
        let of = |site| ConditionsBuilder { rent: Rent::default(), ..self.place(catalog, site)? }.build();
        let grid = self.where_it_is(catalog)?.grid;
        let grid = catalog.grid(grid.as_deref().unwrap_or(ASSUMED_GRID))?;
        Ok((grid, [of(UsualSite::DataCentre)?, of(UsualSite::Workstation)?]))
    }

    fn builder(
        &self,
        catalog: &Catalog,
        device: Option<&Device>,
        devices: u32,
        coverage: Option<Coverage>,
        share: f64,
    ) -> Result<ConditionsBuilder, EstimateError> {
        let place = self.place(catalog, UsualSite::of(device, devices))?;
        Ok(ConditionsBuilder { device: device.cloned(), coverage, share, ..place })
    }

    /// What a grid and a site bring, without a device.
    fn place(&self, catalog: &Catalog, usual: UsualSite) -> Result<ConditionsBuilder, EstimateError> {
        let Place { grid, provider, region } = self.where_it_is(catalog)?;
        let file = grid.as_deref().filter(|name| is_hours(name));
        let hourly = file.map(|file| Hourly::read(Path::new(file))).transpose()?;
        if hourly.is_none() && self.start_within_h.is_some() {
            return Err(EstimateError::StartWithoutHours);
        }
        // A provider's average is nearer than that of the industry.
        let of_provider = provider.as_deref().map(|id| catalog.load::<Site>(id)).and_then(Result::ok);
        let default_site = match of_provider {
            Some(site) => site,
            None if provider.is_some() => catalog.load(UsualSite::DataCentre.id())?,
            None => catalog.load(usual.id())?,
        };
        Ok(ConditionsBuilder {
            grid_is_assumed: grid.is_none(),
            grid: match &hourly {
                Some(_) => None,
                None => Some(catalog.grid(grid.as_deref().unwrap_or(ASSUMED_GRID))?),
            },
            hourly,
            start_within_h: self.start_within_h,
            basis: self.basis,
            rent: self.rent(provider, region),
            site: self.site.as_deref().map(|name| catalog.load(name)).transpose()?,
            pue: self.pue,
            intensity: self.intensity,
            usd_per_kwh: self.usd_per_kwh,
            default_site: Some(default_site),
            ..ConditionsBuilder::default()
        })
    }
}

/// What the modelled power of a device is of.
pub(in crate::estimate) fn coverage_of(device: &Device) -> Coverage {
    if device.kind == DeviceKind::Cpu { Coverage::CpuPackage } else { Coverage::Gpu }
}

/// A file of hours: a table, or what Electricity Maps' interface answers.
fn is_hours(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|e| e.eq_ignore_ascii_case("csv") || e.eq_ignore_ascii_case("json"))
}
