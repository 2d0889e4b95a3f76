//! Go's layouts, which show how the moment `Mon Jan 2 15:04:05 -0700 MST 2006` would be written.

use super::times::{Civil, Time, days_from};

/// A part of a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    LongMonth,
    ShortMonth,
    Month {
        padded: bool,
    },
    LongWeekday,
    ShortWeekday,
    Day {
        pad: Pad,
    },
    YearDay,
    Hour,
    Hour12 {
        padded: bool,
    },
    Minute {
        padded: bool,
    },
    Second {
        padded: bool,
    },
    LongYear,
    ShortYear,
    Noon {
        upper: bool,
    },
    ZoneName,
    /// `Z0700`, `Z07:00`
    IsoZone {
        colon: bool,
    },
    /// `-0700`, `-07:00`
    Zone {
        colon: bool,
    },
    /// `-07`
    ShortZone,
    /// `.000` or `.999`: the digits, and whether zeros at the end are dropped.
    Fraction {
        digits: usize,
        trimmed: bool,
    },
}

/// How a day of the month is filled to two characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pad {
    None,
    Zero,
    Space,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// Longer spellings stand before those that begin like them.
const SPELLINGS: &[(&str, Item)] = &[
    ("January", Item::LongMonth),
    ("Monday", Item::LongWeekday),
    ("-07:00", Item::Zone { colon: true }),
    ("Z07:00", Item::IsoZone { colon: true }),
    ("-0700", Item::Zone { colon: false }),
    ("Z0700", Item::IsoZone { colon: false }),
    ("2006", Item::LongYear),
    ("Jan", Item::ShortMonth),
    ("Mon", Item::ShortWeekday),
    ("MST", Item::ZoneName),
    ("-07", Item::ShortZone),
    ("002", Item::YearDay),
    ("01", Item::Month { padded: true }),
    ("02", Item::Day { pad: Pad::Zero }),
    ("03", Item::Hour12 { padded: true }),
    ("04", Item::Minute { padded: true }),
    ("05", Item::Second { padded: true }),
    ("06", Item::ShortYear),
    ("15", Item::Hour),
    ("_2", Item::Day { pad: Pad::Space }),
    ("PM", Item::Noon { upper: true }),
    ("pm", Item::Noon { upper: false }),
    ("1", Item::Month { padded: false }),
    ("2", Item::Day { pad: Pad::None }),
    ("3", Item::Hour12 { padded: false }),
    ("4", Item::Minute { padded: false }),
    ("5", Item::Second { padded: false }),
];

/// The literal text before the next item, the item, and what is left.
fn next_item(layout: &str) -> (&str, Option<Item>, &str) {
    for (at, _) in layout.char_indices() {
        let rest = layout.get(at..).unwrap_or_default();
        let before = layout.get(..at).unwrap_or_default();
        if let Some((digits, trimmed)) = fraction(rest) {
            return (before, Some(Item::Fraction { digits, trimmed }), rest.get(digits + 1..).unwrap_or_default());
        }
        if let Some((spelling, item)) = SPELLINGS.iter().find(|(spelling, _)| rest.starts_with(spelling)) {
            // `Month` and such are words, not `Mon` with a tail.
            let after = rest.get(spelling.len()..).unwrap_or_default();
            let word = matches!(item, Item::ShortMonth | Item::ShortWeekday);
            if !(word && after.starts_with(|c: char| c.is_ascii_lowercase())) {
                return (before, Some(*item), after);
            }
        }
    }
    (layout, None, "")
}

/// `.000` or `,999`, when no digit follows.
fn fraction(rest: &str) -> Option<(usize, bool)> {
    let body = rest.strip_prefix(['.', ','])?;
    let digit = body.chars().next().filter(|c| matches!(c, '0' | '9'))?;
    let count = body.len() - body.trim_start_matches(digit).len();
    let ends = !body.get(count..).is_some_and(|after| after.starts_with(|c: char| c.is_ascii_digit()));
    ends.then_some((count, digit == '9'))
}

