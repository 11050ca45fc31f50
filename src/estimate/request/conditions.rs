//! What all architectures of an estimate share: the grid, the site, the prices.

use super::input::{Assumption, Input};
use super::lost_time::LostTime;
use super::rent::Rent;
use crate::catalog::{Device, DeviceKind, Grid, Hourly, IntensityBasis, Site, Sourced};
use crate::estimate::error::EstimateError;
use crate::meter::Coverage;
use crate::record::Warning;
use crate::stats::Distribution;
use crate::units::{LitresPerKwh, pue_fault};

/// The shared inputs, each with its distribution and source.
#[derive(Debug, Clone, PartialEq)]
pub struct Conditions {
    /// Facility energy over IT energy.
    pub pue: Input,
    /// gCO2e of a kilowatt-hour.
    pub intensity: Input,
    /// USD of a device-hour, where known.
    pub usd_per_device_hour: Option<Input>,
    /// USD of a kilowatt-hour, where known.
    pub usd_per_kwh: Option<Input>,
    /// Litres of water that the site uses for a kilowatt-hour of IT energy.
    pub site_water: Option<Input>,
    /// Litres of water that a kilowatt-hour takes to generate.
    pub grid_water: Option<Input>,
    /// kgCO2e of making a device, and its working life in hours.
    pub embodied: Option<(Input, Input)>,
    /// Wall time that trains nothing.
    pub lost_time: LostTime,
    /// The intensity hour by hour, where it is known.
    pub hourly: Option<Hourly>,
    /// Whether the intensity was given as a number, whatever the hours are.
    pub intensity_is_given: bool,
    /// Hours within which the run may start.
    pub start_within_h: Option<usize>,
    /// Caveats.
    pub warnings: Vec<Warning>,
    /// Watts at the wall for one watt of what the meter covers: a factor, and watts on top.
    pub wall: Wall,
    /// What the intensity counts, where that is known.
    pub basis: Option<IntensityBasis>,
    /// Choices that are no numbers.
    pub choices: Vec<Assumption>,
    /// Why something is not known, by the name of the output.
    pub missing: Vec<(&'static str, String)>,
}

/// From the power of a component to the power of the machine.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Wall {
    /// Power of the host over the power of its GPUs, where their limit is not known.
    pub host_share: Option<Input>,
    /// Watts beside a device: the host's share, or board, disks and fans.
    pub other_w: Option<Input>,
    /// Efficiency of the power supply.
    pub psu: Option<Input>,
}

impl Wall {
    /// What lies between the joules that `coverage` names and the wall socket, on `device` if it is known. `share` is the part of
    /// a machine that is used.
    #[must_use]
    pub fn around(coverage: Coverage, share: f64, device: Option<&Device>) -> Self {
        match (coverage, device.and_then(host_w)) {
            // Figures of a node's share were taken at the wall.
            (Coverage::NodeShare, _) => Self::default(),
            // The host is in it.
            (Coverage::Module, _) => Self { host_share: None, ..Self::around(Coverage::Gpu, share, None) },
            (Coverage::Gpu, Some(host)) => {
                Self { host_share: None, other_w: Some(host), ..Self::around(Coverage::Gpu, share, None) }
            }
            (Coverage::Gpu, None) => Self {
                host_share: Some(Input::new(
                    "host power over GPU power",
                    Distribution::Triangular(0.15, 0.20, 0.45),
                    "1",
                    "8 x H100: AC power 1.22 x the GPUs' TDP (MLPerf Training 4.0 power submissions); range of the literature",
                )),
                psu: Some(Input::new(
                    "power supply efficiency",
                    Distribution::Uniform(0.965, 0.98),
                    "1",
                    "DC over AC of six workloads on 8 x H100 (MLPerf Training 4.0): 0.972 to 0.978",
                )),
                other_w: None,
            },
            (Coverage::CpuPackage | Coverage::Dram, _) => Self {
                host_share: None,
                other_w: Some(Input::new(
                    "power of board, disks and fans",
                    Distribution::between(40.0 * share, 60.0 * share, 110.0 * share),
                    "W",
                    "wall power less RAPL of a workstation, 72 to 129 W (CodeCarbon calibration files); range widened by judgement",
                )),
                psu: Some(Input::new(
                    "power supply efficiency",
                    Distribution::Uniform(0.85, 0.94),
                    "1",
                    "80 PLUS Bronze to Titanium at half load",
                )),
            },
        }
    }

