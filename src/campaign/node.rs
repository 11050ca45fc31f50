//! Whether a node is of the type that the plan says.

use super::{CampaignError, Machine};
use crate::catalog::{Catalog, Device};

/// The entry that describes the device of a machine, where the plan names one. `recognised` is what the device was recognised as: a name
/// of the catalog has to be the same, so that no record says of one type of node what was measured on another. A device that is not
/// recognised, and a file of the user's, are taken as the plan says.
///
/// # Errors
/// If the node is of another type, or the name is not known.
pub fn device_of_plan(
    machine: &Machine,
    recognised: Option<&Device>,
    catalog: &Catalog,
) -> Result<Option<Device>, CampaignError> {
    let Some(name) = &machine.hardware else { return Ok(None) };
    let planned: Device = catalog.load(name)?;
    let is_of_catalog = catalog.load::<Device>(&planned.id).is_ok_and(|known| known == planned);
    match recognised {
        Some(found) if is_of_catalog && found.id != planned.id => Err(CampaignError::NodeType {
            machine: machine.name.clone(),
            expected: planned.id,
            found: format!("{} (`{}`)", found.name, found.id),
        }),
        _ => Ok(Some(planned)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::resolved::tests::{PLAN, resolved};
    use super::*;

    #[test]
    fn a_node_of_another_type_is_refused_and_one_that_nobody_recognises_is_taken_as_planned() {
        let (campaign, catalog) = (resolved(PLAN).expect("valid"), Catalog::default());
        let machine = campaign.machine("a100").expect("it is there");
        let device = |name: &str| -> Device { catalog.load(name).expect("known") };
        let planned = device("a100-sxm4-40gb");
        assert_eq!(device_of_plan(machine, Some(&planned), &catalog).expect("the same"), Some(planned.clone()));
        assert_eq!(device_of_plan(machine, None, &catalog).expect("unknown"), Some(planned));
        let error =
            device_of_plan(machine, Some(&device("h100-sxm5-80gb")), &catalog).expect_err("another").to_string();
        assert!(error.contains("(`h100-sxm5-80gb`), and machine `a100` of the plan has `a100-sxm4-40gb`"), "{error}");
        let cpu = campaign.machine("cpu").expect("it is there");
        assert_eq!(device_of_plan(cpu, Some(&device("h100-sxm5-80gb")), &catalog).expect("none is named"), None);
    }
}
