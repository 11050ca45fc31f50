//! How dirty electricity is: one file a zone under `profiles/grid/`.

use serde::{Deserialize, Serialize};

use super::files::{Entry, EntryKind};
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

    fn check(&self) -> Result<(), (&'static str, String)> {
        if self.intensity.is_none() && self.zone.is_none() {
            return Err(("id", "expected an `intensity`, or the `zone` that feeds it".to_owned()));
        }
        match &self.pue {
            Some(pue) if pue.base() < 1.0 => {
                Err(("pue", format!("{} is below 1: expected facility energy over IT energy", pue.base())))
            }
            _ => Ok(()),
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
}

impl Grid {
    /// An entry with the intensity of its own or of the zone that feeds it.
    pub(super) fn resolve(entry: GridEntry, zone: Option<Self>) -> Option<Self> {
        let (zone_intensity, zone_water, zone_price) =
            zone.map_or((None, None, None), |z| (Some(z.intensity), z.water, z.electricity_price));
        Some(Self {
            intensity: entry.intensity.or(zone_intensity)?,
            water: entry.water.or(zone_water),
            electricity_price: entry.electricity_price.or(zone_price),
            id: entry.id,
            name: entry.name,
            pue: entry.pue,
            wue: entry.wue,
        })
    }
}
