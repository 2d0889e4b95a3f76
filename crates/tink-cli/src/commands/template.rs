//! Checks and renders templates, with no server.

use std::path::Path;

use serde_json::Value;
use tink_manifest::Manifest;
use tink_template::{CompileError, Data, check_syntax, compile, render as render_text};
use tink_workflow::Limits;

use crate::args::{Lint, Render, Values};
use crate::exit::{self, DONE, Failure};
use crate::{load, output};

/// `tink template lint`: prints every finding and returns 1 if one of them is an error.
pub fn lint(args: &Lint) -> Result<u8, Failure> {
    let mut text = String::new();
    let (mut errors, mut warnings) = (0, 0);
    for path in &args.files {
        let (source, name) = load::template(path)?;
        let findings = findings(&source, &args.values)?;
        for (error, finding) in findings {
            if error {
                errors += 1
            } else {
                warnings += 1
            }
            let severity = if error { "error" } else { "warning" };
            text.push_str(&format!("{name}:{finding} [{severity}]\n"));
        }
    }
    let count = |number: usize, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
    text.push_str(&format!(
        "{}: {}, {}\n",
        count(args.files.len(), "template"),
        count(errors, "error"),
        count(warnings, "warning")
    ));
    output::write(text.as_bytes())?;
    Ok(if errors > 0 || (args.strict && warnings > 0) { exit::FAILED } else { DONE })
}

/// Everything there is to say of a template; true = an error. Without values only its syntax can be checked, unless it
/// needs none.
fn findings(source: &str, values: &Values) -> Result<Vec<(bool, String)>, Failure> {
    let limits = Limits::default();
    let data = data(values)?;
    if let Err(error) = check_syntax(source, &limits) {
        return Ok(vec![(true, error.to_string())]);
    }
    Ok(match compile(source, &data, &limits) {
        Ok(compiled) => compiled.warnings.iter().map(|finding| (false, finding.to_string())).collect(),
        Err(CompileError::Render(error)) if values.set.is_empty() && values.hardware.is_none() => {
            vec![(false, format!("{error}; give values with --set KEY=VALUE and --hardware FILE to check all of it"))]
        }
        Err(CompileError::Render(error)) => vec![(true, error.to_string())],
        Err(error) => error.to_string().lines().map(|line| (true, line.to_owned())).collect(),
    })
}

/// `tink template render`.
pub fn render(args: &Render) -> Result<u8, Failure> {
    let (source, name) = load::template(&args.file)?;
    let rendered = render_text(&source, &data(&args.values)?, &Limits::default())
        .map_err(|error| Failure::usage(anyhow::anyhow!("{name}:{error}")))?;
    output::write(rendered.text.as_bytes())?;
    Ok(DONE)
}

/// What a template sees.
pub fn data(values: &Values) -> Result<Data, Failure> {
    let data = Data::new().hardware_map(values.set.iter().cloned()).at(jiff::Timestamp::now().as_second());
    Ok(match &values.hardware {
        Some(path) => data.hardware(hardware(path)?),
        None => data,
    })
}

fn hardware(path: &Path) -> Result<Value, Failure> {
    let manifests = load::file(path)?;
    manifests
        .iter()
        .find(|manifest| matches!(manifest, Manifest::Hardware(_)))
        .map(Manifest::to_json)
        .ok_or_else(|| Failure::usage(anyhow::anyhow!("{} holds no hardware manifest", path.display())))
}
