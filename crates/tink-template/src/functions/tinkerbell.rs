//! Tinkerbell's own functions.

use tink_yaml::{Bounds, Dialect};

use super::args::{any, int, made, text};
use super::{Function, Param, Returned, fixed};
use crate::exec::{Context, Fault};
use crate::value::{Value, from_json, to_serde};

use Param::{Any, Int, Str};

pub(super) const TABLE: &[Function] = &[
    fixed("formatPartition", &[Str, Int], format_partition),
    fixed("netmaskToPrefixLength", &[Str], prefix_length),
    fixed("toYaml", &[Any], to_yaml),
    fixed("fromYaml", &[Str], from_yaml),
];

/// The name of a partition: `/dev/sda1`, `/dev/nvme0n1p1`, `/dev/disk/by-id/x-part1`.
fn format_partition(context: &Context, args: &[Value]) -> Returned {
    let (device, number) = (text(args, 0)?, int(args, 1)?);
    let separator = if device.starts_with("/dev/disk/") {
        "-part"
    } else if device.ends_with(|c: char| c.is_ascii_digit()) {
        "p"
    } else {
        ""
    };
    made(context, format!("{device}{separator}{number}"))
}

/// 255.255.255.0 as 24. A mask with holes gives 0, as upstream.
fn prefix_length(context: &Context, args: &[Value]) -> Returned {
    let mask = text(args, 0)?;
    let bad = || Fault::new(format!("{mask:?} is not an IPv4 netmask; write one like 255.255.255.0"));
    let address = mask.parse::<std::net::IpAddr>().map_err(|_| bad())?;
    let bits = match address {
        std::net::IpAddr::V4(v4) => u32::from(v4),
        std::net::IpAddr::V6(v6) => u32::from(v6.to_ipv4_mapped().ok_or_else(bad)?),
    };
    let ones = bits.leading_ones();
    made(context, if bits.count_ones() == ones { ones.to_string() } else { "0".to_owned() })
}

fn to_yaml(context: &Context, args: &[Value]) -> Returned {
    let json = to_serde(context, any(args, 0)?)?;
    let yaml = tink_yaml::to_yaml(&json);
    made(context, yaml.strip_suffix('\n').unwrap_or(&yaml))
}

fn from_yaml(context: &Context, args: &[Value]) -> Returned {
    let text = text(args, 0)?;
    if text.is_empty() {
        return Err(Fault::new("the YAML text is empty"));
    }
    context.produce(text.len() * 4)?;
    let failed = |fault: tink_yaml::YamlError| Fault::new(format!("not valid YAML: {fault}"));
    // Like sigs.k8s.io/yaml: only the first document counts, and of two equal keys the last.
    let bounds = Bounds {
        text_bytes_max: 4 * 1024 * 1024,
        nodes_max: 100_000,
        scalar_bytes_max: 8 * 1024 * 1024,
        duplicate_keys_allowed: true,
        ..Bounds::default()
    };
    match tink_yaml::parse_first(&text, &bounds).map_err(failed)?.node {
        Some(document) => Ok(from_json(&document.to_json(Dialect::Kubernetes).map_err(failed)?)),
        None => Ok(Value::Nil),
    }
}