fn name_at(names: &[&'static str], index: i64) -> &'static str {
    usize::try_from(index).ok().and_then(|index| names.get(index)).copied().unwrap_or_default()
}

/// The moment, written by the layout.
pub(super) fn format(layout: &str, time: Time) -> String {
    let civil = time.civil();
    let mut out = String::new();
    let mut rest = layout;
    loop {
        let (text, item, after) = next_item(rest);
        out.push_str(text);
        rest = after;
        let Some(item) = item else { return out };
        out.push_str(&show(item, civil, time));
    }
}

fn show(item: Item, civil: Civil, time: Time) -> String {
    let hour12 = if civil.hour % 12 == 0 { 12 } else { civil.hour % 12 };
    let number = |n: i64, padded: bool| if padded { format!("{n:02}") } else { n.to_string() };
    match item {
        Item::LongMonth => name_at(&MONTHS, civil.month - 1).to_owned(),
        Item::ShortMonth => name_at(&MONTHS, civil.month - 1).chars().take(3).collect(),
        Item::Month { padded } => number(civil.month, padded),
        Item::LongWeekday => name_at(&WEEKDAYS, time.weekday()).to_owned(),
        Item::ShortWeekday => name_at(&WEEKDAYS, time.weekday()).chars().take(3).collect(),
        Item::Day { pad: Pad::Space } => format!("{:2}", civil.day),
        Item::Day { pad } => number(civil.day, pad == Pad::Zero),
        Item::YearDay => format!("{:03}", time.year_day()),
        Item::Hour => number(civil.hour, true),
        Item::Hour12 { padded } => number(hour12, padded),
        Item::Minute { padded } => number(civil.minute, padded),
        Item::Second { padded } => number(civil.second, padded),
        Item::LongYear => format!("{:04}", civil.year),
        Item::ShortYear => number(civil.year.rem_euclid(100), true),
        Item::Noon { upper: true } => if civil.hour >= 12 { "PM" } else { "AM" }.to_owned(),
        Item::Noon { upper: false } => if civil.hour >= 12 { "pm" } else { "am" }.to_owned(),
        Item::Fraction { digits, trimmed } => {
            let all = format!("{:09}", time.nanos);
            let cut = all.get(..digits.min(9)).unwrap_or(&all);
            let cut = if trimmed { cut.trim_end_matches('0') } else { cut };
            if cut.is_empty() { String::new() } else { format!(".{cut}") }
        }
        zone => time.zone_text(zone),
    }
}

/// What has been read so far.
struct Reading<'v> {
    rest: &'v str,
    civil: Civil,
    nanos: i64,
    afternoon: Option<bool>,
    offset: Option<(i64, bool)>,
    day_of_year: Option<i64>,
}

/// Reads a moment by the layout.
pub(super) fn parse(layout: &str, value: &str) -> Result<Time, String> {
    let bad = || format!("{value:?} is not a time of the form {layout:?}");
    let civil = Civil { year: 0, month: 1, day: 1, hour: 0, minute: 0, second: 0 };
    let mut reading = Reading { rest: value, civil, nanos: 0, afternoon: None, offset: None, day_of_year: None };
    let mut left = layout;
    loop {
        let (text, item, after) = next_item(left);
        reading.literal(text).ok_or_else(bad)?;
        left = after;
        let Some(item) = item else { break };
        reading.item(item, left).ok_or_else(bad)?;
    }
    if !reading.rest.is_empty() {
        return Err(bad());
    }
    reading.finish().ok_or_else(bad)
}

impl Reading<'_> {
    /// Literal text; a run of spaces fits a run of spaces.
    fn literal(&mut self, text: &str) -> Option<()> {
        let mut text = text;
        while let Some(c) = text.chars().next() {
            if c == ' ' {
                if !self.rest.is_empty() && !self.rest.starts_with(' ') {
                    return None;
                }
                text = text.trim_start_matches(' ');
                self.rest = self.rest.trim_start_matches(' ');
                continue;
            }
            self.rest = self.rest.strip_prefix(c)?;
            text = text.get(c.len_utf8()..)?;
        }
        Some(())
    }

    /// A number of `least` to `most` digits.
    fn number(&mut self, least: usize, most: usize) -> Option<i64> {
        let digits = self.rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
        if digits < least {
            return None;
        }
        let (number, rest) = self.rest.split_at(digits);
        self.rest = rest;
        number.parse().ok()
    }

    fn padded(&mut self, padded: bool) -> Option<i64> {
        self.number(if padded { 2 } else { 1 }, 2)
    }

    /// One of the names, as a whole or by its first three letters, in any case.
    fn name(&mut self, names: &[&str], whole: bool) -> Option<i64> {
        for (i, name) in names.iter().enumerate() {
            let wanted = if whole { name } else { name.get(..3)? };
            if self.rest.get(..wanted.len()).is_some_and(|head| head.eq_ignore_ascii_case(wanted)) {
                self.rest = self.rest.get(wanted.len()..)?;
                return i64::try_from(i).ok();
            }
        }
        None
    }

    fn item(&mut self, item: Item, layout_left: &str) -> Option<()> {
        match item {
            Item::LongMonth => self.civil.month = self.name(&MONTHS, true)? + 1,
            Item::ShortMonth => self.civil.month = self.name(&MONTHS, false)? + 1,
            Item::Month { padded } => self.civil.month = self.padded(padded)?,
            Item::LongWeekday => drop(self.name(&WEEKDAYS, true)?),
            Item::ShortWeekday => drop(self.name(&WEEKDAYS, false)?),
            Item::Day { pad } => {
                if pad == Pad::Space {
                    self.rest = self.rest.strip_prefix(' ').unwrap_or(self.rest);
                }
                self.civil.day = self.padded(pad == Pad::Zero)?;
            }
            Item::YearDay => self.day_of_year = Some(self.number(3, 3)?),
            Item::Hour => self.civil.hour = self.number(1, 2).filter(|hour| *hour < 24)?,
            Item::Hour12 { padded } => self.civil.hour = self.padded(padded).filter(|hour| *hour <= 12)?,
            Item::Minute { padded } => self.civil.minute = self.padded(padded).filter(|n| *n < 60)?,
            Item::Second { padded } => {
                self.civil.second = self.padded(padded).filter(|n| *n < 60)?;
                // A fraction may follow the seconds even when the layout has none.
                if fraction(layout_left).is_none() && self.rest.starts_with(['.', ',']) {
                    self.optional_fraction();
                }
            }
            Item::LongYear => self.civil.year = self.number(4, 4)?,
            Item::ShortYear => {
                let year = self.number(2, 2)?;
                self.civil.year = if year >= 69 { 1900 + year } else { 2000 + year };
            }
            Item::Noon { .. } => {
                let head = self.rest.get(..2)?;
                let upper = matches!(item, Item::Noon { upper: true });
                self.afternoon = Some(match (head, upper) {
                    ("PM", true) | ("pm", false) => true,
                    ("AM", true) | ("am", false) => false,
                    _ => return None,
                });
                self.rest = self.rest.get(2..)?;
            }
            Item::Fraction { digits, trimmed } => self.fraction(digits, trimmed)?,
            Item::ZoneName => self.zone_name()?,
            zone => self.zone(zone)?,
        }
        Some(())
    }

    fn optional_fraction(&mut self) {
        let digits = self.rest.bytes().skip(1).take_while(u8::is_ascii_digit).count();
        if digits > 0 {
            self.fraction(digits, true);
        }
    }

    fn fraction(&mut self, digits: usize, trimmed: bool) -> Option<()> {
        let found = self.rest.bytes().skip(1).take_while(u8::is_ascii_digit).count();
        if !self.rest.starts_with(['.', ',']) {
            return trimmed.then_some(());
        }
        if !trimmed && found < digits {
            return None;
        }
        let count = if trimmed { found } else { digits };
        let text = self.rest.get(1..=count)?;
        self.nanos = format!("{:0<9}", text.get(..text.len().min(9))?).parse().ok()?;
        self.rest = self.rest.get(count + 1..)?;
        Some(())
    }

    /// An abbreviation of three or four capitals. Only UTC is known; others count as UTC, too.
    fn zone_name(&mut self) -> Option<()> {
        let count = self.rest.bytes().take_while(u8::is_ascii_uppercase).count();
        if !(3..=5).contains(&count) {
            return None;
        }
        let (name, rest) = self.rest.split_at(count);
        self.offset.get_or_insert((0, name == "UTC"));
        self.rest = rest;
        Some(())
    }

    fn zone(&mut self, item: Item) -> Option<()> {
        if matches!(item, Item::IsoZone { .. })
            && let Some(rest) = self.rest.strip_prefix('Z')
        {
            self.rest = rest;
            self.offset = Some((0, true));
            return Some(());
        }
        let sign = match self.rest.chars().next()? {
            '+' => 1,
            '-' => -1,
            _ => return None,
        };
        self.rest = self.rest.get(1..)?;
        let hours = self.number(2, 2).filter(|hours| *hours <= 24)?;
        if matches!(item, Item::IsoZone { colon: true } | Item::Zone { colon: true }) {
            self.rest = self.rest.strip_prefix(':')?;
        }
        let minutes = if item == Item::ShortZone { 0 } else { self.number(2, 2).filter(|n| *n < 60)? };
        self.offset = Some((sign * (hours * 3600 + minutes * 60), false));
        Some(())
    }

    fn finish(mut self) -> Option<Time> {
        match self.afternoon {
            Some(true) if self.civil.hour < 12 => self.civil.hour += 12,
            Some(false) if self.civil.hour == 12 => self.civil.hour = 0,
            _ => {}
        }
        if !(1..=12).contains(&self.civil.month) {
            return None;
        }
        let next =
            if self.civil.month == 12 { (self.civil.year + 1, 1) } else { (self.civil.year, self.civil.month + 1) };
        let length = days_from(next.0, next.1, 1) - days_from(self.civil.year, self.civil.month, 1);
        if !(1..=length).contains(&self.civil.day) {
            return None;
        }
        let (offset, is_utc) = self.offset.unwrap_or((0, true));
        let time = Time::from_civil(self.civil, self.nanos, offset, is_utc || offset == 0);
        match self.day_of_year {
            Some(day) if (1..=366).contains(&day) => {
                let first = Time::from_civil(Civil { month: 1, day: 1, ..self.civil }, self.nanos, offset, is_utc);
                Some(first.plus((day - 1) * 86_400 * super::durations::SECOND))
            }
            Some(_) => None,
            None => Some(time),
        }
    }
}
