//! The programs of `examples/hello`.

use std::io::Write;
use std::time::Duration;

use crate::ActionError;

const COUNT_USAGE: &str = "count --to N [--delay-ms MS]";

/// Says hello to every name, and where from.
pub fn greet(names: &[String], out: &mut dyn Write) -> Result<(), ActionError> {
    let whom = if names.is_empty() { "world".to_owned() } else { names.join(" ") };
    say(out, &format!("hello, {whom}"))?;
    for (what, path) in [("machine", "/proc/sys/kernel/hostname"), ("kernel", "/proc/sys/kernel/osrelease")] {
        if let Ok(text) = std::fs::read_to_string(path) {
            say(out, &format!("{what} {}", text.trim()))?;
        }
    }
    Ok(())
}

/// Counts to N with a pause between the numbers.
pub fn count(args: &[String], out: &mut dyn Write) -> Result<(), ActionError> {
    let (mut to, mut delay_ms) = (None, 0_u64);
    let mut rest = args.iter();
    while let Some(flag) = rest.next() {
        let value = rest.next().and_then(|value| value.parse::<u64>().ok());
        match (flag.as_str(), value) {
            ("--to", Some(value)) => to = Some(value),
            ("--delay-ms", Some(value)) => delay_ms = value,
            _ => return Err(usage(flag)),
        }
    }
    let to = to.ok_or_else(|| usage(""))?;
    for number in 1..=to {
        say(out, &format!("{number} of {to}"))?;
        if number < to {
            pause(Duration::from_millis(delay_ms));
        }
    }
    Ok(())
}

/// Ends the example.
pub fn say_goodbye(args: &[String], out: &mut dyn Write) -> Result<(), ActionError> {
    match args.first() {
        None => say(out, "goodbye"),
        Some(found) => Err(ActionError::Usage { program: "say-goodbye", found: found.clone(), usage: "say-goodbye" }),
    }
}

fn usage(found: &str) -> ActionError {
    ActionError::Usage { program: "count", found: found.to_owned(), usage: COUNT_USAGE }
}

fn say(out: &mut dyn Write, line: &str) -> Result<(), ActionError> {
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(ActionError::Output)
}

/// The pause is what the program is asked to do, not a way to wait for something else.
#[expect(clippy::disallowed_methods, reason = "the pause between two numbers is the program's purpose")]
fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

#[cfg(test)]
mod tests {
    use crate::run;

    fn output(args: &[&str]) -> Result<String, String> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let mut out = Vec::new();
        run(&args, &|_: &str| None, &mut out).map_err(|error| error.to_string())?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn greet_names_whom_it_greets() {
        assert!(output(&["greet", "bare", "metal"]).unwrap().starts_with("hello, bare metal\n"));
        assert!(output(&["greet"]).unwrap().starts_with("hello, world\n"));
    }

    #[test]
    fn count_prints_every_number() {
        assert_eq!(output(&["count", "--to", "3"]).unwrap(), "1 of 3\n2 of 3\n3 of 3\n");
        assert_eq!(output(&["say-goodbye"]).unwrap(), "goodbye\n");
    }

    #[test]
    fn a_wrong_command_says_how_it_is_called() {
        for bad in [&["count"][..], &["count", "--to"], &["count", "--to", "x"], &["count", "5"], &["say-goodbye", "x"]]
        {
            assert!(output(bad).unwrap_err().contains("usage: "), "{bad:?}");
        }
        assert!(output(&["dance"]).unwrap_err().contains("greet, count, say-goodbye"));
        assert!(output(&[]).is_err());
    }
}
