//! A file of `forecast -o` as the beginning of an estimate.

use anyhow::{Result, bail};
use greenformers::catalog::{Device, SoftwareSpec};
use greenformers::estimate::{Cluster, OwnSoftware, Watched, common_dtype, ran_on};
use greenformers::model::Arch;
use greenformers::record::{ForecastRecord, Workload};
use greenformers::units::DType;

use super::Context;
use super::workload::WorkloadArgs;

/// What is said of the program beside its forecast.
pub(super) struct Program<'a> {
    pub(super) workload: &'a WorkloadArgs,
    pub(super) arch: Arch,
    pub(super) dtype: Option<DType>,
    pub(super) software: SoftwareSpec,
}

/// What a program that was forecast is elsewhere.
pub(super) struct Carried {
    pub(super) workload: Workload,
    pub(super) own: OwnSoftware,
    pub(super) dtype: DType,
}

/// The program on `device`.
pub(super) fn carried(
    forecast: &ForecastRecord,
    device: &Device,
    program: &Program<'_>,
    context: &Context,
) -> Result<Carried> {
    if !program.workload.names_model() {
        bail!(
            "`--hardware {}`: the forecast does not say which model its program trains, so that its time elsewhere is not known\nhint: \
             add `--workload config.json --batch-tokens N --seq-len N`",
            device.id
        );
    }
    let (from, devices) = ran_on(forecast, device, &context.catalog)?;
    let recipe = program.workload.recipe().or_of_forecast(forecast);
    let mut workload = recipe.over(program.workload.named(None, context)?)?;
    let dtype = program.dtype.unwrap_or_else(|| common_dtype(&from, device));
    let own = OwnSoftware::watched(&Watched {
        workload: &workload,
        arch: program.arch,
        dtype,
        device: &from,
        devices,
        // What joins the devices that are asked about says nothing of those that were watched.
        cluster: Cluster::default(),
        software: program.software,
        step_s: forecast.step_s(),
    })?;
    workload.source = format!("{}; its program was watched on {devices} x {}", workload.source, from.id);
    Ok(Carried { workload, own, dtype })
}
