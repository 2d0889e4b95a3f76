//! Template and hardware to what a workflow shall do.

use std::collections::BTreeMap;

use tink_manifest::Hardware;
use tink_template::{CompileError, Data, RenderError};
use tink_workflow::{Limits, Timestamp, WorkflowSpec};

use super::admin::References;

/// A template that was rendered and holds.
pub struct Rendered {
    /// What it asks for.
    pub spec: WorkflowSpec,
    /// What is allowed, but likely not meant.
    pub warnings: Vec<String>,
}

/// A template.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// Its name, for findings.
    pub name: &'a str,
    /// Its text.
    pub text: &'a str,
}

/// Renders a template for a workflow. References that are not given are warnings.
///
/// # Errors
/// Every finding, with its line, and after it why a reference that the template uses is not given. No finding holds a value
/// of the hardware but the names in its references.
pub fn workflow(
    source: Source<'_>,
    hardware: Option<&Hardware>,
    references: References,
    hardware_map: BTreeMap<String, String>,
    now: Timestamp,
) -> Result<Rendered, Vec<String>> {
    let mut data = Data::new().hardware_map(hardware_map).at(now.as_second());
    if let Some(hardware) = hardware {
        data = data.hardware(hardware.object().clone());
    }
    for (name, object) in references.objects {
        data = data.reference(name, object);
    }
    let finding = |finding: &dyn std::fmt::Display| named(source, finding);
    match tink_template::compile(source.text, &data, &Limits::default()) {
        Ok(compiled) => {
            let mut warnings: Vec<String> = references.absent.into_iter().map(|absent| absent.why).collect();
            warnings.extend(compiled.warnings.iter().map(ToString::to_string));
            Ok(Rendered { spec: compiled.spec, warnings })
        }
        Err(CompileError::Render(error)) => {
            let mut findings = vec![finding(&error)];
            if let RenderError::MissingKey { key, .. } = &error {
                findings.extend(references.absent.into_iter().filter(|absent| absent.name == *key).map(|it| it.why));
            }
            Err(findings)
        }
        Err(CompileError::Parse { errors, .. }) => Err(errors.errors.iter().map(|error| finding(error)).collect()),
    }
}

fn named(source: Source<'_>, finding: &dyn std::fmt::Display) -> String {
    format!("template {}: {finding}", source.name)
}

/// Renders a template for a workflow of the 2021 wire, which gives the keys of the template and no hardware.
///
/// # Errors
/// Every finding, with its line.
pub fn devices(
    source: Source<'_>,
    devices: serde_json::Map<String, serde_json::Value>,
    now: Timestamp,
) -> Result<Rendered, Vec<String>> {
    let data = devices.into_iter().fold(Data::new().at(now.as_second()), |data, (key, value)| data.value(key, value));
    match tink_template::compile(source.text, &data, &Limits::default()) {
        Ok(compiled) => {
            let warnings = compiled.warnings.iter().map(ToString::to_string).collect();
            Ok(Rendered { spec: compiled.spec, warnings })
        }
        Err(CompileError::Render(error)) => Err(vec![named(source, &error)]),
        Err(CompileError::Parse { errors, .. }) => {
            Err(errors.errors.iter().map(|error| named(source, error)).collect())
        }
    }
}

/// Checks a template as far as that can be done without data.
///
/// # Errors
/// The first problem, with its line.
pub fn check_template(source: &str) -> Result<Vec<String>, Vec<String>> {
    tink_template::check_syntax(source, &Limits::default()).map_err(|error| vec![error.to_string()])?;
    Ok(Vec::new())
}
