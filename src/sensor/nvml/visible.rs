//! `CUDA_VISIBLE_DEVICES`, read as CUDA reads it.

use super::{GpuInfo, MigInstance};

/// A GPU, or an instance of one, that a program may use.
#[derive(Debug, Clone, PartialEq)]
pub struct Selected<'a> {
    /// The card.
    pub gpu: &'a GpuInfo,
    /// The instance of it.
    pub instance: Option<&'a MigInstance>,
}

/// What a program may use, in the order in which CUDA numbers it, and what cannot be resolved.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Visible<'a> {
    /// GPUs and instances.
    pub devices: Vec<Selected<'a>>,
    /// What is wrong with the list.
    pub problems: Vec<String>,
}

/// What `CUDA_VISIBLE_DEVICES=list` leaves visible of `gpus`: numbers, `GPU-...` and `MIG-...`, which may be shortened
/// as long as they are unique. As in CUDA, an entry that does not exist hides itself and all that follows. `order` is
/// `CUDA_DEVICE_ORDER`: without `PCI_BUS_ID` CUDA counts the fastest GPU first, which is the driver's order only
/// where all GPUs are the same.
#[must_use]
pub fn visible_gpus<'a>(list: Option<&str>, order: Option<&str>, gpus: &'a [GpuInfo]) -> Visible<'a> {
    let mut visible = Visible::default();
    let Some(list) = list else {
        visible.devices = gpus.iter().flat_map(whole_or_parts).collect();
        return visible;
    };
    for entry in list.split(',').map(str::trim) {
        // CUDA's own ways of hiding everything that follows.
        if entry.is_empty() || entry == "-1" {
            break;
        }
        match resolve(entry, order, gpus) {
            Ok(selected) if visible.devices.contains(&selected) => {
                visible.problems.push(format!("`{entry}` names a GPU a second time: CUDA then shows none"));
                visible.devices.clear();
                break;
            }
            Ok(selected) => visible.devices.push(selected),
            Err(problem) => {
                visible.problems.push(problem);
                break;
            }
        }
    }
    visible
}

fn whole_or_parts(gpu: &GpuInfo) -> Vec<Selected<'_>> {
    match &gpu.instances {
        None => vec![Selected { gpu, instance: None }],
        Some(parts) => parts.iter().map(|i| Selected { gpu, instance: Some(i) }).collect(),
    }
}

fn resolve<'a>(entry: &str, order: Option<&str>, gpus: &'a [GpuInfo]) -> Result<Selected<'a>, String> {
    let there = || {
        let names: Vec<String> = gpus.iter().map(|g| format!("`{}` ({})", g.index, g.id())).collect();
        if names.is_empty() { "no GPU".to_owned() } else { names.join(", ") }
    };
    if let Ok(number) = entry.parse::<usize>() {
        if order != Some("PCI_BUS_ID") && gpus.windows(2).any(|pair| pair[0].name != pair[1].name) {
            return Err(format!(
                "`{entry}` may be any of several unlike GPUs, which CUDA numbers by speed\nhint: \
                 `CUDA_DEVICE_ORDER=PCI_BUS_ID`, or UUIDs as in `nvidia-smi -L`"
            ));
        }
        let gpu = gpus.get(number).ok_or_else(|| format!("there is no GPU `{entry}`: expected one of {}", there()))?;
        return match whole_or_parts(gpu).into_iter().next() {
            Some(selected) => Ok(selected),
            None => Err(format!("GPU `{entry}` is in MIG mode and has no instance")),
        };
    }
    let starts = |uuid: &str| uuid.to_ascii_lowercase().starts_with(&entry.to_ascii_lowercase());
    let found: Vec<Selected> = if entry.starts_with("MIG-") {
        gpus.iter().flat_map(whole_or_parts).filter(|s| s.instance.is_some_and(|i| starts(&i.uuid))).collect()
    } else if entry.starts_with("GPU-") {
        let cards = gpus.iter().filter(|g| g.uuid.as_deref().is_some_and(starts));
        cards.map(|gpu| Selected { gpu, instance: None }).collect()
    } else {
        return Err(format!("`{entry}` is no GPU: expected a number, `GPU-...` or `MIG-...`"));
    };
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(format!("there is no GPU `{entry}`: expected one of {}", there())),
        _ => Err(format!("`{entry}` is the beginning of several UUIDs: give more of it")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::FakeNvml;
    use super::super::list_gpus;
    use super::*;

    /// Numbers of the visible cards, and the problems.
    fn seen(list: Option<&str>, order: Option<&str>, library: &FakeNvml) -> (Vec<u32>, String) {
        let gpus = list_gpus(library).expect("listed");
        let visible = visible_gpus(list, order, &gpus);
        (visible.devices.iter().map(|s| s.gpu.index).collect(), visible.problems.join("; "))
    }

    #[test]
    fn numbers_uuids_and_their_beginnings_are_understood() {
        let two = FakeNvml::two_cards();
        let indices = |list| seen(list, None, &two).0;
        assert_eq!(indices(None), [0, 1]);
        assert_eq!(indices(Some("1,0")), [1, 0]);
        assert_eq!(indices(Some(" 1 ")), [1]);
        assert_eq!(indices(Some("GPU-bbbb")), [1]);
        assert_eq!(indices(Some("")), [] as [u32; 0]);
        assert_eq!(indices(Some("-1")), [] as [u32; 0]);
    }

    #[test]
    fn what_does_not_exist_hides_what_follows_and_says_so() {
        let two = FakeNvml::two_cards();
        let (indices, problem) = seen(Some("0,7,1"), None, &two);
        assert_eq!(indices, [0]);
        assert!(problem.contains("there is no GPU `7`: expected one of `0` (GPU-aaaa"), "{problem}");
        assert!(seen(Some("GPU-ffff"), None, &two).1.contains("there is no GPU `GPU-ffff`"));
        assert!(seen(Some("first"), None, &two).1.contains("expected a number, `GPU-...` or `MIG-...`"));
        assert!(seen(Some("GPU-"), None, &two).1.contains("several UUIDs"));
        let (indices, problem) = seen(Some("0,0"), None, &two);
        assert!(indices.is_empty() && problem.contains("a second time"), "{problem}");
    }

    #[test]
    fn a_number_among_unlike_gpus_is_not_guessed() {
        let unlike = FakeNvml::unlike_cards();
        let (indices, problem) = seen(Some("0"), None, &unlike);
        assert!(indices.is_empty() && problem.contains("CUDA_DEVICE_ORDER=PCI_BUS_ID"), "{problem}");
        assert_eq!(seen(Some("1"), Some("PCI_BUS_ID"), &unlike).0, [1]);
    }

    #[test]
    fn instances_are_named_by_their_own_uuid() {
        let cut = FakeNvml::cut_card();
        let gpus = list_gpus(&cut).expect("listed");
        let visible = visible_gpus(Some("MIG-2222"), None, &gpus);
        assert_eq!(
            visible.devices[0].instance.map(|i| i.uuid.as_str()),
            Some("MIG-2222aaaa-0000-0000-0000-000000000002")
        );
        assert_eq!(visible_gpus(None, None, &gpus).devices.len(), 2);
    }
}
