//! Bounds on what a template may ask for, so that no input makes the server or a worker grow without end.

/// Limits on a rendered template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a workflow, task or action name (upstream: 199).
    pub name_bytes_max: usize,
    /// Tasks in a workflow.
    pub tasks_max: usize,
    /// Actions in a task.
    pub actions_per_task_max: usize,
    /// Bytes of the template's source.
    pub source_bytes_max: usize,
    /// Bytes of the rendered text (upstream: 256 KiB).
    pub rendered_bytes_max: usize,
    /// Nesting of the rendered YAML.
    pub depth_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            name_bytes_max: 199,
            tasks_max: 256,
            actions_per_task_max: 1024,
            source_bytes_max: 1024 * 1024,
            rendered_bytes_max: 256 * 1024,
            depth_max: 64,
        }
    }
}
