//! What a user says of grid, site and prices, by name: the catalog knows the rest.

use std::path::Path;

use super::conditions::{Conditions, ConditionsBuilder};
use super::training::{Hardware, device_of};
use crate::catalog::{Catalog, Device, DeviceKind, Grid, Hourly, Site};
use crate::estimate::error::EstimateError;
use crate::meter::Coverage;
use crate::record::Record;

/// The zone that is assumed when none is named.
const ASSUMED_GRID: &str = "world";

/// Grid, site and prices as they are named on the command line; nothing of it has to be.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ConditionsSpec {
    /// Whose electricity: a zone, a YAML file, or a file of hours.
    pub grid: Option<String>,
    /// Hours within which the run may start.
    pub start_within_h: Option<usize>,
    /// gCO2e of a kilowatt-hour, instead of the grid's.
    pub intensity: Option<f64>,
    /// Where the machine stands: a name or a YAML file.
    pub site: Option<String>,
    /// Facility energy over IT energy, instead of the site's.
    pub pue: Option<f64>,
    /// USD of a device-hour.
    pub usd_per_hour: Option<f64>,
    /// Which of the catalog's offers: `on-demand`, `spot` and so on.
    pub price_basis: Option<String>,
    /// USD of a kilowatt-hour, for machines that are not rented.
    pub usd_per_kwh: Option<f64>,
}

impl ConditionsSpec {
    /// The grid, if one was named; a file of hours has no place.
    ///
    /// # Errors
    /// If the catalog has no such grid.
    pub fn grid_if_named(&self, catalog: &Catalog) -> Result<Option<Grid>, EstimateError> {
        let name = self.grid.as_deref().filter(|name| !is_hours(name));
        Ok(name.map(|name| catalog.grid(name)).transpose()?)
    }

    /// Whether nothing was said of the grid.
    #[must_use]
    pub fn grid_is_assumed(&self) -> bool {
        self.grid.is_none() && self.intensity.is_none()
    }

    /// Whether the grid is a file of hours.
    #[must_use]
    pub fn is_hourly(&self) -> bool {
        self.grid.as_deref().is_some_and(is_hours) || self.start_within_h.is_some()
    }

    /// Whether a price of electricity was given and no rent: the machines are not rented.
    #[must_use]
    pub fn owns_machines(&self) -> bool {
        self.usd_per_kwh.is_some() && self.usd_per_hour.is_none() && self.price_basis.is_none()
    }

    /// The same in another grid. When to start is a question of the hours of the first.
    #[must_use]
    pub fn in_grid(&self, name: &str) -> Self {
        let start_within_h = self.start_within_h.filter(|_| is_hours(name));
        Self { grid: Some(name.to_owned()), start_within_h, ..self.clone() }
    }

    /// The same whatever the basis of prices.
    #[must_use]
    pub fn without_price_basis(&self) -> Self {
        Self { price_basis: None, ..self.clone() }
    }

    /// The conditions of a run that is still to come on `hardware`.
    ///
    /// # Errors
    /// If a name is not known, or a number makes no sense.
    pub fn on(&self, hardware: &Hardware<'_>, catalog: &Catalog) -> Result<Conditions, EstimateError> {
        let (device, coverage, share) = match hardware {
            Hardware::Measured(record) => return self.of_record(record, catalog),
            Hardware::Transferred(_, device) | Hardware::Catalog(device) => {
                (Some(device), Some(coverage_of(device)), 1.0)
            }
            // Watts that a user measured are taken at the wall.
            Hardware::Given { device, .. } => (device.as_ref(), Some(Coverage::NodeShare), 1.0),
        };
        self.builder(catalog, device, coverage, share)?.build()
    }

    /// The conditions of the machine of a record. A virtual machine uses a part of its host.
    ///
    /// # Errors
    /// As [`Self::on`].
    pub fn of_record(&self, record: &Record, catalog: &Catalog) -> Result<Conditions, EstimateError> {
        let compute = &record.environment.compute;
        let coverage = record.environment.meters.first().map(|m| m.coverage);
        let device = compute.hardware.is_some().then(|| device_of(record));
        self.builder(catalog, device.as_ref(), coverage, compute.hardware_share.min(1.0))?.build()
    }