    fn inputs(&self) -> impl Iterator<Item = &Input> {
        [&self.host_share, &self.other_w, &self.psu].into_iter().flatten()
    }
}

/// Watts of the host beside a device. Fans, processors and network hardly follow the load: they are counted by the power limit of
/// the devices that they are made for, whatever these draw.
fn host_w(device: &Device) -> Option<Input> {
    let limit_w = device.tdp.as_ref()?.base();
    let (watts, source) = match device.kind {
        DeviceKind::Gpu => (
            Distribution::between(0.20 * limit_w, 0.30 * limit_w, 0.45 * limit_w),
            "of the limit of the device: 8 x H100 (MLPerf Training 4.0 power submissions), 20 % if its GPUs draw their limit, 25 to \
             28 % idle; 35 % and more in the highest sustained training (Newkirk et al. 2025, arXiv 2506.14551); high: range of the \
             literature; middle: judgement",
        ),
        DeviceKind::Tpu => (
            Distribution::LogNormal(0.17 * limit_w, 2.05),
            "of the most that the chip draws: v3 with its host 283 W on average (Patterson et al. 2021, arXiv 2104.10350), alone 220 \
             W (Google Cloud TPU documentation), 0.2 of its most; spread: v4, whose machines draw 1.78 times what their chips do \
             (Schneider et al. 2025, arXiv 2502.01671, as quoted by others), 0.7 of its most",
        ),
        DeviceKind::Cpu => return None,
    };
    Some(Input::new("power of the host beside a device", watts, "W", source))
}

/// Litres for a kilowatt-hour of generation, wide enough to hold what sources disagree about: how much of the water that
/// evaporates from reservoirs is due to electricity. For the USA there are 1.8 without and 7.6 with all of it where this catalog has
/// 3.13, and for two sites in it 1.29 and 3.10 by one method; a grid with little but reservoirs may be counted with next to none.
fn water_of_generation(water: &Sourced<LitresPerKwh>) -> Input {
    const NAME: &str = "water used by generation";
    /// So that 95 % of the draws reach from 1.29 to 7.6 where the catalog has 3.13.
    const MOST: f64 = 2.5;
    /// The same at the lower end, and never above 1 L/kWh, so that 1.29 is inside everywhere.
    const LEAST: (f64, f64) = (0.38, 1.0);
    if water.range.is_some() {
        return Input::of_catalog(NAME, water);
    }
    let litres = water.base();
    let source = format!(
        "{}; range by the disagreement of sources for the USA: 1.8 and 7.6 L/kWh without and with reservoirs (Torcellini et al. 2003, \
         NREL/TP-550-33905, as quoted by others), 1.29 and 3.10 at two sites (Morrison et al. 2025, arXiv 2503.05804)",
        water.provenance()
    );
    let least = (LEAST.0 * litres).min(LEAST.1);
    Input::new(NAME, Distribution::between(least, litres, MOST * litres), "L/kWh", source)
}

