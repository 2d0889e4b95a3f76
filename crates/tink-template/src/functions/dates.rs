//! Sprig: dates and durations. Times without a zone are UTC, as on a server whose zone is not set.

use std::rc::Rc;

use super::args::{any, made, text};
use super::durations::{self, SECOND};
use super::times::Time;
use super::{Function, Param, Returned, fixed};
use crate::exec::{Context, Fault};
use crate::value::{IntType, Value};

use Param::{Any, Str, Time as ATime};

pub(super) const TABLE: &[Function] = &[
    fixed("ago", &[Any], ago),
    fixed("duration", &[Any], duration),
    fixed("durationRound", &[Any], duration_round),
    fixed("toDate", &[Str, Str], |_, args| {
        Ok(Time::parse(&text(args, 0)?, &text(args, 1)?).unwrap_or(Time::ZERO).into_value())
    }),
    fixed("mustToDate", &[Str, Str], |_, args| {
        Ok(Time::parse(&text(args, 0)?, &text(args, 1)?).map_err(Fault::new)?.into_value())
    }),
    fixed("must_date_modify", &[Str, ATime], date_modify),
    fixed("mustDateModify", &[Str, ATime], date_modify),
    fixed("unixEpoch", &[ATime], |context, args| made(context, time(any(args, 0)?)?.unix_s.to_string())),
];

fn time(value: &Value) -> Result<Rc<Time>, Fault> {
    let found = match value {
        Value::Object(object) => object.as_any().downcast_ref::<Time>().copied(),
        _ => None,
    };
    found.map(Rc::new).ok_or_else(|| Fault::new("this is no time"))
}

/// How long ago, to the second.
fn ago(context: &Context, args: &[Value]) -> Returned {
    let now = context.now_unix_s()?;
    let then = match any(args, 0)? {
        Value::Int(_, seconds) => *seconds,
        value => time(value).map_or(now, |time| time.unix_s),
    };
    made(context, durations::format(now.saturating_sub(then).saturating_mul(SECOND)))
}

/// A number of seconds as a duration. Of integers, only int64 counts: an int is 0s, as in Sprig.
fn duration(context: &Context, args: &[Value]) -> Returned {
    let seconds = match any(args, 0)? {
        Value::Str(text) => super::convert::atoi(&text.to_str_lossy()),
        Value::Int(IntType::Int64, n) => *n,
        _ => 0,
    };
    made(context, durations::format(seconds.wrapping_mul(SECOND)))
}

/// The duration in its largest unit, cut.
fn duration_round(context: &Context, args: &[Value]) -> Returned {
    let nanos = match any(args, 0)? {
        Value::Str(text) => durations::parse(&text.to_str_lossy()).unwrap_or_default(),
        Value::Int(IntType::Int64, n) => *n,
        value => match time(value) {
            Ok(time) => context.now_unix_s()?.saturating_sub(time.unix_s).saturating_mul(SECOND),
            Err(_) => 0,
        },
    };
    const UNITS: [(u64, &str); 6] =
        [(31_536_000, "y"), (2_592_000, "mo"), (86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let all = nanos.unsigned_abs();
    for (seconds, unit) in UNITS {
        let size = seconds * SECOND.unsigned_abs();
        if all > size {
            return made(context, format!("{}{unit}", all / size));
        }
    }
    made(context, "0s")
}

fn date_modify(_: &Context, args: &[Value]) -> Returned {
    let text = text(args, 0)?;
    let nanos = durations::parse(&text)
        .ok_or_else(|| Fault::new(format!("{text:?} is not a duration; write one like -1h30m")))?;
    Ok(time(any(args, 1)?)?.plus(nanos).into_value())
}
