//! A run that was forecast, as the beginning of an estimate: for its own machine, or for another.

use super::cluster::Cluster;
use super::conditions::Conditions;
use super::recipe::Recipe;
use super::training::{Hardware, Request};
use crate::catalog::{Catalog, Device, DeviceKind, SoftwareSpec};
use crate::estimate::error::EstimateError;
use crate::model::Arch;
use crate::record::{ForecastRecord, Workload};
use crate::units::DType;

impl Hardware<'_> {
    /// The machine of a forecast: its own time and power.
    #[must_use]
    pub fn of_forecast(forecast: &ForecastRecord) -> Self {
        Self::Given {
            step_s: forecast.step_s(),
            power_w: forecast.power_w(),
            device: None,
            model_is_known: false,
            is_forecast: true,
        }
    }
}

impl<'a> Request<'a> {
    /// The whole run on the machine where it was forecast: `workload` is of [`workload_of_forecast`].
    #[must_use]
    pub fn of_forecast(
        forecast: &ForecastRecord,
        workload: &'a Workload,
        conditions: &'a Conditions,
        seed: u64,
    ) -> Self {
        let hardware = Hardware::of_forecast(forecast);
        Self {
            workload,
            archs: &[Arch::Dense],
            dtype: hardware.usual_dtype(),
            hardware,
            devices: 1,
            cluster: Cluster::default(),
            software: SoftwareSpec::default(),
            own: None,
            micro_batch: None,
            layout: None,
            conditions,
            seed,
        }
    }
}

/// The steps of a whole run that was forecast. Which model they train is not known, and does not count: they are put into `any`.
///
/// # Errors
/// If there are more than 1e12 of them.
pub fn workload_of_forecast(forecast: &ForecastRecord, any: Workload) -> Result<Workload, EstimateError> {
    let steps = Recipe { steps: Some(forecast.steps() as f64), ..Recipe::default() };
    let mut workload = steps.over(Workload { phases: any.phases.iter().take(1).copied().collect(), ..any })?;
    workload.name.clone_from(&forecast.command);
    "forecast while it ran".clone_into(&mut workload.source);
    Ok(workload)
}

impl Recipe {
    /// The same, with what is not said as the program that was forecast has it: its steps, and the tokens of each.
    #[must_use]
    pub fn or_of_forecast(self, forecast: &ForecastRecord) -> Self {
        let batch_is_said = self.batch_size.is_some() || self.batch_tokens.is_some();
        Self {
            steps: if self.has_length() { self.steps } else { Some(forecast.steps() as f64) },
            batch_tokens: if batch_is_said { self.batch_tokens } else { forecast.tokens_per_step },
            ..self
        }
    }
}

/// The GPUs that a program was forecast on, from which it is to be carried to `to`: what one is, and how many. They are taken to be
/// those that it could see.
///
/// # Errors
/// If there are none, or of several kinds, or of one that the catalog does not know; if `to` is no GPU.
pub fn ran_on(forecast: &ForecastRecord, to: &Device, catalog: &Catalog) -> Result<(Device, u32), EstimateError> {
    let unknown = |why: String| EstimateError::NotCarried { why };
    if to.kind != DeviceKind::Gpu {
        return Err(unknown(format!("`{}` is no GPU, and what a program reaches on one says nothing of it", to.id)));
    }
    let gpus = forecast.gpus();
    let Some(first) = gpus.first() else {
        return Err(unknown(format!(
            "it ran on the CPU of `{}`, and what a program reaches there says nothing of a GPU",
            forecast.host
        )));
    };
    if let Some(other) = gpus.iter().find(|name| *name != first) {
        return Err(unknown(format!("it could see GPUs of several kinds, `{first}` and `{other}`")));
    }
    let device = catalog.identify(DeviceKind::Gpu, first)?;
    let device = device.ok_or_else(|| unknown(format!("the catalog does not know the `{first}` that it ran on")))?;
    Ok((device, u32::try_from(gpus.len()).unwrap_or(u32::MAX)))
}

/// The number format in which a program is carried from one device to another: the fastest that both have.
#[must_use]
pub fn common_dtype(from: &Device, to: &Device) -> DType {
    let both = [to.fastest_dtype(), from.fastest_dtype()];
    both.into_iter()
        .find(|dtype| from.peak.contains_key(dtype) && to.peak.contains_key(dtype))
        .unwrap_or_else(|| to.fastest_dtype())
}
