//! How much a text may ask for.

/// Bounds on a YAML text and on the tree it becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of the text.
    pub text_bytes_max: usize,
    /// Documents in the text.
    pub documents_max: usize,
    /// Nesting of sequences and mappings, aliases expanded. Values past 256 risk the stack of whoever walks the tree.
    pub depth_max: usize,
    /// Nodes of all documents, aliases and merge keys expanded.
    pub nodes_max: usize,
    /// Bytes of all scalars, aliases and merge keys expanded.
    pub scalar_bytes_max: usize,
    /// Whether a key may stand twice in a mapping: `false` as `yaml.v3` (an error), `true` as `sigs.k8s.io/yaml`'s
    /// `Unmarshal` (the last one wins).
    pub duplicate_keys_allowed: bool,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            text_bytes_max: 16 * 1024 * 1024,
            documents_max: 10_000,
            depth_max: 128,
            nodes_max: 2_000_000,
            scalar_bytes_max: 64 * 1024 * 1024,
            duplicate_keys_allowed: false,
        }
    }
}
