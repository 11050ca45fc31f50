//! Recognising the machine at hand by the names that drivers and operating systems use.

/// Whether two brand strings mean the same part: trademark signs, clock rates, core counts and spacing
/// do not matter.
#[must_use]
pub fn same_device_name(a: &str, b: &str) -> bool {
    let (a, b) = (bare(a), bare(b));
    !a.is_empty() && a == b
}

/// `Intel(R) Xeon(R) Gold 6148 CPU @ 2.40GHz` becomes `intel xeon gold 6148`.
fn bare(name: &str) -> String {
    let lower = name.to_lowercase().replace("(r)", " ").replace("(tm)", " ");
    let before_clock = lower.split('@').next().unwrap_or_default();
    before_clock
        .split_whitespace()
        .filter(|word| !matches!(*word, "cpu" | "processor") && !word.ends_with("-core"))
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brand_strings_match_without_their_ornaments() {
        assert!(same_device_name("Intel(R) Xeon(R) Gold 6148 CPU @ 2.40GHz", "Intel Xeon Gold 6148"));
        assert!(same_device_name("AMD EPYC 7763 64-Core Processor", "AMD EPYC 7763"));
        assert!(!same_device_name("AMD EPYC 7763 64-Core Processor", "AMD EPYC 7742"));
        assert!(!same_device_name("", ""));
    }
}
