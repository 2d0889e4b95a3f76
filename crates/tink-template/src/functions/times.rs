//! Go's `time.Time`: a moment with the offset it is shown in, and its methods.

use std::rc::Rc;

use super::args::{int, text};
use super::durations::SECOND;
use super::timelayout::{self, Item};
use super::{Param, Returned};
use crate::exec::Fault;
use crate::value::{IntType, Object, Value};

/// A moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Time {
    /// Seconds since 1970.
    pub(super) unix_s: i64,
    pub(super) nanos: i64,
    /// Seconds east of Greenwich.
    pub(super) offset_s: i64,
    /// Whether the zone is UTC by name, rather than an offset.
    pub(super) is_utc: bool,
}

/// Year, month, day, hour, minute and second, as shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Civil {
    pub(super) year: i64,
    pub(super) month: i64,
    pub(super) day: i64,
    pub(super) hour: i64,
    pub(super) minute: i64,
    pub(super) second: i64,
}

const DAY_S: i64 = 86_400;

impl Time {
    /// Go's zero time: the year 1.
    pub(super) const ZERO: Self = Self { unix_s: -62_135_596_800, nanos: 0, offset_s: 0, is_utc: true };

    pub(super) fn into_value(self) -> Value {
        Value::Object(Rc::new(self))
    }

    /// Reads `value` by a Go layout.
    pub(super) fn parse(layout: &str, value: &str) -> Result<Self, String> {
        timelayout::parse(layout, value)
    }

    pub(super) fn plus(self, nanos: i64) -> Self {
        let total = i128::from(self.unix_s) * i128::from(SECOND) + i128::from(self.nanos) + i128::from(nanos);
        let second = i128::from(SECOND);
        Self {
            unix_s: i64::try_from(total.div_euclid(second)).unwrap_or(i64::MAX),
            nanos: i64::try_from(total.rem_euclid(second)).unwrap_or_default(),
            ..self
        }
    }

    pub(super) fn civil(self) -> Civil {
        let shown = self.unix_s.saturating_add(self.offset_s);
        let (days, rest) = (shown.div_euclid(DAY_S), shown.rem_euclid(DAY_S));
        let (year, month, day) = date_of(days);
        Civil { year, month, day, hour: rest / 3600, minute: rest / 60 % 60, second: rest % 60 }
    }

    pub(super) fn weekday(self) -> i64 {
        (self.unix_s.saturating_add(self.offset_s).div_euclid(DAY_S) + 4).rem_euclid(7)
    }

    pub(super) fn year_day(self) -> i64 {
        let civil = self.civil();
        days_from(civil.year, civil.month, civil.day) - days_from(civil.year, 1, 1) + 1
    }
}

