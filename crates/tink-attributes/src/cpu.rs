//! Processors, from `/proc/cpuinfo` and `/sys/devices/system/cpu`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::{Machine, firmware};

const CPUS: &str = "sys/devices/system/cpu";

/// All processors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    /// Of all processors together.
    pub total_cores: u32,
    /// Logical processors that are online.
    pub total_threads: u32,
    /// By number.
    pub processors: Vec<Processor>,
}

/// One processor: a package, what sits in a socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Processor {
    /// The package's number.
    pub id: u32,
    /// Its cores.
    pub cores: u32,
    /// Its logical processors.
    pub threads: u32,
    /// Such as `GenuineIntel`.
    pub vendor: String,
    /// Its name.
    pub model: String,
    /// Such as `avx2`.
    pub capabilities: Vec<String>,
}

/// What `/proc/cpuinfo` says of one logical processor.
type Facts = HashMap<String, String>;

pub(crate) fn collect(machine: &Machine) -> Cpu {
    let facts = facts(&machine.text("proc/cpuinfo").unwrap_or_default());
    let mut packages: BTreeMap<i64, (Processor, BTreeSet<i64>)> = BTreeMap::new();
    for name in machine.names(CPUS) {
        let Some(number) = name.strip_prefix("cpu").and_then(|digits| digits.parse::<u32>().ok()) else { continue };
        // Without the file it cannot be taken offline.
        if machine.text(&format!("{CPUS}/{name}/online")).is_some_and(|online| online == "0") {
            continue;
        }
        let topology =
            |file: &str| -> Option<i64> { machine.text(&format!("{CPUS}/{name}/topology/{file}"))?.parse().ok() };
        let package = topology("physical_package_id").unwrap_or(-1);
        let (processor, cores) = packages.entry(package).or_insert_with(|| {
            let empty = Facts::new();
            let facts = facts.get(&number).unwrap_or(&empty);
            (processor(machine, u32::try_from(package).unwrap_or(0), facts), BTreeSet::new())
        });
        processor.threads += 1;
        cores.insert(topology("core_id").unwrap_or(-1));
        processor.cores = u32::try_from(cores.len()).unwrap_or(u32::MAX);
    }
    let processors: Vec<_> = packages.into_values().map(|(processor, _)| processor).collect();
    Cpu {
        total_cores: processors.iter().map(|processor| processor.cores).sum(),
        total_threads: processors.iter().map(|processor| processor.threads).sum(),
        processors,
    }
}

fn processor(machine: &Machine, id: u32, facts: &Facts) -> Processor {
    let first = |names: &[&str]| {
        let found = names.iter().find_map(|name| facts.get(*name).filter(|text| !text.is_empty()));
        found.cloned().unwrap_or_default()
    };
    let flags = first(&["flags", "Features", "features"]);
    let mut model = first(&["model name", "Processor", "cpu model", "Model Name", "uarch", "machine"]);
    if model.is_empty() {
        model = firmware::device_tree_soc(machine).unwrap_or_default();
    }
    let mut vendor = first(&["vendor_id", "isa"]);
    if vendor.is_empty() && facts.get("CPU implementer").is_some_and(|code| code == "0x41") {
        "ARM".clone_into(&mut vendor);
    }
    let capabilities = flags.split_whitespace().map(str::to_owned).collect();
    Processor { id, cores: 0, threads: 0, vendor, model, capabilities }
}

/// By logical processor. What stands before the first one or after the last (some ARM kernels name the machine there)
/// is nobody's.
fn facts(cpuinfo: &str) -> HashMap<u32, Facts> {
    let mut all: HashMap<u32, Facts> = HashMap::new();
    let mut current = None;
    for line in cpuinfo.lines() {
        let Some((key, value)) = line.split_once(':') else {
            current = None;
            continue;
        };
        let (key, value) = (key.trim(), value.trim());
        if key == "processor" {
            current = value.parse().ok();
        } else if let Some(number) = current {
            all.entry(number).or_default().insert(key.to_owned(), value.to_owned());
        }
    }
    all
}
