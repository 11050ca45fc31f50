//! Counters that are files, as the kernel shows them.

use std::fs;
use std::time::Duration;

use super::*;

/// A folder that looks like the kernel's: one package with core and dram, and psys.
fn tree() -> tempfile::TempDir {
    tree_of(&[
        ("intel-rapl:0", "package-0", "1000000"),
        ("intel-rapl:0:0", "core", "900000"),
        ("intel-rapl:0:1", "dram", "500000"),
        ("intel-rapl:0:2", "uncore", "90000"),
        ("intel-rapl:1", "psys", "2000000"),
        ("intel-rapl-mmio:0", "package-0", "1000000"),
    ])
}

fn tree_of(zones: &[(&str, &str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a temporary folder");
    for (zone, name, energy) in zones {
        let folder = root.path().join(zone);
        fs::create_dir_all(&folder).expect("new");
        for (file, text) in [("name", *name), ("energy_uj", *energy), ("max_energy_range_uj", "10000000")] {
            fs::write(folder.join(file), format!("{text}\n")).expect("writable");
        }
    }
    root
}

fn set(root: &tempfile::TempDir, zone: &str, energy: &str) {
    fs::write(root.path().join(zone).join("energy_uj"), energy).expect("writable");
}

fn open(root: &tempfile::TempDir) -> Vec<RaplMeter> {
    open_rapl(root.path(), None).expect("zones").meters
}

fn joules(meter: &mut RaplMeter) -> f64 {
    match meter.read().expect("readable") {
        Reading::Cumulative(energy) => energy.0,
        other => panic!("RAPL counts energy, not {other:?}"),
    }
}

#[test]
fn package_and_dram_are_read_and_nothing_twice() {
    let root = tree();
    let domains: Vec<_> = open(&root).iter().map(|m| m.info.domain.clone()).collect();
    assert_eq!(domains, ["intel-rapl:0 package-0", "intel-rapl:0:1 dram"]);
}

#[test]
fn zones_inside_their_parents_are_found_and_counted_once() {
    let root = tree_of(&[
        ("intel-rapl:0", "package-0", "0"),
        ("intel-rapl:0:0", "dram", "0"),
        ("intel-rapl:0/intel-rapl:0:0", "dram", "0"),
        ("intel-rapl/intel-rapl:0/intel-rapl:0:0", "dram", "0"),
    ]);
    let domains: Vec<_> = open(&root).iter().map(|m| m.info.domain.clone()).collect();
    assert_eq!(domains, ["intel-rapl:0 package-0", "intel-rapl:0:0 dram"]);
}

#[test]
fn energy_keeps_growing_across_a_counter_wrap() {
    let root = tree();
    let mut package = open(&root).remove(0);
    set(&root, "intel-rapl:0", "9000000");
    assert!((joules(&mut package) - 8.0).abs() < 1e-12);
    set(&root, "intel-rapl:0", "500000"); // 1 J to the end of the range, 0.5 J after it
    assert!((joules(&mut package) - 9.5).abs() < 1e-12);
}

#[test]
fn two_packages_add_up_even_if_they_began_alike() {
    let root = tree_of(&[("intel-rapl:0", "package-0", "0"), ("intel-rapl:1", "package-1", "0")]);
    let mut packages = open(&root).remove(0);
    set(&root, "intel-rapl:0", "3000000");
    set(&root, "intel-rapl:1", "2000000");
    assert!((joules(&mut packages) - 5.0).abs() < 1e-12);
    set(&root, "intel-rapl:1", "3000000");
    assert!((joules(&mut packages) - 6.0).abs() < 1e-12);
}

#[test]
fn two_packages_that_merely_run_alike_are_two_and_so_are_two_dies_that_count_from_elsewhere() {
    for (first, second, at) in [("package-0", "package-1", "100"), ("package-0-die-0", "package-0-die-1", "900000000")]
    {
        let root = tree_of(&[("intel-rapl:0", first, "100"), ("intel-rapl:1", second, at)]);
        let mut packages = open(&root).remove(0);
        set(&root, "intel-rapl:0", "4000100");
        set(&root, "intel-rapl:1", &(at.parse::<u64>().expect("a number") + 4_000_000).to_string());
        assert!((joules(&mut packages) - 8.0).abs() < 1e-6, "{first}");
        assert_eq!(packages.mirrored(), 0);
    }
}

#[test]
fn two_dies_of_one_socket_are_two_counters_once_they_have_run_apart_and_one_after_any_late_look() {
    // A second of 68 W or 180 W, of which a late look may miss a tenth; and 4 s, of which it may miss a fortieth.
    for (seconds, own, other, mirrored) in [
        (1, 68.0, 68.4, 1),
        (1, 68.0, 74.0, 1),
        (1, 68.0, 90.0, 0),
        (1, 180.0, 181.8, 1),
        (4, 272.0, 277.0, 1),
        (4, 272.0, 290.0, 0),
    ] {
        let names = [("intel-rapl:0", "package-0-die-0", "100"), ("intel-rapl:1", "package-0-die-1", "100")];
        let root = tree_of(&names);
        let mut packages = open(&root).remove(0);
        packages.opened = Instant::now().checked_sub(Duration::from_secs(seconds)).expect("it is up");
        for (zone, joules) in packages.zones.iter_mut().zip([own, other]) {
            zone.counter.take(Seconds(seconds as f64), Joules(zone.first_j + joules));
        }
        packages.tell_apart();
        assert_eq!(packages.mirrored(), mirrored, "{own} and {other} J");
    }
}

#[test]
fn the_memories_of_two_dies_that_show_one_counter_are_one() {
    let root = tree_of(&[
        ("intel-rapl:0", "package-0-die-0", "100"),
        ("intel-rapl:0:0", "dram", "100"),
        ("intel-rapl:1", "package-0-die-1", "100"),
        ("intel-rapl:1:0", "dram", "100"),
    ]);
    assert_eq!(open(&root).iter().map(RaplMeter::mirrored).collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn one_of_two_packages_that_stands_still_makes_the_energy_partial() {
    let root = tree_of(&[("intel-rapl:0", "package-0", "100"), ("intel-rapl:1", "package-1", "500")]);
    let mut packages = open(&root).remove(0);
    packages.opened = Instant::now().checked_sub(Duration::from_millis(300)).expect("it is up");
    assert_eq!(packages.lacks(), None, "nothing has moved: there is no energy to be partial");
    set(&root, "intel-rapl:0", "3000100");
    assert!((joules(&mut packages) - 3.0).abs() < 1e-9);
    let lacks = packages.lacks().expect("package-1 stands still");
    assert!(lacks.contains("of its 2 counters `intel-rapl:1 package-1` stands still"), "{lacks}");
    set(&root, "intel-rapl:1", "2000500");
    assert!((joules(&mut packages) - 5.0).abs() < 1e-9);
    assert_eq!(packages.lacks(), None);
}

#[test]
fn the_only_counters_there_are_are_read_whatever_their_control_type() {
    for (zones, domain, coverage) in [
        (&[("intel-rapl-mmio:0", "package-0", "5")][..], "intel-rapl-mmio:0 package-0", Coverage::CpuPackage),
        (&[("intel-rapl:0", "psys", "5")], "intel-rapl:0 psys", Coverage::Module),
        (
            &[("intel-rapl:0", "psys", "5"), ("intel-rapl-mmio:0", "package-0", "5")],
            "intel-rapl-mmio:0 package-0",
            Coverage::CpuPackage,
        ),
    ] {
        let root = tree_of(zones);
        let meters = open(&root);
        assert_eq!((meters.len(), meters[0].info.domain.as_str(), meters[0].info.coverage), (1, domain, coverage));
    }
}

#[test]
fn a_counter_is_believed_up_to_twice_the_limit_that_the_kernel_gives_or_the_tdp() {
    let root = tree();
    let file = root.path().join("intel-rapl:0/constraint_1_power_limit_uw");
    for (limit, tdp, refused) in [("100000000", None, "21"), ("100000000", Some(200.0), "41"), ("0", None, "101")] {
        fs::write(&file, limit).expect("writable");
        set(&root, "intel-rapl:0", "1000000");
        let mut package = open_rapl(root.path(), tdp.map(Watts)).expect("zones").meters.remove(0);
        // In no time at all: what 0.05 s of twice the limit come to is about the most.
        set(&root, "intel-rapl:0", &format!("{refused}000000"));
        package.opened = Instant::now();
        assert!(matches!(package.read(), Err(SensorError::NotBelieved { .. })), "{limit} {tdp:?}");
    }
}

#[cfg(unix)]
#[test]
fn links_that_lead_nowhere_are_told_from_a_machine_without_counters() {
    let root = tempfile::tempdir().expect("a temporary folder");
    std::os::unix::fs::symlink("../../devices/nowhere", root.path().join("intel-rapl:0")).expect("new");
    let Err(error) = open_rapl(root.path(), None) else { panic!("there is nothing to open") };
    let text = error.to_string();
    assert!(text.contains("lead nowhere") && text.contains("`/sys/devices/virtual/powercap`"), "{text}");
    assert!(!text.contains("modprobe"), "{text}");
}

#[test]
fn a_counter_shown_once_for_each_die_is_counted_once() {
    let root = tree_of(&[("intel-rapl:0", "package-0-die-0", "100"), ("intel-rapl:1", "package-0-die-1", "140")]);
    let mut packages = open(&root).remove(0);
    for (first, second, expected) in [("4000100", "4000900", 4.0), ("9000100", "9000200", 9.0), ("100", "300", 10.0)] {
        set(&root, "intel-rapl:0", first);
        set(&root, "intel-rapl:1", second);
        assert!((joules(&mut packages) - expected).abs() < 1e-3, "{expected}");
    }
    assert_eq!(packages.mirrored(), 1);
}

#[test]
fn a_counter_that_is_no_number_or_is_gone_is_an_error_and_not_a_zero() {
    let root = tree();
    let mut package = open(&root).remove(0);
    set(&root, "intel-rapl:0", "busy");
    let error = package.read().expect_err("no number").to_string();
    assert!(error.contains("expected a number of microjoules, got `busy`"), "{error}");
    fs::remove_file(root.path().join("intel-rapl:0/energy_uj")).expect("there");
    let error = package.read().expect_err("gone").to_string();
    assert!(error.contains("cannot read") && error.contains("intel-rapl:0/energy_uj"), "{error}");
}

#[test]
fn memory_that_cannot_be_read_leaves_the_package_and_says_why() {
    let root = tree();
    set(&root, "intel-rapl:0:1", "-");
    let rapl = open_rapl(root.path(), None).expect("the package is there");
    assert_eq!(rapl.meters.len(), 1);
    assert!(rapl.unreadable.expect("dram").to_string().contains("got `-`"));
}

#[cfg(unix)]
#[test]
fn a_counter_that_may_not_be_read_says_what_to_run() {
    use std::os::unix::fs::PermissionsExt;
    let root = tree();
    let file = root.path().join("intel-rapl:0/energy_uj");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).expect("own file");
    if fs::read(&file).is_ok() {
        return; // root may read everything
    }
    let Err(error) = open_rapl(root.path(), None) else { panic!("it may not be read") };
    assert!(error.to_string().contains("hint: `sudo chmod a+r"), "{error}");
}

#[test]
fn the_message_for_a_forbidden_counter_holds_the_command_that_opens_it() {
    let error = SensorError::RaplPermission {
        path: "/sys/class/powercap/intel-rapl:0/energy_uj".into(),
        root: DEFAULT_POWERCAP_ROOT.into(),
    };
    let text = error.to_string();
    assert!(text.contains("`sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj`"), "{text}");
}

#[test]
fn a_machine_without_zones_is_told_so() {
    let empty = tempfile::tempdir().expect("a temporary folder");
    let Err(error) = open_rapl(empty.path(), None) else { panic!("there is nothing to open") };
    let text = error.to_string();
    assert!(text.contains("RAPL is not available") && !text.contains("lead nowhere"), "{text}");
}

#[test]
fn zones_are_found_below_their_control_type_and_nowhere_else_and_not_too_deep() {
    let root = tree_of(&[
        ("intel-rapl/intel-rapl:0", "package-0", "0"),
        ("intel-rapl/intel-rapl:0/intel-rapl:0:0", "dram", "0"),
        ("intel-rapl/intel-rapl:0/intel-rapl:0:0/intel-rapl:0:0:0", "dram", "0"),
        ("intel-rapl/other/intel-rapl:4", "package-4", "0"),
        ("other/intel-rapl:5", "package-5", "0"),
    ]);
    let domains: Vec<_> = open(&root).iter().map(|m| m.info.domain.clone()).collect();
    assert_eq!(domains, ["intel-rapl:0 package-0", "intel-rapl:0:0 dram"]);
}

#[cfg(unix)]
#[test]
fn a_link_is_dangling_where_it_leads_nowhere_however_deep_it_lies_and_not_where_it_leads_to_other_zones() {
    use std::os::unix::fs::symlink;
    for nowhere in [true, false] {
        let root = tree_of(&[("elsewhere", "core", "0"), ("intel-rapl/intel-rapl:1", "core", "0")]);
        let target = if nowhere { root.path().join("nowhere") } else { root.path().join("elsewhere") };
        symlink(target, root.path().join("intel-rapl/intel-rapl:0")).expect("new");
        let Err(error) = open_rapl(root.path(), None) else { panic!("there is no package") };
        assert_eq!(error.to_string().contains("lead nowhere"), nowhere, "{error}");
    }
}

#[test]
fn a_meter_says_how_it_reads_and_the_platform_that_it_covers_everything() {
    let package = open(&tree()).remove(0);
    assert_eq!(
        (package.period(), package.resolution(), package.unread()),
        (Seconds(0.5), Seconds(0.001), Seconds(0.0))
    );
    assert!(!package.info().note.contains("platform"), "{}", package.info().note);
    let platform = open(&tree_of(&[("intel-rapl:0", "psys", "5")])).remove(0);
    assert!(platform.info().note.contains("covers the whole platform"), "{}", platform.info().note);
}

#[test]
fn dies_whose_counters_are_far_from_zero_and_near_each_other_are_one() {
    let dies = [("intel-rapl:0", "package-0-die-0", "900000000"), ("intel-rapl:1", "package-0-die-1", "900000140")];
    assert_eq!(open(&tree_of(&dies)).remove(0).mirrored(), 1);
}

#[test]
fn the_time_in_which_a_counter_began_anew_is_left_out_and_told() {
    let root = tree();
    fs::write(root.path().join("intel-rapl:0/constraint_0_power_limit_uw"), "1000000").expect("writable");
    let mut package = open(&root).remove(0);
    package.opened = Instant::now().checked_sub(Duration::from_secs(1)).expect("it is up");
    // 4 J where 2 W for a second are the most.
    set(&root, "intel-rapl:0", "5000000");
    assert!(matches!(package.read(), Err(SensorError::NotBelieved { .. })));
    set(&root, "intel-rapl:0", "5050000");
    assert!((joules(&mut package) - 0.05).abs() < 1e-9);
    assert!((0.9..30.0).contains(&package.unread().0), "{:?}", package.unread());
}

#[test]
fn a_counter_that_has_moved_stands_still_after_a_second_and_one_that_moves_does_not() {
    let root = tree_of(&[("intel-rapl:0", "package-0", "100"), ("intel-rapl:1", "package-1", "500")]);
    let mut packages = open(&root).remove(0);
    let wait = |packages: &mut RaplMeter| {
        packages.opened = packages.opened.checked_sub(Duration::from_millis(1500)).expect("it is up");
    };
    wait(&mut packages);
    set(&root, "intel-rapl:0", "3000100");
    set(&root, "intel-rapl:1", "2000500");
    assert!((joules(&mut packages) - 5.0).abs() < 1e-9);
    assert_eq!(packages.lacks(), None, "both have just moved");
    wait(&mut packages);
    set(&root, "intel-rapl:0", "4000100");
    assert!((joules(&mut packages) - 6.0).abs() < 1e-9);
    let lacks = packages.lacks().expect("package-1 stands still");
    assert!(lacks.contains("of its 2 counters `intel-rapl:1 package-1` stands still"), "{lacks}");
}
