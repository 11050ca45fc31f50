//! A training run as it is asked for.

use super::cluster::Cluster;
use super::conditions::Conditions;
use super::layout::LayoutSpec;
use super::own_software::OwnSoftware;
use super::recipe::no_recipe;
use crate::catalog::{Device, DeviceKind, SoftwareSpec};
use crate::estimate::error::EstimateError;
use crate::model::Arch;
use crate::record::{Record, Warning, Workload};
use crate::stats::Interval;
use crate::units::DType;

/// What the run is to run on.
#[derive(Debug, Clone)]
pub enum Hardware<'a> {
    /// The machine of a record.
    Measured(&'a Record),
    /// A device of the catalog, by a record of another device of its kind.
    Transferred(&'a Record, Device),
    /// A device of the catalog that was not measured.
    Catalog(Device),
    /// A step time, and a power, that the user measured.
    Given {
        /// Seconds of an optimizer step on all devices.
        step_s: Interval,
        /// Watts of a device, at the wall.
        power_w: Option<Interval>,
        /// The device, if it was named.
        device: Option<Device>,
        /// Whether the workload is of the model that the step was measured of; otherwise only its number of steps counts.
        model_is_known: bool,
        /// Whether it was forecast by a part of the run, with its pauses, and not measured as a step.
        is_forecast: bool,
    },
}

/// What is to be estimated.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The run.
    pub workload: &'a Workload,
    /// The architectures; ratios need `dense` among them.
    pub archs: &'a [Arch],
    /// What the run is to run on.
    pub hardware: Hardware<'a>,
    /// How many devices.
    pub devices: u32,
    /// Network and devices of a machine, where they are not the catalog's.
    pub cluster: Cluster,
    /// Number format.
    pub dtype: DType,
    /// What is known of the software, where it was not measured.
    pub software: SoftwareSpec,
    /// The program itself, where runs of it were measured; its class counts then, and not `software`.
    pub own: Option<&'a OwnSoftware>,
    /// Sequences on a device at a time; the largest that fits if not given.
    pub micro_batch: Option<usize>,
    /// How the run is laid out over the devices; if not given, each has the whole model and they share the batch, or, where a GPU has
    /// no room for it, the fastest layout that fits.
    pub layout: Option<LayoutSpec>,
    /// Grid, site and prices.
    pub conditions: &'a Conditions,
    /// Seed of the draws.
    pub seed: u64,
}

impl<'a> Request<'a> {
    /// A run on one device, with software of which nothing is known, as large micro-batches as fit, and draws from seed 0.
    #[must_use]
    pub fn new(
        workload: &'a Workload,
        archs: &'a [Arch],
        hardware: Hardware<'a>,
        dtype: DType,
        conditions: &'a Conditions,
    ) -> Self {
        Self {
            workload,
            archs,
            hardware,
            devices: 1,
            cluster: Cluster::default(),
            dtype,
            software: SoftwareSpec::default(),
            own: None,
            micro_batch: None,
            layout: None,
            conditions,
            seed: 0,
        }
    }
}

impl<'a> Hardware<'a> {
    /// What an estimate stands on: the record where it is of `device`, or of no other; a record of another GPU, carried over;
    /// the catalog otherwise.
    ///
    /// # Errors
    /// If there is neither.
    pub fn choose(record: Option<&'a Record>, device: Option<Device>) -> Result<Self, EstimateError> {
        let measured = record.and_then(|r| r.environment.compute.hardware.as_ref());
        match (record, device) {
            (Some(record), None) => Ok(Self::Measured(record)),
            (Some(record), Some(device)) if measured.is_some_and(|m| m.id == device.id) => Ok(Self::Measured(record)),
            (Some(record), Some(device))
                // What software reaches on one GPU says something of another.
                if measured.is_some()
                    && record.environment.compute.device != "cpu"
                    && device.kind == DeviceKind::Gpu =>
            {
                Ok(Self::Transferred(record, device))
            }
            (_, Some(device)) => Ok(Self::Catalog(device)),
            (None, None) => Err(EstimateError::NoSource),
        }
    }