/// What the user gave, and the catalog entries behind it.
#[derive(Debug, Clone, Default)]
pub struct ConditionsBuilder {
    /// The zone whose electricity is used.
    pub grid: Option<Grid>,
    /// Whether the grid was named, or is the world's for want of a name.
    pub grid_is_assumed: bool,
    /// The site, if one was named.
    pub site: Option<Site>,
    /// `--pue`
    pub pue: Option<f64>,
    /// `--grid-intensity`
    pub intensity: Option<f64>,
    /// `--grid FILE.csv`
    pub hourly: Option<Hourly>,
    /// `--start-within`
    pub start_within_h: Option<usize>,
    /// What was said of rents.
    pub rent: Rent,
    /// `--basis`
    pub basis: IntensityBasis,
    /// `--usd-per-kwh`
    pub usd_per_kwh: Option<f64>,
    /// The device, for its price and what went into making it.
    pub device: Option<Device>,
    /// What the energy figures cover.
    pub coverage: Option<Coverage>,
    /// The part of a machine that is used.
    pub share: f64,
    /// Whether wall time is already known, so that nothing is lost to restarts.
    pub hours_are_known: bool,
    /// Used where neither a site nor a region gives a PUE.
    pub default_site: Option<Site>,
}

impl ConditionsBuilder {
    /// Resolves every input.
    ///
    /// # Errors
    /// If a number that the user gave makes no sense.
    pub fn build(self) -> Result<Conditions, EstimateError> {
        if let Some(fault) = self.pue.and_then(pue_fault) {
            return Err(EstimateError::Pue(fault));
        }
        for (name, value) in [
            ("--grid-intensity", self.intensity),
            ("--usd-per-hour", self.rent.usd_per_hour),
            ("--usd-per-kwh", self.usd_per_kwh),
        ] {
            if let Some(value) = value
                && !(0.0..=1e9).contains(&value)
            {
                let allowed = "a finite number of at least 0, and at most 1e9";
                return Err(EstimateError::Number { name, value, allowed });
            }
        }
        let mut choices = Vec::new();
        let mut missing = Vec::new();
        let mut warnings = self.intensity_warnings();
        let pue = self.pue_input(&mut choices);
        let intensity = self.intensity_input(&mut choices);
        let is_owned = self.usd_per_kwh.is_some() && !self.rent.is_said();
        let rent = self.rent.of(self.device.as_ref().filter(|_| !is_owned))?;
        choices.extend(rent.choices);
        warnings.extend(rent.warnings);
        let usd_per_device_hour = rent.price;
        let usd_per_kwh = match (self.usd_per_kwh, &self.grid) {
            (Some(price), _) => Some(Input::given("electricity price", price, "USD/kWh", "--usd-per-kwh")),
            (None, Some(grid)) => grid.electricity_price.as_ref().map(|p| Input::of_catalog("electricity price", p)),
            (None, None) => None,
        };
        // The bill of a rented machine is not that for its electricity.
        let usd_per_kwh = usd_per_kwh.filter(|_| rent.missing.is_none());
        if let Some(reason) = rent.missing {
            missing.push(("cost_usd", reason));
        } else if usd_per_device_hour.is_none() && usd_per_kwh.is_none() {
            missing.push((
                "cost_usd",
                "no rental price is known for this hardware and no electricity price for this grid: give \
                 --usd-per-hour or --usd-per-kwh"
                    .to_owned(),
            ));
        }
        let site_water =
            self.site.as_ref().and_then(|s| s.wue.as_ref()).or(self.grid.as_ref().and_then(|g| g.wue.as_ref()));
        let grid_water = self.grid.as_ref().and_then(|g| g.water.as_ref());
        if grid_water.is_none() {
            missing.push(("water_l", "the catalog gives this grid no water use of generation".to_owned()));
        }
        let embodied = self.device.as_ref().and_then(|d| d.embodied.as_ref()).map(|kg| {
            let life = Input::new(
                "working hours of a device",
                Distribution::Triangular(3.0 * 8766.0 * 0.3, 4.0 * 8766.0 * 0.6, 6.0 * 8766.0 * 0.9),
                "h",
                "3 to 6 years (Cloud Carbon Footprint 4, EcoLogits 3, LLMCarbon 5) at 30 to 90 % use (judgement)",
            );
            (Input::of_catalog("embodied emissions of a device", kg), life)
        });
        if embodied.is_none() {
            missing.push(("embodied_kgco2e", "no sourced figure for the making of this hardware".to_owned()));
        }
        let basis = match (&self.intensity, &self.hourly, &self.grid) {
            (None, Some(hourly), _) => hourly.basis(),
            (None, None, Some(grid)) => grid.basis().map(|_| self.basis),
            _ => None,
        };
        Ok(Conditions {
            pue,
            intensity,
            basis,
            usd_per_device_hour,
            usd_per_kwh,
            site_water: site_water.map(|w| Input::of_catalog("water used on site", w)),
            grid_water: grid_water.map(water_of_generation),
            embodied,
            lost_time: if self.hours_are_known { LostTime::none() } else { LostTime::assumed() },
            intensity_is_given: self.intensity.is_some(),
            hourly: self.hourly,
            start_within_h: self.start_within_h,
            warnings,
            wall: self.coverage.map(|c| Wall::around(c, self.share, self.device.as_ref())).unwrap_or_default(),
            choices,
            missing,
        })
    }

