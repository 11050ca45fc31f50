//! Whether a node is of the type that the plan says.

use super::{CampaignError, Machine};
use crate::catalog::{Catalog, Device, DeviceKind};

/// The entry that describes the device of a machine, where the plan names one. `recognised` is what the device was recognised as: a name
/// of the catalog has to be the same, so that no record says of one type of node what was measured on another. A device that is not
/// recognised, and a file of the user's, are taken as the plan says; but a GPU is no CPU.
///
/// # Errors
/// If the node is of another type, or the name is not known.
pub fn device_of_plan(
    machine: &Machine,
    (on_cpu, recognised): (bool, Option<&Device>),
    catalog: &Catalog,
) -> Result<Option<Device>, CampaignError> {
    let Some(name) = &machine.hardware else { return Ok(None) };
    let planned: Device = catalog.load(name)?;
    let is_of_catalog = catalog.load::<Device>(&planned.id).is_ok_and(|known| known == planned);
    let found = match recognised {
        Some(found) if is_of_catalog && found.id != planned.id => format!("{} (`{}`)", found.name, found.id),
        _ if on_cpu && planned.kind != DeviceKind::Cpu => "no such device, and its CPU would compute".to_owned(),
        _ if !on_cpu && planned.kind == DeviceKind::Cpu => "a GPU that would compute".to_owned(),
        _ => return Ok(Some(planned)),
    };
    Err(CampaignError::NodeType { machine: machine.name.clone(), expected: planned.id, found })
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
        assert_eq!(
            device_of_plan(machine, (false, Some(&planned)), &catalog).expect("the same"),
            Some(planned.clone())
        );
        assert_eq!(device_of_plan(machine, (false, None), &catalog).expect("unknown"), Some(planned));
        let error = device_of_plan(machine, (false, Some(&device("h100-sxm5-80gb"))), &catalog)
            .expect_err("another")
            .to_string();
        assert!(error.contains("(`h100-sxm5-80gb`), and machine `a100` of the plan has `a100-sxm4-40gb`"), "{error}");
        let error = device_of_plan(machine, (true, None), &catalog).expect_err("a CPU").to_string();
        assert!(error.starts_with("this node has no such device, and its CPU would compute"), "{error}");
        let cpu = campaign.machine("cpu").expect("it is there");
        assert_eq!(
            device_of_plan(cpu, (false, Some(&device("h100-sxm5-80gb"))), &catalog).expect("none is named"),
            None
        );
    }
}