    /// The conditions of a run whose hours are known, on `share` of a device.
    ///
    /// # Errors
    /// As [`Self::on`], and if the run is to be started when the grid is clean.
    pub fn of_known_hours(
        &self,
        device: Option<&Device>,
        share: f64,
        catalog: &Catalog,
    ) -> Result<Conditions, EstimateError> {
        if self.start_within_h.is_some() {
            return Err(EstimateError::StartOfKnownHours);
        }
        let builder = self.builder(catalog, device, None, share)?;
        ConditionsBuilder { hours_are_known: true, ..builder }.build()
    }

    /// The conditions of a device among many; without a price where it has no offer of the basis that was asked for.
    ///
    /// # Errors
    /// As [`Self::on`].
    pub fn of_device(&self, device: &Device, catalog: &Catalog) -> Result<Conditions, EstimateError> {
        let of = |spec: &Self| spec.builder(catalog, Some(device), Some(coverage_of(device)), 1.0)?.build();
        match of(self) {
            Err(EstimateError::Price { .. }) => {
                let conditions = of(&self.without_price_basis())?;
                Ok(Conditions { usd_per_device_hour: None, usd_per_kwh: None, ..conditions })
            }
            other => other,
        }
    }

    /// The grid, and what it and the site bring to a device that is no CPU, and to a CPU: they stand on other sites where
    /// none is named.
    ///
    /// # Errors
    /// As [`Self::on`].
    pub fn of_grid(&self, catalog: &Catalog) -> Result<(Grid, [Conditions; 2]), EstimateError> {
        let of = |is_cpu: bool| ConditionsBuilder { price_basis: None, ..self.place(catalog, is_cpu)? }.build();
        Ok((self.named_grid(catalog)?, [of(false)?, of(true)?]))
    }

    fn builder(
        &self,
        catalog: &Catalog,
        device: Option<&Device>,
        coverage: Option<Coverage>,
        share: f64,
    ) -> Result<ConditionsBuilder, EstimateError> {
        let is_cpu = device.is_none_or(|d| d.kind == DeviceKind::Cpu);
        Ok(ConditionsBuilder { device: device.cloned(), coverage, share, ..self.place(catalog, is_cpu)? })
    }

    /// What a grid and a site bring, without a device.
    fn place(&self, catalog: &Catalog, is_cpu: bool) -> Result<ConditionsBuilder, EstimateError> {
        let default_site: Site = catalog.load(if is_cpu { "workstation" } else { "industry-2025" })?;
        let file = self.grid.as_deref().filter(|name| is_hours(name));
        let hourly = file.map(|file| Hourly::read(Path::new(file))).transpose()?;
        if hourly.is_none() && self.start_within_h.is_some() {
            return Err(EstimateError::StartWithoutHours);
        }
        Ok(ConditionsBuilder {
            grid: if hourly.is_some() { None } else { Some(self.named_grid(catalog)?) },
            grid_is_assumed: self.grid.is_none(),
            hourly,
            start_within_h: self.start_within_h,
            price_basis: self.price_basis.clone(),
            site: self.site.as_deref().map(|name| catalog.load(name)).transpose()?,
            pue: self.pue,
            intensity: self.intensity,
            usd_per_hour: self.usd_per_hour,
            usd_per_kwh: self.usd_per_kwh,
            default_site: Some(default_site),
            ..ConditionsBuilder::default()
        })
    }

    fn named_grid(&self, catalog: &Catalog) -> Result<Grid, EstimateError> {
        Ok(catalog.grid(self.grid.as_deref().unwrap_or(ASSUMED_GRID))?)
    }
}

/// What the modelled power of a device is of.
fn coverage_of(device: &Device) -> Coverage {
    if device.kind == DeviceKind::Cpu { Coverage::CpuPackage } else { Coverage::Gpu }
}

/// A file of hours: a table, or what Electricity Maps' interface answers.
fn is_hours(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|e| e.eq_ignore_ascii_case("csv") || e.eq_ignore_ascii_case("json"))
}