    fn pue_input(&self, choices: &mut Vec<Assumption>) -> Input {
        if let Some(pue) = self.pue {
            return Input::given("PUE", pue, "1", "--pue");
        }
        // What a provider publishes of a region is nearer than the average of a site.
        if let Some((grid, pue)) = self.grid.as_ref().and_then(|g| Some((g, g.pue.as_ref()?))) {
            if self.site.is_some() {
                choices.push(Assumption::choice(
                    "PUE",
                    grid.name.clone(),
                    "the region's own counts more than `--site`",
                ));
            }
            return Input::of_catalog("PUE", pue);
        }
        if let Some(site) = &self.site {
            return Input::of_catalog("PUE", &site.pue);
        }
        if let Some(site) = &self.default_site {
            choices.push(Assumption::choice("site", site.name.clone(), "assumed: give `--site` or `--pue`"));
            return Input::of_catalog("PUE", &site.pue);
        }
        Input::new(
            "PUE",
            Distribution::Triangular(1.1, 1.4, 1.8),
            "1",
            "unknown site: from efficient clouds to old machine rooms (give `--site` or `--pue`)",
        )
    }

    fn intensity_input(&self, choices: &mut Vec<Assumption>) -> Input {
        const NAME: &str = "grid intensity";
        if let Some(intensity) = self.intensity {
            return Input::given(NAME, intensity, "gCO2e/kWh", "--grid-intensity");
        }
        if let Some(hourly) = &self.hourly {
            let mean = hourly.mean();
            choices.push(Assumption::choice("grid", hourly.name(), hourly.described()));
            let source = format!("mean of `{}`; standard uncertainty 8 % of hours to come", hourly.name());
            return Input::new(NAME, Distribution::Normal(mean, 0.08 * mean), "gCO2e/kWh", source);
        }
        let Some(grid) = &self.grid else {
            return Input::new(NAME, Distribution::Point(f64::NAN), "gCO2e/kWh", "unknown");
        };
        let why = if self.grid_is_assumed {
            "assumed: give `--grid`, see `greenformers catalog list grid`"
        } else {
            "chosen"
        };
        let basis = grid.basis();
        let shown = basis.map_or_else(String::new, |_| format!(", {}", self.basis));
        choices.push(Assumption::choice("grid", format!("{} ({}){shown}", grid.name, grid.id), why));
        if let Some(known) = basis.filter(|known| *known != self.basis) {
            let g = grid.intensity.base();
            let (median, ln_sd) = known.to(self.basis, g);
            let distribution =
                if median > 0.0 { Distribution::LogNormal(median, ln_sd.exp()) } else { Distribution::Point(0.0) };
            let source = format!(
                "modelled from {g} g/kWh {known}, {}; see `--basis`, factors fitted to 25 grids known on both",
                grid.intensity.provenance()
            );
            return Input::new(NAME, distribution, "gCO2e/kWh", source);
        }
        let mut input = Input::of_catalog(NAME, &grid.intensity);
        if let Distribution::Point(mid) = input.distribution {
            // One source alone does not make it exact: years differ.
            input.distribution = Distribution::Normal(mid, 0.08 * mid);
            input.source.push_str("; standard uncertainty 8 % between years");
        }
        input
    }

