//! Template and hardware to what a workflow shall do.

use std::collections::BTreeMap;

use tink_manifest::Hardware;
use tink_template::{CompileError, Data};
use tink_workflow::{Limits, Timestamp, WorkflowSpec};

/// A template that was rendered and holds.
pub struct Rendered {
    /// What it asks for.
    pub spec: WorkflowSpec,
    /// What is allowed, but likely not meant.
    pub warnings: Vec<String>,
}

/// Renders a template for a workflow.
///
/// # Errors
/// Every finding, with its line. No finding holds a value of the hardware.
pub fn workflow(
    source: &str,
    hardware: Option<&Hardware>,
    hardware_map: BTreeMap<String, String>,
    now: Timestamp,
) -> Result<Rendered, Vec<String>> {
    let mut data = Data::new().hardware_map(hardware_map).at(now.as_second());
    let mut warnings = Vec::new();
    if let Some(hardware) = hardware {
        data = data.hardware(hardware.object().clone());
        // Upstream refuses every reference, too, unless its operator allowed it.
        if !hardware.references().is_empty() {
            let name = &hardware.metadata.name;
            warnings.push(format!(
                "hardware {name}: spec.references: not looked up by this server; templates do not see them"
            ));
        }
    }
    match tink_template::compile(source, &data, &Limits::default()) {
        Ok(compiled) => {
            warnings.extend(compiled.warnings.iter().map(ToString::to_string));
            Ok(Rendered { spec: compiled.spec, warnings })
        }
        Err(CompileError::Render(error)) => Err(vec![error.to_string()]),
        Err(CompileError::Parse { errors, .. }) => Err(errors.errors.iter().map(ToString::to_string).collect()),
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