    /// The record, where it is used.
    #[must_use]
    pub fn record(&self) -> Option<&'a Record> {
        match self {
            Self::Measured(record) | Self::Transferred(record, _) => Some(record),
            Self::Catalog(_) | Self::Given { .. } => None,
        }
    }

    /// The number format to estimate in where none is named: the record's, or the fastest of the device.
    #[must_use]
    pub fn usual_dtype(&self) -> DType {
        match self {
            Self::Measured(record) | Self::Transferred(record, _) => record.settings.dtype(),
            Self::Catalog(device) | Self::Given { device: Some(device), .. } => device.fastest_dtype(),
            Self::Given { device: None, .. } => DType::F32,
        }
    }

    /// The architectures to estimate where none are named: the record's, or those that are usually compared. A step time of
    /// the user's is of one architecture.
    #[must_use]
    pub fn usual_archs(&self, workload: &Workload) -> Vec<Arch> {
        match self {
            Self::Measured(record) | Self::Transferred(record, _) => record.archs(),
            Self::Catalog(_) => Arch::usual(&workload.model),
            Self::Given { .. } => vec![Arch::Dense],
        }
    }
}

/// What to say where a record is given and hardware that it says nothing of.
#[must_use]
pub fn unused_record(record: &Record) -> Warning {
    Warning::new(
        format!("the record is of `{}`", record.environment.compute.name),
        "it is not used: this estimate models the hardware that was asked for",
        "leave out `--hardware` for the machine of the record",
    )
}

impl<'a> Request<'a> {
    /// A run of the workload of a record on its machine, in the format that estimates are in.
    #[must_use]
    pub fn on_machine(record: &'a Record, archs: &'a [Arch], conditions: &'a Conditions, seed: u64) -> Self {
        Self {
            workload: &record.settings.workload,
            archs,
            hardware: Hardware::Measured(record),
            devices: 1,
            cluster: Cluster::default(),
            dtype: record.settings.dtype(),
            software: SoftwareSpec::default(),
            own: None,
            micro_batch: None,
            layout: None,
            conditions,
            seed,
        }
    }
}

impl Request<'_> {
    /// Whether the shape of the model is that of the workload.
    pub(in crate::estimate) fn knows_model(&self) -> bool {
        !matches!(self.hardware, Hardware::Given { model_is_known: false, .. })
    }

    /// The device, where one is known.
    pub(in crate::estimate) fn device(&self) -> Option<Device> {
        match &self.hardware {
            Hardware::Measured(record) => Some(device_of(record)),
            Hardware::Transferred(_, device) | Hardware::Catalog(device) => Some(device.clone()),
            Hardware::Given { device, .. } => device.clone(),
        }
    }
}

/// Whether a run can be at all.
///
/// # Errors
/// If there are no devices, or more than sequences, or a micro-batch is more than any device gets.
pub(in crate::estimate) fn check(
    workload: &Workload,
    devices: u32,
    cluster: Cluster,
    micro_batch: Option<usize>,
) -> Result<(), EstimateError> {
    if workload.phases.is_empty() {
        return Err(no_recipe(&workload.name));
    }
    check_devices(devices, cluster, micro_batch)?;
    for phase in &workload.phases {
        if (phase.batch_size as u64) < u64::from(devices) {
            return Err(EstimateError::BatchTooSmall { batch_size: phase.batch_size, devices });
        }
    }
    // A phase of smaller batches has smaller micro-batches; one that no phase can have is a mistake.
    let batch_size = workload.phases.iter().map(|p| p.batch_size).max().unwrap_or(1);
    let share = batch_size.div_ceil(devices as usize);
    if let Some(micro_batch) = micro_batch.filter(|n| *n > share) {
        return Err(EstimateError::MicroBatchTooLarge { micro_batch, share, batch_size, devices });
    }
    Ok(())
}

/// Whether there can be so many devices, joined so, with such micro-batches.
///
/// # Errors
/// If there are none, or a machine has none, or a micro-batch is empty.
pub(in crate::estimate) fn check_devices(
    devices: u32,
    cluster: Cluster,
    micro_batch: Option<usize>,
) -> Result<(), EstimateError> {
    if devices == 0 {
        return Err(EstimateError::NoDevices);
    }
    cluster.check()?;
    if micro_batch == Some(0) {
        return Err(EstimateError::Number { name: "--micro-batch", value: 0.0, allowed: "at least 1" });
    }
    Ok(())
}

/// The device that a record was made on, as far as it is known: for what a target needs of it.
pub(in crate::estimate) fn device_of(record: &Record) -> Device {
    let compute = &record.environment.compute;
    compute.hardware.clone().unwrap_or_else(|| Device::unknown(&compute.name, compute.device != "cpu"))
}