    /// Intensities that look as if they were in another unit, or stood for something else.
    fn intensity_warnings(&self) -> Vec<Warning> {
        // A number that was given is taken, whatever else there is.
        let hourly = self.hourly.as_ref().filter(|_| self.intensity.is_none());
        let grid = self.grid.as_ref().filter(|_| self.intensity.is_none());
        let mut warnings = Vec::new();
        let strange = |g: &f64| *g > 2000.0 || (*g > 0.0 && *g < 1.0);
        let of_grid = grid.map(|g| g.intensity.base());
        if let Some(g) =
            self.intensity.into_iter().chain(of_grid).chain(hourly.iter().flat_map(|h| h.range())).find(strange)
        {
            warnings.push(Warning::new(
                format!("a grid intensity of {g} gCO2e/kWh is outside what grids have, about 1 to 2000"),
                "CO2e is wrong if it is in another unit",
                "say the unit, such as `0.4kg` or `900 lb/MWh`: a number alone is grams a kilowatt-hour",
            ));
        }
        if let Some((rows, first)) = hourly.and_then(Hourly::zeros) {
            let are = if rows == 1 { "1 row has".to_owned() } else { format!("{rows} rows have") };
            warnings.push(Warning::new(
                format!("{are} 0 gCO2e/kWh in the hours of the grid, the first at {first}"),
                "no grid is without emissions for an hour: if 0 stands for a missing value, means are too low, and such hours look like the best start",
                "put in what is missing, or end the file before it",
            ));
        }
        if hourly.is_some_and(Hourly::is_marginal) {
            warnings.push(Warning::new(
                "the hours of the grid are marginal rates: those of the plants that would serve one more kilowatt-hour",
                "CO2e is what the run adds, and cannot be held against figures by a grid's mean, such as those of the catalog",
                "give hours of the mean intensity for an account, and take these to choose when to run",
            ));
        }
        if hourly.is_some_and(|h| h.basis() == Some(IntensityBasis::Direct)) {
            warnings.push(Warning::new(
                "the hours of the grid are of direct emissions",
                "CO2e leaves out the supply of fuel and the building of plants, and is lower than with life-cycle figures",
                "give the life-cycle column of the same hours",
            ));
        }
        warnings
    }
}

impl Conditions {
    /// The same for a run that has been, from one moment to another in seconds since 1970: with the hours of the grid in which
    /// it ran, where they are known. Otherwise their mean stays, with a warning.
    #[must_use]
    pub fn during(mut self, start_s: f64, end_s: f64) -> Self {
        // An intensity that was given counts more than the hours.
        let Some(hourly) = self.hourly.as_ref().filter(|_| !self.intensity_is_given) else { return self };
        if let Some(g) = hourly.mean_between(start_s, end_s) {
            let source = format!("the hours of `{}` in which it ran", hourly.name());
            self.intensity = Input { distribution: Distribution::Point(g), source, ..self.intensity };
        } else {
            self.warnings.push(Warning::new(
                format!("`{}` does not have all the hours of the run", hourly.name()),
                "CO2e is by the mean of the file",
                "give a file with the hours of the run",
            ));
        }
        self
    }

    /// Those that a run of known hours has: nothing of its time is a guess.
    pub fn inputs_of_known_hours(&self) -> impl Iterator<Item = &Input> {
        self.inputs().filter(|i| self.lost_time.inputs().all(|lost| lost.name != i.name))
    }

    /// Every input.
    pub fn inputs(&self) -> impl Iterator<Item = &Input> {
        let embodied = self.embodied.iter().flat_map(|(kg, life)| [kg, life]);
        [&self.pue, &self.intensity]
            .into_iter()
            .chain(self.lost_time.inputs())
            .chain(
                [&self.usd_per_device_hour, &self.usd_per_kwh, &self.site_water, &self.grid_water]
                    .into_iter()
                    .flatten(),
            )
            .chain(embodied)
            .chain(self.wall.inputs())
    }
}