/// Days since 1970 of a date.
pub(super) fn days_from(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The date of a day since 1970.
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days.saturating_add(719_468);
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

impl Object for Time {
    fn type_name(&self) -> &'static str {
        "time.Time"
    }

    fn kind_name(&self) -> &'static str {
        "struct"
    }

    fn text(&self) -> String {
        timelayout::format("2006-01-02 15:04:05.999999999 -0700 MST", *self)
    }

    fn method(&self, name: &str) -> Option<&'static [Param]> {
        Some(match name {
            "Unix" | "UnixMilli" | "UnixMicro" | "UnixNano" | "Year" | "Day" | "Hour" | "Minute" | "Second"
            | "Nanosecond" | "YearDay" | "Month" | "Weekday" | "IsZero" | "String" | "UTC" | "Local" => &[],
            "Format" => &[Param::Str],
            "After" | "Before" | "Equal" => &[Param::Time],
            "AddDate" => &[Param::Int, Param::Int, Param::Int],
            _ => return None,
        })
    }

    fn call(&self, name: &str, args: &[Value]) -> Returned {
        let civil = self.civil();
        let plain = |n: i64| Ok(Value::Int(IntType::Int, n));
        let scaled = |n: i64| Ok(Value::int64(self.unix_s.wrapping_mul(n).wrapping_add(self.nanos / (SECOND / n))));
        match name {
            "Unix" => Ok(Value::int64(self.unix_s)),
            "UnixMilli" => scaled(1_000),
            "UnixMicro" => scaled(1_000_000),
            "UnixNano" => scaled(SECOND),
            "Year" => plain(civil.year),
            "Day" => plain(civil.day),
            "Hour" => plain(civil.hour),
            "Minute" => plain(civil.minute),
            "Second" => plain(civil.second),
            "Nanosecond" => plain(self.nanos),
            "YearDay" => plain(self.year_day()),
            "Month" => Ok(Value::str(timelayout::format("January", *self))),
            "Weekday" => Ok(Value::str(timelayout::format("Monday", *self))),
            "IsZero" => Ok(Value::Bool(self.unix_s == Self::ZERO.unix_s && self.nanos == 0)),
            "String" => Ok(Value::str(self.text())),
            "UTC" | "Local" => Ok(Self { offset_s: 0, is_utc: true, ..*self }.into_value()),
            "Format" => Ok(Value::str(timelayout::format(&text(args, 0)?, *self))),
            "AddDate" => self.add_date(args),
            _ => self.ordered(name, args),
        }
    }

    fn to_json(&self) -> serde_json::Value {
        timelayout::format("2006-01-02T15:04:05.999999999Z07:00", *self).into()
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

impl Time {
    fn ordered(&self, name: &str, args: &[Value]) -> Returned {
        let other = match args.first() {
            Some(Value::Object(object)) => object.as_any().downcast_ref::<Self>(),
            _ => None,
        };
        let other = other.ok_or_else(|| Fault::new("there is no time to compare with"))?;
        let moments = (self.unix_s, self.nanos).cmp(&(other.unix_s, other.nanos));
        Ok(Value::Bool(match name {
            "After" => moments.is_gt(),
            "Before" => moments.is_lt(),
            _ => moments.is_eq(),
        }))
    }

    /// Years, months and days later; what overflows a month runs into the next.
    fn add_date(&self, args: &[Value]) -> Returned {
        let civil = self.civil();
        let far = || Fault::new("the date is too far away");
        let bounded = |n: i64| if n.unsigned_abs() < 1_000_000 { Ok(n) } else { Err(far()) };
        let months = civil.month - 1 + bounded(int(args, 1)?)?;
        let year = civil.year + bounded(int(args, 0)?)? + months.div_euclid(12);
        let days = days_from(year, months.rem_euclid(12) + 1, 1) + civil.day - 1 + bounded(int(args, 2)?)?;
        let of_day = civil.hour * 3600 + civil.minute * 60 + civil.second;
        Ok(Self { unix_s: days * DAY_S + of_day - self.offset_s, ..*self }.into_value())
    }

    /// The moment of what was read by a layout.
    pub(super) fn from_civil(civil: Civil, nanos: i64, offset_s: i64, is_utc: bool) -> Self {
        let days = days_from(civil.year, civil.month, civil.day);
        let of_day = civil.hour * 3600 + civil.minute * 60 + civil.second;
        Self { unix_s: days * DAY_S + of_day - offset_s, nanos, offset_s, is_utc }
    }

    /// How a layout's item shows, for the items that hang on more than one field.
    pub(super) fn zone_text(self, item: Item) -> String {
        let (sign, all) = if self.offset_s < 0 { ('-', -self.offset_s) } else { ('+', self.offset_s) };
        let (hours, minutes) = (all / 3600, all / 60 % 60);
        match item {
            Item::IsoZone { .. } if self.offset_s == 0 => "Z".to_owned(),
            Item::IsoZone { colon: true } | Item::Zone { colon: true } => format!("{sign}{hours:02}:{minutes:02}"),
            Item::ShortZone => format!("{sign}{hours:02}"),
            Item::ZoneName if self.is_utc => "UTC".to_owned(),
            _ => format!("{sign}{hours:02}{minutes:02}"),
        }
    }
}
